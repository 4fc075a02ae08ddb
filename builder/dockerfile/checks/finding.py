"""What a rule has found: a place and a message, not yet judged by the options in force."""

from __future__ import annotations

import msgspec

from builder.diagnostics import Diagnostic, Severity, SourceFile, Span


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One finding; `comments` are those above its instruction, which may silence it."""

    rule: str
    span: Span
    message: str
    hint: str | None = None
    notes: tuple[str, ...] = ()
    comments: tuple[str, ...] = ()

    def diagnostic(self, source: SourceFile) -> Diagnostic:
        """Return what to tell."""
        return Diagnostic(
            severity=Severity.WARNING,
            code=self.rule,
            message=self.message,
            span=self.span,
            source=source,
            hint=self.hint,
            notes=self.notes,
        )
