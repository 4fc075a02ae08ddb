"""Shell patterns of `${v#p}`, `${v%p}` and `${v/p/r}`: `*` and `?`, neither of which crosses a line end.

Matching walks literal pieces from left to right, so it is linear but for pieces with `?`, whose cost is bounded.
"""

from __future__ import annotations

import msgspec

_ANY = ""  # in a piece: any one character but a line end
_MOST_WORK = 4_000_000


class BadPattern(Exception):
    """The pattern has an escape that means nothing, or would take too long."""


class Pattern(msgspec.Struct, frozen=True):
    """Pieces between the stars; each piece is literal text, or characters and `_ANY`."""

    pieces: tuple[str | tuple[str, ...], ...]


def compile_pattern(text: str, *, reverse: bool = False) -> Pattern:
    """Read a pattern, backwards when it is to match reversed values.

    Raises: BadPattern: a backslash stands before a character that needs none.
    """
    pieces: list[list[str]] = [[]]
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == "*":
            pieces.append([])
        elif char == "?":
            pieces[-1].append(_ANY)
        elif char == "\\":
            following = text[at : at + 1]
            if not following or following not in "*?\\}/":
                raise BadPattern(f"invalid escape `\\{following}` in the pattern `{text}`")
            pieces[-1].append(following)
            at += 1
        else:
            pieces[-1].append(char)
    if reverse:
        pieces = [piece[::-1] for piece in reversed(pieces)]
    return Pattern(tuple(tuple(piece) if _ANY in piece else "".join(piece) for piece in pieces))


def trim_prefix(pattern: Pattern, value: str, *, longest: bool) -> str:
    """Remove the shortest or longest start of `value` that matches."""
    first = pattern.pieces[0]
    if _find(first, value, 0, 0) != 0:
        return value
    end = _rest(pattern, value, len(first), longest=longest)
    return value if end is None else value[end:]


def trim_suffix(text: str, value: str, *, longest: bool) -> str:
    """Remove the shortest or longest end of `value` that matches the pattern `text`."""
    return trim_prefix(compile_pattern(text, reverse=True), value[::-1], longest=longest)[::-1]


def replace(pattern: Pattern, value: str, replacement: str, *, every: bool, limit: int) -> str:
    """Replace the first or every leftmost longest match; an empty match next to another is none.

    Raises: BadPattern: the result is longer than `limit`.
    """
    out: list[str] = []
    size = 0
    done = 0
    at = 0
    while at <= len(value):
        found = _search(pattern, value, at)
        if found is None:
            break
        start, end = found
        out.append(value[done:start])
        size += start - done
        if end > done or start == 0:
            out.append(replacement)
            size += len(replacement)
        if size > limit:
            raise BadPattern(f"the result is longer than {limit} characters")
        done = end
        if not every:
            break
        at = end if end > at else at + 1
    out.append(value[done:])
    return "".join(out)


def _search(pattern: Pattern, value: str, at: int) -> tuple[int, int] | None:
    first = pattern.pieces[0]
    while at <= len(value):
        start = _find(first, value, at, len(value))
        if start < 0:
            return None
        end = _rest(pattern, value, start + len(first), longest=True)
        if end is not None:
            return start, end
        # What follows is nowhere on this line, so neither is it for a later start on it.
        newline = value.find("\n", start)
        if newline < 0:
            return None
        at = newline + 1
    return None


def _rest(pattern: Pattern, value: str, at: int, *, longest: bool) -> int | None:
    """Return where a match ends whose first piece ends at `at`, or None."""
    pieces = pattern.pieces
    if len(pieces) == 1:
        return at
    for piece in pieces[1:-1]:
        start = _find(piece, value, at, _line_end(value, at))
        if start < 0:
            return None
        at = start + len(piece)
    last = pieces[-1]
    stop = _line_end(value, at)
    start = _find_last(last, value, at, stop) if longest else _find(last, value, at, stop)
    return None if start < 0 else start + len(last)


def _line_end(value: str, at: int) -> int:
    newline = value.find("\n", at)
    return len(value) if newline < 0 else newline


def _find(piece: str | tuple[str, ...], value: str, at: int, last: int) -> int:
    """Return the first place from `at` to `last` where the piece stands, or -1."""
    if isinstance(piece, str):
        return value.find(piece, at, last + len(piece))
    return _find_wild(piece, value, range(at, min(last, len(value) - len(piece)) + 1))


def _find_last(piece: str | tuple[str, ...], value: str, at: int, last: int) -> int:
    if isinstance(piece, str):
        return value.rfind(piece, at, last + len(piece))
    return _find_wild(piece, value, range(min(last, len(value) - len(piece)), at - 1, -1))


def _find_wild(piece: tuple[str, ...], value: str, starts: range) -> int:
    if len(piece) * len(starts) > _MOST_WORK:
        raise BadPattern("the pattern is too long for a value of that length")
    for start in starts:
        for offset, char in enumerate(piece):
            actual = value[start + offset]
            if actual != char and (char != _ANY or actual == "\n"):
                break
        else:
            return start
    return -1
