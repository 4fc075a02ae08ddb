"""What is weaker about the walls that stand than about the best there are, said once in a build."""

from __future__ import annotations

from builder.diagnostics import Diagnostic, Severity
from builder.solve.translate import Behind
from runtime.spec import IsolationName

_TITLES = {
    IsolationName.SINGLE_ID: "steps run with one user id alone (isolation `single-id`)",
    IsolationName.CHROOT: "steps run without walls (isolation `chroot`)",
}


def weaker(behind: Behind) -> tuple[Diagnostic, ...]:
    """Return a warning where steps had walls of which one should know; none where none were needed."""
    name = behind.opened
    if name is None or name not in _TITLES:
        return ()
    launcher = behind.launcher
    return (
        Diagnostic(
            severity=Severity.WARNING,
            code="build.weaker-walls",
            message=_TITLES[name],
            notes=(*launcher.weaker, *launcher.passed_over),
        ),
    )
