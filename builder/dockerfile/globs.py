r"""Patterns of `.dockerignore`: `*` `?` `[…]` within a name, `**` across directories, `\` before a plain character.

Every match takes time linear in the path for each token of the pattern: no backtracking. Most patterns are
recognised as something cheaper: a plain path, a prefix, a suffix, or names between slashes.
"""

from __future__ import annotations

from typing import Protocol


class BadGlob(Exception):
    """The pattern is malformed."""


class Glob(Protocol):
    """A compiled pattern; a path is given whole and cut at its slashes."""

    def matches(self, path: str, parts: list[str]) -> bool:
        """Tell whether the pattern matches the whole path."""

    def reaches_below(self, directory: str, parts: list[str]) -> bool:
        """Tell whether the pattern may match a path below a directory; true when in doubt."""


_STAR = "*"  # any characters but a slash
_DEEP = "**/"  # nothing, or anything that ends in a slash
_REST = "**"  # anything, at the end


class _Class:
    """`[a-z]` or `[^a-z]`; the latter matches a slash too, as Docker's does."""

    __slots__ = ("negated", "ranges")

    def __init__(self, ranges: list[tuple[str, str]], *, negated: bool) -> None:
        self.ranges = ranges
        self.negated = negated

    def has(self, char: str) -> bool:
        return any(low <= char <= high for low, high in self.ranges) != self.negated


class _Any:
    """`?`: one character but a slash."""

    __slots__ = ()

    def has(self, char: str) -> bool:
        return char != "/"


class _Literal:
    """One plain character."""

    __slots__ = ("char",)

    def __init__(self, char: str) -> None:
        self.char = char

    def has(self, char: str) -> bool:
        return char == self.char


_Token = str | _Class | _Any | _Literal


def compile_glob(pattern: str) -> Glob:
    """Compile a cleaned pattern.

    Raises: BadGlob: a bracket is not closed or empty, or a backslash ends the pattern.
    """
    tokens, wild = _tokens(pattern)
    if not wild:
        if "*" not in pattern:
            return _Exact(pattern)
        if pattern.startswith("**") and "*" not in pattern[2:]:
            return _Suffix(pattern[2:])
        if pattern.endswith("**") and "*" not in pattern[:-2]:
            return _Prefix(pattern[:-2])
    if "[" not in pattern and "\\" not in pattern:
        parts = pattern.split("/")
        if all(part == "**" or "**" not in part for part in parts):
            return _Names(parts)
    return _Tokens(tokens)


def _tokens(pattern: str) -> tuple[list[_Token], bool]:
    """Return the tokens, and whether there is any special character besides `**`."""
    tokens: list[_Token] = []
    wild = False
    at = 0
    end = len(pattern)
    while at < end:
        char = pattern[at]
        at += 1
        if char == "*" and pattern.startswith("*", at):
            at += 2 if pattern.startswith("/", at + 1) else 1
            tokens.append(_DEEP if at < end else _REST)
        elif char == "*":
            tokens.append(_STAR)
            wild = True
        elif char == "?":
            tokens.append(_Any())
            wild = True
        elif char == "[":
            found, at = _bracket(pattern, at)
            tokens.append(found)
            wild = True
        elif char == "\\":
            if at >= end:
                raise BadGlob("nothing follows the backslash")
            tokens.append(_Literal(pattern[at]))
            at += 1
            wild = True
        else:
            tokens.append(_Literal(char))
            wild = wild or char == "]"
    return tokens, wild


def _bracket(pattern: str, at: int) -> tuple[_Class, int]:
    negated = pattern.startswith("^", at)
    at += negated
    ranges: list[tuple[str, str]] = []
    while True:
        if pattern.startswith("]", at) and ranges:
            return _Class(ranges, negated=negated), at + 1
        low, at = _member(pattern, at)
        high = low
        if pattern.startswith("-", at):
            high, at = _member(pattern, at + 1)
            if high < low:
                raise BadGlob(f"the range `{low}-{high}` ends before it begins")
        ranges.append((low, high))


def _member(pattern: str, at: int) -> tuple[str, int]:
    char = pattern[at : at + 1]
    if not char:
        raise BadGlob("`[` is not closed")
    if char in "-]":
        raise BadGlob(f"`{char}` stands where a character is expected in `[…]`")
    if char == "\\":
        at += 1
        char = pattern[at : at + 1]
        if not char:
            raise BadGlob("`[` is not closed")
    return char, at + 1


class _Exact:
    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def matches(self, path: str, _parts: list[str]) -> bool:
        return path == self.path

    def reaches_below(self, directory: str, _parts: list[str]) -> bool:
        return self.path.startswith(directory + "/")


class _Prefix:
    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def matches(self, path: str, _parts: list[str]) -> bool:
        return path.startswith(self.text)

    def reaches_below(self, directory: str, _parts: list[str]) -> bool:
        inside = directory + "/"
        return inside.startswith(self.text) or self.text.startswith(inside)


class _Suffix:
    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def matches(self, path: str, _parts: list[str]) -> bool:
        return path.endswith(self.text) or (self.text[:1] == "/" and path == self.text[1:])

    def reaches_below(self, _directory: str, _parts: list[str]) -> bool:
        return True


class _Names:
    """Names between slashes, some of them `**`."""

    __slots__ = ("deep", "names")

    def __init__(self, parts: list[str]) -> None:
        self.names = [None if part == "**" else _Name(part) for part in parts]
        self.deep = [index for index, name in enumerate(self.names) if name is None]

    def matches(self, _path: str, parts: list[str]) -> bool:
        names = self.names
        if not self.deep:
            return len(parts) == len(names) and self._here(0, len(names), parts, 0)
        if self.deep == [0] and len(names) > 1:
            after = len(parts) - len(names) + 1
            return after >= 0 and self._here(1, len(names), parts, after)
        return self._deep_match(parts)

    def _here(self, first: int, last: int, parts: list[str], at: int) -> bool:
        for index in range(first, last):
            name = self.names[index]
            if name is not None and not name.matches(parts[at + index - first]):
                return False
        return True

    def _deep_match(self, parts: list[str]) -> bool:
        """Match with several `**`: when a name fails, the last `**` takes one part more."""
        names = self.names
        at = index = 0
        retry_index = retry_at = -1
        while at < len(parts):
            if index < len(names):
                name = names[index]
                if name is None:
                    if index == len(names) - 1:
                        return True
                    retry_index, retry_at = index, at
                    index += 1
                    continue
                if name.matches(parts[at]):
                    at += 1
                    index += 1
                    continue
            if retry_index < 0:
                return False
            retry_at += 1
            at, index = retry_at, retry_index + 1
        # A `**` at the end stands for at least one name, one before others for none.
        return index == len(names)

    def reaches_below(self, _directory: str, parts: list[str]) -> bool:
        for index, name in enumerate(self.names):
            if name is None:
                return True
            if index == len(parts):
                return True
            if not name.matches(parts[index]):
                return False
        return False


class _Name:
    """A name with `*` and `?` and no slash."""

    __slots__ = ("head", "length", "pieces", "tail", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        pieces = text.split("*")
        self.head, self.tail = pieces[0], pieces[-1]
        self.length = sum(len(piece) for piece in pieces)
        self.pieces = pieces if len(pieces) != 1 or "?" in text else []

    def matches(self, name: str) -> bool:
        pieces = self.pieces
        if not pieces:
            return name == self.text
        if len(name) < self.length or (len(pieces) == 1 and len(name) != self.length):
            return False
        if "?" in self.text:
            return self._matches_any(name)
        if not (name.startswith(self.head) and name.endswith(self.tail)):
            return False
        at, end = len(self.head), len(name) - len(self.tail)
        for piece in pieces[1:-1]:
            found = name.find(piece, at, end)
            if found < 0:
                return False
            at = found + len(piece)
        return True

    def _matches_any(self, name: str) -> bool:
        """Match with `?`: each piece at its first possible place, the last one at the end."""
        pieces = self.pieces
        if not _at(pieces[0], name, 0) or not _at(pieces[-1], name, len(name) - len(pieces[-1])):
            return False
        at, end = len(pieces[0]), len(name) - len(pieces[-1])
        for piece in pieces[1:-1]:
            while at + len(piece) <= end and not _at(piece, name, at):
                at += 1
            at += len(piece)
            if at > end:
                return False
        return True


def _at(piece: str, name: str, at: int) -> bool:
    return all(
        char in ("?", other) for char, other in zip(piece, name[at : at + len(piece)], strict=True)
    )


class _Tokens:
    """Anything: the positions in the pattern that a path can have led to, followed character by character.

    Position `2 * index` is before token `index`; `2 * index + 1` is inside a `**/`.
    """

    __slots__ = ("tokens",)

    def __init__(self, tokens: list[_Token]) -> None:
        self.tokens = tokens

    def matches(self, path: str, _parts: list[str]) -> bool:
        return 2 * len(self.tokens) in self._follow(path)

    def reaches_below(self, directory: str, _parts: list[str]) -> bool:
        return bool(self._follow(directory + "/"))

    def _follow(self, text: str) -> set[int]:
        states = self._spread({0})
        for char in text:
            states = self._spread(self._after(states, char))
            if not states:
                break
        return states

    def _spread(self, states: set[int]) -> set[int]:
        """Add the positions that are reached without a character."""
        waiting = list(states)
        while waiting:
            state = waiting.pop()
            index = state // 2
            skippable = state % 2 == 0 and index < len(self.tokens)
            if skippable and isinstance(self.tokens[index], str) and state + 2 not in states:
                states.add(state + 2)
                waiting.append(state + 2)
        return states

    def _after(self, states: set[int], char: str) -> set[int]:
        following: set[int] = set()
        for state in states:
            index = state // 2
            if index >= len(self.tokens):
                continue
            token = self.tokens[index]
            if token == _DEEP:
                following.add(2 * index + 1)
                if char == "/":
                    following.add(2 * index + 2)
            elif token == _STAR:
                if char != "/":
                    following.add(state)
            elif token == _REST:
                following.add(state)
            elif not isinstance(token, str) and token.has(char):
                following.add(2 * index + 2)
        return following
