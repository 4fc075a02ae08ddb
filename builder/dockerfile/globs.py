r"""Patterns of `.dockerignore`: `*` `?` `[…]` within a name, `**` across directories, `\` before a character.

A pattern becomes branches of tokens, which `automaton` follows. What is neither `*` at an end nor plain means
what it means to Docker, which makes a Go regular expression of it and escapes most of what is special there:
a `^`, a `|` and a `\d` have a meaning, a `*` in brackets has an odd one.

Source: moby/patternmatcher; Go, path/filepath.Match and regexp/syntax (behaviour, not code).
"""

from __future__ import annotations

import msgspec

from builder.dockerfile.classes import ANY, NOT_NEWLINE, BadGlob, Characters, character, read_class

_SPECIAL = frozenset("*?\\[]")
_ESCAPED = frozenset(".+()$")
_DEEP = "(.*/)?"
_REST = ".*"
_UNDECODED = Characters((("\udc80", "\udcff"), ("\ufffd", "\ufffd")))


class One(msgspec.Struct, frozen=True):
    """One character of several."""

    of: Characters


class Many(msgspec.Struct, frozen=True):
    """Any number of characters, none too."""

    of: Characters


class Deep(msgspec.Struct, frozen=True):
    """Nothing, or any number of characters and a slash."""

    of: Characters


Token = str | One | Many | Deep
"""A plain character stands for itself."""

Glob = tuple[tuple[Token, ...], ...]
"""Branches; a path matches when one of them matches all of it."""


def compile_glob(pattern: str) -> Glob:
    """Compile a cleaned pattern.

    Raises: BadGlob: a bracket is not closed or empty, or a backslash has no meaning where it stands.
    """
    if _SPECIAL.isdisjoint(pattern):
        return (tuple(pattern),)
    if pattern.startswith("**") and _SPECIAL.isdisjoint(pattern[2:]):
        if pattern.startswith("/", 2):
            return ((Deep(ANY), *pattern[3:]),)
        return ((Many(ANY), *pattern[2:]),)
    if pattern.endswith("**") and _SPECIAL.isdisjoint(pattern[:-2]):
        return ((*pattern[:-2], Many(ANY)),)
    _check_start(pattern)
    return _Expression(_expression(pattern.removeprefix("\ufeff"))).branches()


def _check_start(pattern: str) -> None:
    r"""Refuse what Docker refuses at once: a malformed class or a last `\` in what the first star ends."""
    at = len(pattern) - len(pattern.lstrip("*"))
    while at < len(pattern) and pattern[at] != "*":
        char = pattern[at]
        at += 1
        if char == "\\":
            if at == len(pattern):
                raise BadGlob("nothing follows the backslash")
            at += 1
        elif char == "[":
            at = _check_class(pattern, at)


def _check_class(pattern: str, at: int) -> int:
    at += pattern.startswith("^", at)
    first = True
    while first or not pattern.startswith("]", at):
        first = False
        at = _check_member(pattern, at)
        if pattern.startswith("-", at):
            at = _check_member(pattern, at + 1)
    return at + 1


def _check_member(pattern: str, at: int) -> int:
    char = pattern[at : at + 1]
    if char in ("-", "]"):
        raise BadGlob(f"`{char}` stands where a character is expected in `[…]`")
    at += 1 + (char == "\\")
    if at >= len(pattern):
        raise BadGlob("`[` is not closed")
    return at


def _expression(pattern: str) -> str:
    """Return the regular expression that Docker makes of a pattern."""
    out: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*" and pattern.startswith("*", at):
            at += 2 if pattern.startswith("/", at + 1) else 1
            out.append(_DEEP if at < len(pattern) else _REST)
        elif char == "*":
            out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char in _ESCAPED:
            out.append(f"\\{char}")
        elif char == "\\":
            out.append(pattern[at - 1 : at + 1])
            at += 1
        else:
            out.append(char)
    return "".join(out)


class _Expression:
    """Reads a regular expression such as `_expression` returns."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[Token] = []
        self._anchored = True
        self._possible = True
        self._found: list[tuple[Token, ...]] = []

    def branches(self) -> Glob:
        """Return the branches: the first begins where the path does, the last ends where it does."""
        at = 0
        while at < len(self._text):
            at = self._read(at)
        self._end(last=True)
        return tuple(self._found)

    def _read(self, at: int) -> int:
        """Read one token; return where the next begins."""
        text = self._text
        char = text[at]
        if text.startswith(_DEEP, at):
            # Two of them are as one.
            if not self._tokens or not isinstance(self._tokens[-1], Deep):
                self._tokens.append(Deep(NOT_NEWLINE))
            return at + len(_DEEP)
        if text.startswith(_REST, at):
            self._tokens.append(Many(NOT_NEWLINE))
            return at + len(_REST)
        if char == "[":
            of, at = read_class(text, at + 1)
            many = text.startswith("*", at)
            self._tokens.append(Many(of) if many else One(of))
            return at + many
        if char == "\\":
            found, at = character(text, at)
            self._tokens.append(found if isinstance(found, str) else One(found))
            return at
        if char == "|":
            self._end(last=False)
        elif char == "^":
            self._begin()
        elif char == "{" and _repeats(text, at):
            raise BadGlob("`{…}` with a number has no meaning: write `\\{` for a brace")
        else:
            self._tokens.append(One(_UNDECODED) if "\udc80" <= char <= "\udcff" else char)
        return at + 1

    def _begin(self) -> None:
        """What stands before a `^` can only be nothing."""
        if any(isinstance(token, str | One) for token in self._tokens):
            self._possible = False
        self._tokens.clear()
        self._anchored = True

    def _end(self, *, last: bool) -> None:
        if self._possible:
            before = () if self._anchored else (Many(ANY),)
            after = () if last else (Many(ANY),)
            self._found.append((*before, *self._tokens, *after))
        self._tokens.clear()
        self._anchored = False
        self._possible = True


def _repeats(text: str, at: int) -> bool:
    """Tell whether `{` begins a count: `{2}`, `{2,}` or `{2,3}`."""
    inside, closed, _ = text[at + 1 : at + 24].partition("}")
    least, _, most = inside.partition(",")
    return bool(closed) and least.isdecimal() and (not most or most.isdecimal())
