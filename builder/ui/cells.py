"""How wide a text is on a terminal, and how to make text from outside harmless there.

Names, messages and output come from Dockerfiles, images and commands: an escape sequence in them could
rewrite what the screen shows, a bidirectional mark could reorder it.
Source: ECMA-48, 5.3 and 8.3.117; Unicode TR 11 (width) and TR 9 (bidirectional text).
"""

from __future__ import annotations

ELLIPSIS = "…"

_SGR_PARAMETERS = frozenset("0123456789;:")
_CONCEAL = "8"


def _pictures() -> dict[int, str]:
    table = {code: chr(0x2400 + code) for code in range(0x20)}
    del table[ord("\t")]
    table[0x7F] = "\u2421"
    for code in range(0x80, 0xA0):
        table[code] = f"\\x{code:02x}"
    for code in range(0xDC80, 0xDD00):  # bytes that are no text
        table[code] = f"\\x{code - 0xDC00:02x}"
    marks = (0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
    for code in marks:
        table[code] = f"\\u{code:04x}"
    return table


_PICTURES = _pictures()


def neutral(text: str, *, colour: bool = False) -> str:
    """Return `text` with every control character made visible, tabs apart.

    Sequences that only choose colours are dropped, or, with `colour`, kept and ended at the end of the
    text; one that conceals text is never kept. Nothing else is lost.
    """
    if text.isprintable():
        return text
    if "\x1b[" not in text:
        return text.translate(_PICTURES)
    first, *rest = text.split("\x1b[")
    pieces = [first.translate(_PICTURES)]
    painted = False
    for piece in rest:
        end = _end_of_parameters(piece)
        if piece[end : end + 1] != "m":
            pieces.append("␛[" + piece.translate(_PICTURES))
            continue
        if colour and _CONCEAL not in piece[:end].replace(":", ";").split(";"):
            pieces.append("\x1b[" + piece[: end + 1])
            painted = True
        pieces.append(piece[end + 1 :].translate(_PICTURES))
    return "".join(pieces) + ("\x1b[0m" if painted else "")


def _end_of_parameters(piece: str) -> int:
    for position, character in enumerate(piece):
        if character not in _SGR_PARAMETERS:
            return position
    return len(piece)


def width(text: str) -> int:
    """Return how many cells `text` takes, without control characters in it."""
    if text.isascii():
        return len(text)
    return sum(map(cell_width, text))


def cell_width(character: str) -> int:
    """Return the cells of one character: 2 for wide ones, 0 for marks that join the one before."""
    import unicodedata

    if character.isascii():
        return 1
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def clip(text: str, cells: int) -> str:
    """Return `text` cut to at most `cells`, the cut marked by an ellipsis."""
    if width(text) <= cells:
        return text
    if cells <= 0:
        return ""
    kept: list[str] = []
    used = 0
    for character in text:
        used += cell_width(character)
        if used > cells - 1:
            break
        kept.append(character)
    return "".join(kept) + ELLIPSIS
