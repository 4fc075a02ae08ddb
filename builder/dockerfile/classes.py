r"""Classes of characters in the patterns of `.dockerignore`: `[a-z]`, `[^a-z]`, `[[:digit:]]`, `\d`.

Source: Go, regexp/syntax (behaviour, not code).
"""

from __future__ import annotations

import msgspec


class BadGlob(Exception):
    """The pattern is malformed."""


_Ranges = tuple[tuple[str, str], ...]


class Characters(msgspec.Struct, frozen=True):
    """The characters in ranges, or those in none of them."""

    ranges: _Ranges
    negated: bool = False

    def has(self, char: str) -> bool:
        """Tell whether a character is one of them."""
        return any(low <= char <= high for low, high in self.ranges) != self.negated


ANY = Characters((), negated=True)
NOT_NEWLINE = Characters((("\n", "\n"),), negated=True)

_LAST = "\U0010ffff"
_DIGIT = (("0", "9"),)
_LOWER = (("a", "z"),)
_UPPER = (("A", "Z"),)
_WORD = (*_DIGIT, *_UPPER, ("_", "_"), *_LOWER)
_SHORT = {"d": _DIGIT, "s": (("\t", "\n"), ("\f", "\r"), (" ", " ")), "w": _WORD}
_NAMED = {
    "alnum": (*_DIGIT, *_UPPER, *_LOWER),
    "alpha": (*_UPPER, *_LOWER),
    "ascii": (("\0", "\x7f"),),
    "blank": (("\t", "\t"), (" ", " ")),
    "cntrl": (("\0", "\x1f"), ("\x7f", "\x7f")),
    "digit": _DIGIT,
    "graph": (("!", "~"),),
    "lower": _LOWER,
    "print": ((" ", "~"),),
    "punct": (("!", "/"), (":", "@"), ("[", "`"), ("{", "~")),
    "space": (("\t", "\r"), (" ", " ")),
    "upper": _UPPER,
    "word": _WORD,
    "xdigit": (*_DIGIT, ("A", "F"), ("a", "f")),
}
_CONTROL = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def read_class(text: str, at: int) -> tuple[Characters, int]:
    """Read a class whose `[` stands before `at`; return it and where it ends.

    Raises: BadGlob: it is not closed, or a member is malformed.
    """
    negated = text.startswith("^", at)
    at += negated
    ranges: list[tuple[str, str]] = []
    first = True
    while first or not text.startswith("]", at):
        first = False
        members, at = _members(text, at)
        ranges.extend(members)
    return Characters(tuple(ranges), negated), at + 1


def _members(text: str, at: int) -> tuple[_Ranges, int]:
    named = _named(text, at)
    if named is not None:
        return named
    low, at = _member(text, at)
    if not isinstance(low, str):
        return low, at
    if not text.startswith("-", at) or text.startswith("-]", at):
        return ((low, low),), at
    high, at = _member(text, at + 1)
    if not isinstance(high, str):
        raise BadGlob("a range ends with several characters")
    if high < low:
        raise BadGlob(f"the range `{low}-{high}` ends before it begins")
    return ((low, high),), at


def _member(text: str, at: int) -> tuple[str | _Ranges, int]:
    """Return a character, or the ranges of several."""
    char = text[at : at + 1]
    if not char:
        raise BadGlob("`[` is not closed")
    if char != "\\":
        return char, at + 1
    found, at = character(text, at)
    return (found if isinstance(found, str) else _plain(found)), at


def character(text: str, at: int) -> tuple[str | Characters, int]:
    r"""Read `\` and what follows: a plain character, or several (`\d`).

    Raises: BadGlob: it has no meaning.
    """
    char = text[at + 1 : at + 2]
    if not char:
        raise BadGlob("nothing follows the backslash")
    at += 2
    if char in _CONTROL:
        return _CONTROL[char], at
    short = _SHORT.get(char.lower())
    if short is not None:
        return Characters(short, char.isupper()), at
    if char.isalnum() or char > "\x7f":
        raise BadGlob(f"`\\{char}` has no meaning: directories are divided by `/`")
    return char, at


def _named(text: str, at: int) -> tuple[_Ranges, int] | None:
    """Read `[:name:]` or `[:^name:]`, if one stands there."""
    if not text.startswith("[:", at):
        return None
    end = text.find(":]", at + 2)
    if end < 0:
        return None
    name = text[at + 2 : end]
    ranges = _NAMED.get(name.removeprefix("^"))
    if ranges is None:
        raise BadGlob(f"there is no class `[:{name[:20]}:]`")
    return _plain(Characters(ranges, name.startswith("^"))), end + 2


def _plain(of: Characters) -> _Ranges:
    """Return the ranges of characters without negation; those that are given are sorted."""
    if not of.negated:
        return of.ranges
    found: list[tuple[str, str]] = []
    start = 0
    for low, high in of.ranges:
        if start < ord(low):
            found.append((chr(start), chr(ord(low) - 1)))
        start = ord(high) + 1
    return (*found, (chr(start), _LAST))
