"""Expanding the words of instructions, with errors that point into them and a bound on the total."""

from __future__ import annotations

from builder.diagnostics import SourceFile
from builder.dockerfile import words
from builder.dockerfile.instructions import Word
from builder.dockerfile.mistakes import LimitPassed
from builder.dockerfile.words import BadValue, BadWord, Lookup
from builder.errors import DockerfileError

MAX_TOTAL = 64 << 20
"""Characters that all expansions and descriptions of one Dockerfile may come to together."""


class Malformed(DockerfileError):
    """A word that cannot be expanded, whatever the values of variables."""


class Expander:
    """Expands for one Dockerfile; what it has produced so far counts against `MAX_TOTAL`."""

    def __init__(self, source: SourceFile, escape: str) -> None:
        self.source = source
        self.escape = escape
        self._total = 0

    def expand(self, word: Word, lookup: Lookup) -> str:
        """Return the word with quotes resolved and variables replaced.

        Raises: DockerfileError: `dockerfile.bad-expansion`, pointing at the guilty part.
        """
        try:
            return self.counted(words.expand(word.text, lookup, escape=self.escape), word)
        except BadWord as error:
            raise self._located(error, word) from error

    def expand_words(self, word: Word, lookup: Lookup) -> list[str]:
        """Return the words that one word comes to: a variable may hold several."""
        try:
            found = words.split(word.text, lookup, escape=self.escape)
        except BadWord as error:
            raise self._located(error, word) from error
        self.counted("".join(found), word)
        return found

    def expand_body(self, body: Word, lookup: Lookup) -> str:
        """Return the body of a here-document with variables replaced; quotes mean nothing there."""
        try:
            return self.counted(words.expand(body.text, lookup, quotes=False), body)
        except BadWord as error:
            raise self._located(error, body) from error

    def shown(self, text: str, lookup: Lookup, *, as_command: bool) -> str:
        """Return the text of an instruction as progress shows it; one that cannot be expanded stays as it is.

        In commands quotes and unknown variables stay.
        """
        try:
            return words.expand(
                text, lookup, escape=self.escape, keep_quotes=as_command, keep_unset=as_command
            )
        except BadWord:
            return text

    def counted(self, text: str, word: Word | None) -> str:
        """Count `text` against the total and return it."""
        self.count(len(text), word)
        return text

    def count(self, size: int, word: Word | None) -> None:
        """Count characters that the graph or the history will hold.

        Raises: LimitPassed: there are more than `MAX_TOTAL`, which only a hostile file comes to.
        """
        self._total += size
        if self._total > MAX_TOTAL:
            raise LimitPassed(
                f"variables expand to more than {MAX_TOTAL >> 20} MiB of text",
                code="dockerfile.bad-expansion",
                span=word.span if word is not None else None,
                source=self.source,
                hint="make the values smaller",
            )

    def _located(self, error: BadWord, word: Word) -> DockerfileError:
        kind = DockerfileError if isinstance(error, BadValue) else Malformed
        return kind(
            error.message,
            code="dockerfile.bad-expansion",
            span=word.part(error.at) if error.at else word.span,
            source=self.source,
            hint=error.hint,
        )
