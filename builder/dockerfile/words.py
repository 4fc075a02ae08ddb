"""Quotes, escapes and variables of one word: what `$v` and `${v…}` with all modifiers come to.

One pass over the text, regular expressions only for stretches of plain characters, nesting and size bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from builder.dockerfile import patterns
from builder.dockerfile.arguments import SPACE

Lookup = Callable[[str], "str | None"]

MAX_NESTING = 50
MAX_SIZE = 1 << 20
"""Characters of one expanded word; a single string of 128 KiB is all that a process can be given."""

_MARK = "\ufeff"
"""A byte-order mark counts for nothing where a word begins."""

_OPEN_QUOTE = "close it, or put the escape character before it if it is no quote"
_SPECIAL_PARAMETERS = "@*#?-$!0"


class BadWord(Exception):
    """A word cannot be expanded; `at` is the place in the word."""

    def __init__(self, message: str, at: int, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.at = at
        self.hint = hint


class BadValue(BadWord):
    """A word that can be expanded, but not with the values that variables have."""


def nothing(_name: str) -> str | None:
    """Know no variable."""
    return None


def expand(
    text: str,
    lookup: Lookup,
    *,
    escape: str = "\\",
    keep_quotes: bool = False,
    keep_unset: bool = False,
    quotes: bool = True,
) -> str:
    """Return `text` with variables replaced, quotes and escapes resolved.

    `keep_quotes` leaves the quotes in place, `keep_unset` leaves unknown variables as they are written,
    `quotes=False` gives quotes no meaning (the bodies of here-documents).

    Raises: BadWord: an unclosed quote or brace, an unknown modifier, `${v:?message}`, or a result that is too long.
    """
    text = text.removeprefix(_MARK)
    if "$" not in text and escape not in text and "'" not in text and '"' not in text:
        return text
    scanner = _Scanner(text, lookup, escape, keep_quotes=keep_quotes, keep_unset=keep_unset)
    scanner.quotes = "'\"" if quotes else ""
    return "".join([piece for piece, _ in scanner.until("", keep_escapes=False)])


def split(
    text: str,
    lookup: Lookup,
    *,
    escape: str = "\\",
    keep_quotes: bool = False,
    keep_unset: bool = False,
    keep_escapes: bool = False,
) -> list[str]:
    """Return the words of `text` after expansion, cut at white space outside quotes.

    The options leave quotes, unknown variables and escapes as they are written.

    Raises: BadWord: as `expand`.
    """
    text = text.removeprefix(_MARK)
    scanner = _Scanner(text, lookup, escape, keep_quotes=keep_quotes, keep_unset=keep_unset)
    words: list[str] = []
    current: list[str] = []
    for piece, splits in scanner.until("", keep_escapes=keep_escapes):
        if not splits:
            current.append(piece)
            continue
        start = 0
        for index, char in enumerate(piece):
            if char in SPACE:
                current.append(piece[start:index])
                start = index + 1
                word = "".join(current)
                current = []
                if word:
                    words.append(word)
        current.append(piece[start:])
    word = "".join(current)
    if word:
        words.append(word)
    return words


@lru_cache(maxsize=32)
def _plain_end(special: str) -> Callable[[str, int], int]:
    """Return what finds the end of the characters from a place on that are none of `special`."""
    plain = re.compile(f"[^{re.escape(special)}]*")

    def end(text: str, start: int) -> int:
        found = plain.match(text, start)
        return start if found is None else found.end()

    return end


class _Scanner:
    """The reading of one text; `until` and `_dollar` call each other for nested braces."""

    __slots__ = (
        "at",
        "depth",
        "escape",
        "keep_quotes",
        "keep_unset",
        "lookup",
        "quotes",
        "size",
        "text",
    )

    def __init__(
        self, text: str, lookup: Lookup, escape: str, *, keep_quotes: bool, keep_unset: bool
    ) -> None:
        self.text = text
        self.at = 0
        self.lookup = lookup
        self.escape = escape
        self.keep_quotes = keep_quotes
        self.keep_unset = keep_unset
        self.quotes = "'\""
        self.depth = 0
        self.size = 0

    def until(self, stop: str, *, keep_escapes: bool) -> list[tuple[str, bool]]:
        """Read to `stop` (consumed) or the end; each piece says whether white space in it separates words."""
        text, end = self.text, len(self.text)
        special = "$<" + self.quotes + self.escape + stop
        plain_end = _plain_end(special)
        began = self.at
        out: list[tuple[str, bool]] = []
        while self.at < end:
            char = text[self.at]
            if char == stop:
                self.at += 1
                return out
            if char not in special:
                start = self.at
                self.at = plain_end(text, start)
                out.append((text[start : self.at], True))
            elif char == "$":
                out.append((self._dollar(), True))
            elif char == "<":
                out.append((self._less(), False))
            elif char == self.escape:
                self.at += 2
                following = text[self.at - 1 : self.at]
                out.append((char + following if keep_escapes else following, False))
            elif char == "'":
                out.append((self._single(), False))
            else:
                out.append((self._double(keep_escapes=keep_escapes), False))
        self.at = min(self.at, end)
        if stop:
            raise BadWord(f"`{stop}` is missing", began)
        return out

    def _less(self) -> str:
        """Keep the blanks after `<<` with it, so that `<< EOF` is one word."""
        start = self.at
        self.at += 1
        if self.text.startswith("<", self.at):
            self.at += 1
            while self.at < len(self.text) and self.text[self.at] in "\t\r ":
                self.at += 1
        return self.text[start : self.at]

    def _single(self) -> str:
        start = self.at
        end = self.text.find("'", start + 1)
        if end < 0:
            raise BadWord("a single quote is not closed", start, hint=_OPEN_QUOTE)
        self.at = end + 1
        return self.text[start : self.at] if self.keep_quotes else self.text[start + 1 : end]

    def _double(self, *, keep_escapes: bool) -> str:
        text, end, start = self.text, len(self.text), self.at
        out = ['"'] if self.keep_quotes else []
        self.at += 1
        special = '$"' + self.escape
        plain_end = _plain_end(special)
        while self.at < end:
            char = text[self.at]
            if char == '"':
                self.at += 1
                if self.keep_quotes:
                    out.append(char)
                return "".join(out)
            if char == "$":
                out.append(self._dollar())
            elif char == self.escape:
                following = text[self.at + 1 : self.at + 2]
                escapes = following != "" and following in special
                # One that escapes nothing stands for itself; kept, it is escaped by another.
                out.append(char if keep_escapes else "")
                out.append(following if escapes else char)
                self.at += 2 if escapes else 1
            else:
                begin = self.at
                self.at = plain_end(text, begin)
                out.append(text[begin : self.at])
        raise BadWord("a double quote is not closed", start, hint=_OPEN_QUOTE)

    def _name(self) -> str:
        text, end, start = self.text, len(self.text), self.at
        if start >= end:
            return ""
        char = text[start]
        if char.isdecimal():
            while self.at < end and text[self.at].isdecimal():
                self.at += 1
        elif char in _SPECIAL_PARAMETERS:
            self.at += 1
        else:
            while self.at < end:
                char = text[self.at]
                if not (char == "_" or char.isalpha() or char.isdecimal()):
                    break
                self.at += 1
        return text[start : self.at]

    def _counted(self, value: str, at: int) -> str:
        self.size += len(value)
        if self.size > MAX_SIZE:
            raise BadValue(f"the expanded text is longer than {MAX_SIZE} characters", at)
        return value

    def _dollar(self) -> str:
        start = self.at
        self.at += 1
        if not self.text.startswith("{", self.at):
            name = self._name()
            if not name:
                return "$"
            value = self.lookup(name)
            if value is None:
                return "$" + name if self.keep_unset else ""
            return self._counted(value, start)
        self.at += 1
        if self.at >= len(self.text):
            raise BadWord("`}` is missing", start)
        if self.text[self.at] in "{}:":
            raise BadWord("a name is missing after `${`", start)
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise BadWord(f"`${{…}}` is nested deeper than {MAX_NESTING}", start)
        value = self._braced(start)
        self.depth -= 1
        return self._counted(value, start)

    def _braced(self, start: int) -> str:
        name = self._name()
        value = self.lookup(name)
        modifier = self.text[self.at : self.at + 1]
        self.at += 1
        if not modifier:
            raise BadWord("`}` is missing", start, hint=f"write `${{{name}}}`")
        if modifier == "}":
            if value is None:
                return f"${{{name}}}" if self.keep_unset else ""
            return value
        if modifier == "/":
            return self._replaced(start, name, value)
        empty_counts = modifier == ":"
        if empty_counts:
            modifier += self.text[self.at : self.at + 1]
            self.at += 1
        kind = modifier[-1]
        if kind not in "+-?#%" or (empty_counts and kind in "#%") or modifier == ":":
            raise BadWord(
                f"unknown modifier `{modifier}` in `${{{name}{modifier}…}}`",
                start,
                hint="use one of `:-` `-` `:+` `+` `:?` `?` `#` `##` `%` `%%` `/` `//`",
            )
        word = self._inner("}", start, keep_escapes=kind in "#%")
        if value is None and self.keep_unset:
            return f"${{{name}{modifier}{word}}}"
        return self._modified(start, name, value, kind, word, empty_counts=empty_counts)

    def _inner(self, stop: str, start: int, *, keep_escapes: bool, hint: str | None = None) -> str:
        try:
            return "".join([piece for piece, _ in self.until(stop, keep_escapes=keep_escapes)])
        except BadWord as error:
            if self.at >= len(self.text) and error.message.endswith("is missing"):
                raise BadWord(f"`{stop}` is missing", start, hint=hint) from error
            raise

    def _modified(
        self, start: int, name: str, value: str | None, kind: str, word: str, *, empty_counts: bool
    ) -> str:
        missing = value is None or (empty_counts and value == "")
        if kind == "-":
            return word if missing or value is None else value
        if kind == "+":
            return "" if missing else word
        if kind == "?":
            if missing or value is None:
                state = "unset" if value is None else "empty"
                raise BadValue(
                    f"{name}: {word or f'is not allowed to be {state}'}",
                    start,
                    hint=f"give it a value, for example with `--build-arg {name}=…`",
                )
            return value
        longest = word.startswith(kind)
        pattern = word[1:] if longest else word
        try:
            if kind == "#":
                compiled = patterns.compile_pattern(pattern)
                return patterns.trim_prefix(compiled, value or "", longest=longest)
            return patterns.trim_suffix(pattern, value or "", longest=longest)
        except patterns.BadPattern as error:
            raise BadValue(str(error), start) from error

    def _replaced(self, start: int, name: str, value: str | None) -> str:
        every = self.text.startswith("/", self.at)
        if every:
            self.at += 1
        hint = f"`${{{name}/…}}` replaces text: write `${{{name}}}` if a path follows"
        pattern = self._inner("/", start, keep_escapes=True, hint=hint)
        replacement = self._inner("}", start, keep_escapes=True)
        if value is None and self.keep_unset:
            return f"${{{name}/{pattern}/{replacement}}}"
        try:
            return patterns.replace(
                patterns.compile_pattern(pattern),
                value or "",
                replacement,
                every=every,
                limit=MAX_SIZE,
            )
        except patterns.BadPattern as error:
            raise BadValue(str(error), start) from error
