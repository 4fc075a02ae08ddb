"""A build in the foreground: what is shown of it while it runs, and what is said at its end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, BinaryIO

from builder.cli.invocation import Invocation
from builder.cli.on_fail import Shell, look_around_in
from builder.errors import LapstrakeError, RunFailed, UsageError
from builder.settings import progress_mode
from builder.ui.style import palette_for

if TYPE_CHECKING:
    from builder.diagnostics import Diagnostic
    from builder.engine import BuildRequest, BuildResult, CallRequest


def standard_input(request: BuildRequest | CallRequest) -> BinaryIO | None:
    """Return standard input where the request reads from it.

    Raises: UsageError: it is a terminal.
    """
    if "-" not in (request.context, request.dockerfile):
        return None
    if sys.stdin is None or sys.stdin.isatty():
        what = "context" if request.context == "-" else "Dockerfile"
        raise UsageError(
            f"the {what} is to come from standard input, which is a terminal",
            hint="redirect a file or the output of a command to it",
        )
    return sys.stdin.buffer


def mode_of(invocation: Invocation, progress: str | None, *, quiet: bool) -> str:
    """Return how progress is shown; programs that read it are told errors in their form too.

    Raises: UsageError: there is no such way.
    """
    chosen = progress_mode(progress, "--progress") if progress else invocation.settings.progress
    mode = "quiet" if quiet else chosen
    invocation.machine = mode == "rawjson"
    return mode


def run(
    invocation: Invocation,
    request: BuildRequest,
    mode: str,
    shell: Shell = Shell.NONE,
    *,
    explain: bool = False,
) -> tuple[BuildResult, tuple[Diagnostic, ...]]:
    """Build; tell the warnings at the end, whether it went well or not, and return them.

    Raises: LapstrakeError: what ended the build.
    """
    stdin = standard_input(request)
    with invocation.engine() as engine:
        warnings: tuple[Diagnostic, ...] = ()
        try:
            with invocation.progress(mode, title="Building") as progress:
                if explain:
                    from builder.ui.explained import Explaining

                    progress = Explaining(progress, invocation.say)
                try:
                    result = (
                        engine.build(request, progress)
                        if stdin is None
                        else engine.build(request, progress, stdin)
                    )
                finally:
                    warnings = progress.warnings
        except LapstrakeError as error:
            _summarise(invocation, warnings, None, mode)
            if shell is not Shell.NONE and isinstance(error, RunFailed):
                look_around_in(invocation, engine, request, error, shell)
            raise
    warnings = tuple(dict.fromkeys((*warnings, *result.warnings)))
    _summarise(invocation, warnings, result, mode)
    return result, warnings


def _summarise(
    invocation: Invocation,
    warnings: tuple[Diagnostic, ...],
    result: BuildResult | None,
    mode: str,
) -> None:
    if mode in {"quiet", "rawjson"}:
        return
    for warning in warnings:
        invocation.tell(warning)
    if result is not None:
        from builder.ui.summary import summary

        line = summary(
            image_id=result.stored,
            names=result.names,
            bytes_=result.size,
            seconds=result.seconds,
            steps=result.steps,
            cached=result.cached,
            platforms=tuple(each.platform for each in result.platforms),
            palette=palette_for(sys.stderr, invocation.settings),
        )
        pushed = f", pushed as {result.digest}" if result.digest is not None else ""
        sys.stderr.write(f"{line}{pushed}\n")
