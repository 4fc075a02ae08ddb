"""What is told of limits that cannot be set."""

from __future__ import annotations

from collections.abc import Callable

from builder.diagnostics import Diagnostic, Severity
from runtime.spec import Unset


class UnsetLimits:
    """Hears of limits that cannot be set, from many threads and for many steps, and tells of each once."""

    def __init__(self, tell: Callable[[Diagnostic], None]) -> None:
        self._tell = tell
        self._told: set[Unset] = set()

    def hear(self, unset: Unset) -> None:
        """Tell of a limit, unless that has happened."""
        if unset in self._told:
            return
        self._told.add(unset)
        self._tell(
            Diagnostic(
                severity=Severity.WARNING,
                code="build.limit-unset",
                message=f"the limit `{unset.limit}` cannot be set here: {unset.reason}",
                notes=(unset.instead or "the steps run without it",),
            )
        )
