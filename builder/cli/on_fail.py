"""`build --on-fail`: what follows a step that fails."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

import click

from builder.cli.invocation import Invocation
from builder.errors import RunFailed, UsageError
from builder.ui.style import is_terminal

if TYPE_CHECKING:
    from builder.engine import BuildRequest, Engine


_T = TypeVar("_T", bound=Callable[..., object])


def on_fail_options(command: _T) -> _T:
    """Add the options to a command."""
    keep = click.option(
        "--keep-failed", is_flag=True, help="Keep what a step wrote that failed, for `debug`."
    )
    on_fail = click.option(
        "--on-fail",
        type=click.Choice(["stop", "keep", "shell"]),
        default="stop",
        help="When a step fails: stop, keep what it wrote, or open a shell in it.",
    )
    return keep(on_fail(command))


class Shell(Enum):
    """Whether a shell follows a step that failed, and whether what it wrote is kept after that."""

    NONE = "none"
    ONLY = "only"
    AND_KEEP = "and keep"


def shell_of(on_fail: str, *, keep: bool) -> Shell:
    """Return what the word after `--on-fail` asks for.

    Raises: UsageError: it is a shell, and nobody could type in it.
    """
    if on_fail != "shell":
        return Shell.NONE
    if not (is_terminal(sys.stdin) and is_terminal(sys.stdout)):
        raise UsageError(
            "`--on-fail=shell` needs a terminal",
            hint="use `--on-fail=keep`, and `lapstrake debug` later",
        )
    return Shell.AND_KEEP if keep else Shell.ONLY


def look_around_in(
    invocation: Invocation, engine: Engine, request: BuildRequest, error: RunFailed, shell: Shell
) -> None:
    """Tell why the build ends, and open a shell in the step before it does.

    Raises: click.exceptions.Exit: the shell has ended.
    """
    from builder.cli.debug import look_around
    from builder.engine import DebugRequest

    invocation.tell(error.diagnostic())
    try:
        look_around(
            invocation,
            engine,
            DebugRequest(terminal=True, secrets=request.secrets, agents=request.agents),
        )
    finally:
        if shell is Shell.ONLY:
            engine.forget_kept()
    raise click.exceptions.Exit(error.exit_code)
