"""Cutting the text of one instruction into keyword, flags, words and JSON lists.

Every piece is returned with its place in the text, so that a mistake can be pointed at. Quotes stay in the
words: they are taken away when variables are expanded (`builder.dockerfile.words`). All scans are linear.
"""

from __future__ import annotations

import msgspec

SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""What ends a quoted word: Unicode's white space (not Python's, which has four control characters more)."""

BLANK = "\t\v\f\r "
"""What separates plain words and the keyword from the rest."""

_HEXADECIMAL = frozenset("0123456789abcdefABCDEF")


class Piece(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A stretch `start` to `end` of the instruction's text, and what it says."""

    text: str
    start: int
    end: int


class JsonList(msgspec.Struct, frozen=True):
    """The exec form: a JSON array of strings."""

    items: tuple[Piece, ...]


class NotStrings(Exception):
    """A JSON array holds something else than strings."""


def keyword_end(text: str) -> int:
    """Return where the first word of `text` ends."""
    for index, char in enumerate(text):
        if char in BLANK:
            return index
    return len(text)


def skip(text: str, at: int, among: str) -> int:
    """Return the first place from `at` whose character is not `among`."""
    end = len(text)
    while at < end and text[at] in among:
        at += 1
    return at


def flags(text: str, at: int, escape: str) -> tuple[tuple[Piece, ...], int]:
    """Read `--name=value` words from `at`; quotes and escapes are resolved, `--` ends them.

    Returns: the flags, and where the rest begins.
    """
    found: list[Piece] = []
    end = len(text)
    while True:
        at = skip(text, at, BLANK)
        if not text.startswith("--", at):
            return tuple(found), skip(text, at, SPACE)
        word, stop = _flag(text, at, escape)
        if word == "--":
            return tuple(found), skip(text, stop, SPACE)
        found.append(Piece(word, at, stop))
        at = stop
        if at >= end:
            return tuple(found), at


def _flag(text: str, at: int, escape: str) -> tuple[str, int]:
    out: list[str] = []
    quote = ""
    end = len(text)
    while at < end:
        char = text[at]
        if quote:
            if char == quote:
                quote = ""
                at += 1
                continue
        elif char in BLANK:
            break
        elif char in "'\"":
            quote = char
            at += 1
            continue
        if char == escape:
            at += 1
            if at >= end:
                break
            char = text[at]
        out.append(char)
        at += 1
    return "".join(out), at


def plain_words(text: str, at: int) -> list[Piece]:
    """Cut at blanks, without regard to quotes."""
    words: list[Piece] = []
    end = len(text)
    while True:
        at = skip(text, at, BLANK)
        if at >= end:
            return words
        start = at
        while at < end and text[at] not in BLANK:
            at += 1
        words.append(Piece(text[start:at], start, at))


def quoted_words(text: str, at: int, escape: str) -> list[Piece]:
    """Cut at white space outside quotes; quotes and escapes stay, but for an escape that ends the text."""
    words: list[Piece] = []
    end = len(text)
    while True:
        at = skip(text, at, SPACE)
        if at >= end:
            return words
        start = at
        at = _quoted_end(text, at, escape)
        word = text[start:at]
        if at == end and _ends_in_escape(word, escape):
            word = word[:-1]
        if word:
            words.append(Piece(word, start, at))


def _quoted_end(text: str, at: int, escape: str) -> int:
    quote = ""
    end = len(text)
    while at < end:
        char = text[at]
        if char == escape and quote != "'":
            at += 2
            continue
        if quote:
            if char == quote:
                quote = ""
        elif char in SPACE:
            return at
        elif char in "'\"":
            quote = char
        at += 1
    return end


def _ends_in_escape(word: str, escape: str) -> bool:
    """Tell whether the last character is an escape that has nothing to escape."""
    if not word.endswith(escape):
        return False
    at = 0
    quote = ""
    while at < len(word):
        char = word[at]
        if char == escape and quote != "'":
            if at + 1 == len(word):
                return True
            at += 2
            continue
        if quote:
            if char == quote:
                quote = ""
        elif char in "'\"":
            quote = char
        at += 1
    return False


def _with_whole_characters(text: str) -> str:
    """Return JSON with U+FFFD for each escaped half of a surrogate pair, as Go reads it."""
    if "\\u" not in text:
        return text
    out: list[str] = []
    at = 0
    while (end := text.find("\\", at)) >= 0:
        out.append(text[at:end])
        first, second = _surrogate(text, end), _surrogate(text, end + 6)
        if first is None:
            at = end + 2
            out.append(text[end:at])
        elif first < 0xDC00 and second is not None and second >= 0xDC00:
            at = end + 12
            out.append(text[end:at])
        else:
            at = end + 6
            out.append("\\ufffd")
    return "".join(out) + text[at:]


def _surrogate(text: str, at: int) -> int | None:
    """Return the half of a surrogate pair that is escaped at `at`, None for anything else."""
    digits = text[at + 2 : at + 6]
    if not text.startswith("\\u", at) or len(digits) < 4 or not _HEXADECIMAL.issuperset(digits):
        return None
    code = int(digits, 16)
    return code if 0xD800 <= code <= 0xDFFF else None


def json_list(text: str, at: int) -> JsonList | None:
    """Read a JSON array of strings that fills `text` from `at`; None when it is not JSON.

    Raises: NotStrings: it is an array, but not of strings only.
    """
    if not text.startswith("[", at):
        return None
    try:
        values = msgspec.json.decode(_with_whole_characters(text[at:]))
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return None
    places: list[Piece] = []
    for value in values:
        if not isinstance(value, str):
            raise NotStrings
        start = text.index('"', at)
        at = start + 1
        while text[at] != '"':
            at += 2 if text[at] == "\\" else 1
        at += 1
        places.append(Piece(value, start, at))
    return JsonList(tuple(places))


_LONGEST_REPAIRED = 200
_ODD_QUOTES = str.maketrans(
    dict.fromkeys("\u201c\u201d\u201e\u2033\u00ab\u00bb'\u2018\u2019`", '"')
)


def repaired_list(text: str) -> str | None:
    """Return the JSON array that a text seems to be meant as, None where it is not like one.

    The usual mistakes: quotes that are no double quotes, or none, a comma too few or too many, no bracket at the end.
    """
    if not text.startswith("[") or len(text) > _LONGEST_REPAIRED:
        return None
    plain = text[1:].strip(SPACE).removesuffix("]").translate(_ODD_QUOTES)
    if not plain.startswith('"') or plain.count('"') % 2:
        return None
    items: list[str] = []
    for index, piece in enumerate(plain.split('"')):
        if index % 2:
            items.append(piece)
        else:
            items += piece.replace(",", " ").split()
    return "[" + ", ".join('"' + item.replace("\\", "\\\\") + '"' for item in items) + "]"
