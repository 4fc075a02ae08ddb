"""What is weaker about the walls that stand than about the best there are: said once in a build, and by `info`."""

from __future__ import annotations

from builder.diagnostics import Diagnostic, Severity
from builder.solve.translate import Behind
from runtime.spec import IsolationName

WEAKER = {
    IsolationName.SINGLE_ID: (
        "there is one user id: owners of files and directories are remembered beside them, those of links and of what `cp` and `mv` copy are root's",
        "programs of different users are not kept apart",
    ),
    IsolationName.CHROOT: (
        "there is no wall: a step may do to this machine, or container, whatever root may",
    ),
}
_TITLES = {
    IsolationName.SINGLE_ID: "steps run with one user id alone (isolation `single-id`)",
    IsolationName.CHROOT: "steps run without walls (isolation `chroot`)",
}


def weaker(behind: Behind) -> tuple[Diagnostic, ...]:
    """Return a warning where steps had walls of which one should know; none where none were needed."""
    name = behind.opened
    if name is None or name not in WEAKER:
        return ()
    passed_over = behind.launcher.passed_over
    return (
        Diagnostic(
            severity=Severity.WARNING,
            code="build.weaker-walls",
            message=_TITLES[name],
            notes=(*WEAKER[name], *passed_over),
        ),
    )
