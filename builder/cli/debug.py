"""`lapstrake debug`: a shell, or a command, in the file system of a step."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click
import msgspec

from builder.cli.invocation import Invocation
from builder.cli.verb import Verb
from builder.settings import isolation_name
from builder.ui.style import is_terminal

if TYPE_CHECKING:
    from builder.engine import DebugRequest, Engine

_COMMAND = "lapstrake.command"


class _WithCommand(Verb):
    """What follows `--` is a command of its own, whatever stands before."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the command away, and parse the rest."""
        at = args.index("--") if "--" in args else len(args)
        ctx.meta[_COMMAND] = tuple(args[at + 1 :])
        return super().parse_args(ctx, args[:at])


@click.command(
    "debug",
    cls=_WithCommand,
    short_help="Look around in a step of a build",
    options_metavar="[OPTIONS]",
    epilog="Nothing that is written there is kept without --keep. Exit codes are those of the shell or command.",
)
@click.option(
    "--secret",
    "secrets",
    multiple=True,
    metavar="id=NAME[,src=FILE|,env=NAME]",
    help="Give a secret that the step asked for again.",
)
@click.option(
    "--ssh",
    multiple=True,
    metavar="default|ID=SOCKET|ID=KEY",
    help="Give an ssh agent that the step asked for again.",
)
@click.option(
    "--ca-cert",
    "ca_certs",
    multiple=True,
    metavar="FILE",
    help="Trust these certificates, as `build` does.",
)
@click.option("--keep", metavar="NAME", help="Make an image of what is left in the end.")
@click.option("--isolation", metavar="NAME", help="Choose the walls.")
@click.argument("place", required=False, default="", metavar="[BUILD[:STEP]] [-- COMMAND...]")
@click.pass_context
def command(
    context: click.Context,
    *,
    place: str,
    secrets: tuple[str, ...],
    ssh: tuple[str, ...],
    ca_certs: tuple[str, ...],
    keep: str | None,
    isolation: str | None,
) -> int:
    """Open a shell where a step of a build ran, or run COMMAND there.

    It has the step's files, environment, directory, user, mounts, network and limits. BUILD is the end or the beginning of
    an id, or `last`; by default the newest. STEP is `#N` as in the log, a line of the Dockerfile, or STAGE:LINE; by default
    the step that failed, or else the last. A failed step is shown with what it wrote if the build had `--keep-failed`,
    else as it was before.
    """
    from builder.cli.given import agents_of, secrets_of
    from builder.engine import DebugRequest

    invocation = context.obj
    assert isinstance(invocation, Invocation)
    settings = invocation.settings
    if isolation is not None:
        walls = isolation_name(isolation, "--isolation")
        settings = msgspec.structs.replace(settings, isolation=walls)
    given = (*settings.ca_certs, *(os.path.abspath(each) for each in ca_certs))
    invocation.change(msgspec.structs.replace(settings, ca_certs=given))
    build, step = _read(place)
    request = DebugRequest(
        build=build,
        step=step,
        argv=context.meta[_COMMAND],
        keep=keep,
        terminal=is_terminal(sys.stdin) and is_terminal(sys.stdout),
        secrets=secrets_of(secrets),
        agents=agents_of(ssh),
    )
    with invocation.engine() as engine:
        return look_around(invocation, engine, request)


def look_around(invocation: Invocation, engine: Engine, request: DebugRequest) -> int:
    """Run the shell or command of a request on our own streams."""
    from builder.containers.foreground import Streams
    from runtime.forward import Forward

    signals = Forward()
    with invocation.interruption.forwards(signals):
        return engine.debug(
            request, Streams(stdin=0, stdout=1, stderr=2), invocation.tell, signals=signals
        )


def _read(place: str) -> tuple[str, str | None]:
    """Split `BUILD:STEP`; what begins with `#` is a step of the newest build."""
    build, colon, step = place.partition(":")
    if place.startswith("#"):
        return "", place
    return ("" if build == "last" else build), (step if colon else None)
