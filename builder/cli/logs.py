"""`lapstrake logs`: what happened in a build, or what one of its steps wrote."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from builder.cli.invocation import Invocation
from builder.cli.verb import Verb
from builder.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from builder.events import Event


@click.command("logs", cls=Verb, short_help="Show the log of a build")
@click.argument("build", required=False, default="", metavar="[BUILD]")
@click.argument("step", required=False, metavar="[STEP]")
@click.pass_obj
def command(invocation: Invocation, *, build: str, step: str | None) -> None:
    """Show the log of BUILD, by default of the newest, or what one STEP of it wrote.

    BUILD is the end or the beginning of an id, or `last`. STEP is `#N` as in the log, the number of a line
    of the Dockerfile, or STAGE:LINE.
    """
    with invocation.engine() as engine:
        _, events = engine.build_events("" if build == "last" else build)
        if step is None:
            _show(events)
        else:
            _show_step(events, step)


def _show(events: Iterable[Event]) -> None:
    from builder.ui import plain

    state = plain.State()
    for event in events:
        state = plain.reduce(state, event)
        sys.stdout.write(plain.render(state))


def _show_step(events: Iterable[Event], step: str) -> None:
    from builder.engine.steps import find_step
    from builder.events import VertexLog

    found = list(events)
    number = find_step(found, step)
    if number is None:
        raise BuildError(
            f"the build has no step `{step[:60]}`",
            code="build.not-found",
            hint="name it as `#N`, by its line in the Dockerfile, or as STAGE:LINE",
        )
    for event in found:
        if isinstance(event, VertexLog) and event.id == number:
            sys.stdout.buffer.write(event.data)
    sys.stdout.flush()
