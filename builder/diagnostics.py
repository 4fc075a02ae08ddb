"""What a person is told: a message, the place it is about, facts, and one thing to try.

Pure data; `builder.ui.diagnostic` renders it.
"""

from __future__ import annotations

from enum import Enum

import msgspec


class Severity(Enum):
    """How bad it is: an error ends the build, a warning does not."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class SourceFile(msgspec.Struct, frozen=True):
    """A text that spans point into, under the name that the user knows it by."""

    name: str
    text: str


class Span(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A stretch of a source file; lines and columns count from 1, the end is exclusive.

    Columns count characters, not bytes. A span is metadata: it never takes part in a cache key.
    """

    line: int
    column: int
    end_line: int
    end_column: int

    def to(self, other: Span) -> Span:
        """Return the span from the start of this one to the end of `other`."""
        return Span(self.line, self.column, other.end_line, other.end_column)


class Diagnostic(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to tell: `code` names its page in `docs/errors` or `docs/rules`."""

    severity: Severity
    code: str
    message: str
    span: Span | None = None
    source: SourceFile | None = None
    notes: tuple[str, ...] = ()
    hint: str | None = None
