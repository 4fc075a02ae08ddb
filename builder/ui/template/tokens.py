"""The words of a template: text, and what stands between `{{` and `}}`.

Source: Go's text/template, "Actions" and "Text and spaces".
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

OPEN, CLOSE = "{{", "}}"
_SPACES = " \t\r\n"
_QUOTES = {
    '"': "unterminated quoted string",
    "`": "unterminated raw quoted string",
    "'": "unterminated character constant",
}
_DECIMAL, _HEXADECIMAL = "0123456789_", "0123456789abcdefABCDEF_"
_BASES = ((("x", "X"), _HEXADECIMAL), (("o", "O"), "01234567_"), (("b", "B"), "01_"))
_KEYWORDS = frozenset(
    (
        "block",
        "break",
        "continue",
        "define",
        "else",
        "end",
        "if",
        "nil",
        "range",
        "template",
        "with",
    )
)


class Kind(Enum):
    """What a word is."""

    TEXT = "text"
    OPEN = "open"
    CLOSE = "close"
    SPACE = "space"
    KEYWORD = "keyword"
    IDENTIFIER = "identifier"
    BOOL = "bool"
    FIELD = "field"
    VARIABLE = "variable"
    DOT = "dot"
    NUMBER = "number"
    CHARACTER = "character"
    STRING = "string"
    PIPE = "pipe"
    DECLARE = "declare"
    ASSIGN = "assign"
    LEFT = "left"
    RIGHT = "right"
    OTHER = "other"
    ERROR = "error"
    END = "end"


class Token(NamedTuple):
    """One word: where it begins, in characters from the start, and on which line, from 1."""

    kind: Kind
    position: int
    text: str
    line: int

    def named(self) -> str:
        """Return the word as messages have it."""
        if self.kind is Kind.END:
            return "EOF"
        if self.kind is Kind.ERROR:
            return self.text
        if self.kind in (Kind.KEYWORD, Kind.DOT):
            return f"<{self.text}>"
        from builder.ui.template.shown import quoted

        return quoted(self.text[:10]) + ("..." if len(self.text) > 10 else "")


def tokens(source: str) -> Iterator[Token]:
    """Yield the words of a template; what is no word is an ERROR, and the last one."""
    return _Lexer(source).run()


class _Lexer:
    def __init__(self, source: str) -> None:
        self.source = source
        self.position = 0
        self.line = 1
        self.counted = 0
        self.depth = 0

    def token(self, kind: Kind, start: int, end: int) -> Token:
        self.line += self.source.count("\n", self.counted, start)
        self.counted = start
        self.position = end
        return Token(kind, start, self.source[start:end], self.line)

    def error(self, message: str, at: int) -> Token:
        return self.token(Kind.ERROR, at, at)._replace(text=message)

    def run(self) -> Iterator[Token]:
        source = self.source
        while True:
            start = self.position
            found = source.find(OPEN, start)
            end = len(source) if found < 0 else found
            trims = found >= 0 and self._trims_left(found + 2)
            text_end = start + len(source[start:end].rstrip(_SPACES)) if trims else end
            if text_end > start:
                yield self.token(Kind.TEXT, start, text_end)
            if found < 0:
                yield self.token(Kind.END, end, end)
                return
            inside = found + 2 + 2 * trims
            if source.startswith("/*", inside):
                mistake = self._comment(inside)
                if mistake is not None:
                    yield mistake
                    return
                continue
            yield self.token(Kind.OPEN, found, found + 2)
            self.position = inside
            for token in self._action():
                yield token
                if token.kind is Kind.ERROR:
                    return

    def _trims_left(self, at: int) -> bool:
        return self.source[at : at + 1] == "-" and self.source[at + 1 : at + 2] in tuple(_SPACES)

    def _closing(self, at: int) -> int | None:
        """Return how many characters close the action at `at`: 2, or 4 with a mark that trims; None for none."""
        source = self.source
        if source[at : at + 1] in tuple(_SPACES) and source.startswith("-" + CLOSE, at + 1):
            return 4
        return 2 if source.startswith(CLOSE, at) else None

    def _leave(self, at: int, length: int) -> None:
        """Go behind the end of an action, and behind the white space that it trims."""
        at += length
        while length == 4 and self.source[at : at + 1] in tuple(_SPACES):
            at += 1
        self.position = at

    def _comment(self, start: int) -> Token | None:
        found = self.source.find("*/", start + 2)
        if found < 0:
            return self.error("unclosed comment", start)
        length = self._closing(found + 2)
        if length is None:
            return self.error("comment ends before closing delimiter", start)
        self._leave(found + 2, length)
        return None

    def _action(self) -> Iterator[Token]:
        self.depth = 0
        while True:
            start = self.position
            length = self._closing(start)
            if length is None:
                yield self._word(start)
            elif self.depth:
                yield self.error("unclosed left paren", start)
            else:
                yield self.token(Kind.CLOSE, start + length - 2, start + length)
                self._leave(start, length)
                return

    def _word(self, start: int) -> Token:
        first = self.source[start : start + 1]
        if not first:
            return self.error("unclosed action", start)
        if first in _SPACES:
            return self._space(start)
        if first in _QUOTES:
            return self._quoted(start, first)
        if first == "$" or (first == "." and self._begins_field(start)):
            return self._field(start, Kind.VARIABLE if first == "$" else Kind.FIELD)
        if first in "+-." or (first.isascii() and first.isdigit()):
            return self._number(start)
        if _is_letter(first):
            return self._identifier(start)
        return self._sign(start, first)

    def _sign(self, start: int, first: str) -> Token:
        if first == ":":
            if not self.source.startswith(":=", start):
                return self.error("expected :=", start)
            return self.token(Kind.DECLARE, start, start + 2)
        if first == ")":
            self.depth -= 1
            if self.depth < 0:
                return self.error("unexpected right paren", start)
        self.depth += first == "("
        kinds = {"=": Kind.ASSIGN, "|": Kind.PIPE, "(": Kind.LEFT, ")": Kind.RIGHT}
        if first not in kinds and not (first.isascii() and first.isprintable()):
            sign = f"U+{ord(first):04X}" + (f" '{first}'" if first.isprintable() else "")
            return self.error(f"unrecognized character in action: {sign}", start)
        return self.token(kinds.get(first, Kind.OTHER), start, start + 1)

    def _space(self, start: int) -> Token:
        end = start
        while self.source[end : end + 1] in tuple(_SPACES):
            if self._closing(end) == 4:  # the last of them belongs to the mark that trims
                break
            end += 1
        return self.token(Kind.SPACE, start, end)

    def _quoted(self, start: int, quote: str) -> Token:
        end = start + 1
        while (character := self.source[end : end + 1]) != quote:
            if not character or (quote != "`" and character == "\n"):
                return self.error(_QUOTES[quote], start)
            if character == "\\" and quote != "`":
                end += 1
                if self.source[end : end + 1] in ("", "\n"):
                    return self.error(_QUOTES[quote], start)
            end += 1
        return self.token(Kind.CHARACTER if quote == "'" else Kind.STRING, start, end + 1)

    def _field(self, start: int, kind: Kind) -> Token:
        end = self._letters(start + 1)
        if end == start + 1 and kind is Kind.FIELD and self._ends(end):
            return self.token(Kind.DOT, start, end)
        return self.token(kind, start, end) if self._ends(end) else self._bad_character(start, end)

    def _begins_field(self, start: int) -> bool:
        following = self.source[start + 1 : start + 2]
        return bool(following) and following not in "0123456789"

    def _identifier(self, start: int) -> Token:
        end = self._letters(start)
        if not self._ends(end):
            return self._bad_character(start, end)
        word = self.source[start:end]
        if word in _KEYWORDS:
            return self.token(Kind.KEYWORD, start, end)
        kind = Kind.BOOL if word in ("true", "false") else Kind.IDENTIFIER
        return self.token(kind, start, end)

    def _number(self, start: int) -> Token:
        end = self._after(start, "+-", 1)
        digits = _DECIMAL
        if self.source.startswith("0", end):
            end += 1
            for letters, allowed in _BASES:
                if self.source[end : end + 1] in letters:
                    end, digits = end + 1, allowed
                    break
        end = self._after(end, digits)
        if self.source.startswith(".", end):
            end = self._after(end + 1, digits)
        powers = {_DECIMAL: ("e", "E"), _HEXADECIMAL: ("p", "P")}.get(digits, ())
        if self.source[end : end + 1] in powers:
            end = self._after(self._after(end + 1, "+-", 1), _DECIMAL)
        end = self._after(end, "i", 1)
        if _is_letter(self.source[end : end + 1]):
            from builder.ui.template.shown import quoted

            return self.error(f"bad number syntax: {quoted(self.source[start : end + 1])}", start)
        return self.token(Kind.NUMBER, start, end)

    def _after(self, start: int, characters: str, most: int = 1 << 20) -> int:
        """Return where a run of some characters ends."""
        end = start
        while self.source[end : end + 1] in tuple(characters) and end - start < most:
            end += 1
        return end

    def _letters(self, start: int) -> int:
        end = start
        while _is_letter(self.source[end : end + 1]):
            end += 1
        return end

    def _ends(self, at: int) -> bool:
        following = self.source[at : at + 1]
        return not following or following in " \t\r\n.,|:)(" or self.source.startswith(CLOSE, at)

    def _bad_character(self, start: int, at: int) -> Token:
        character = self.source[at]
        shown = f" '{character}'" if character.isprintable() else ""
        return self.error(f"bad character U+{ord(character):04X}{shown}", start)


def _is_letter(character: str) -> bool:
    return character == "_" or character.isalpha() or character.isdecimal()
