"""`lapstrake run`: a command in a new container, in the foreground, with its own exit code."""

from __future__ import annotations

import sys

import click
import msgspec

from builder.cli.invocation import Invocation
from builder.cli.pairs import from_file, with_environment
from builder.cli.registry_options import registry_options
from builder.cli.verb import Verb, absent
from builder.errors import UsageError
from builder.settings import isolation_name
from builder.ui.style import is_terminal

_ABSENT = [
    *absent(
        "-a/--attach",
        "--add-host",
        "--cap-add",
        "--cap-drop",
        "--cidfile",
        "-c/--cpu-shares",
        "--cpus",
        "--cpuset-cpus",
        "--detach-keys",
        "--device",
        "--dns",
        "--expose",
        "--gpus",
        "--group-add",
        "--health-cmd",
        "-h/--hostname",
        "--ipc",
        "-l/--label",
        "--label-file",
        "--log-driver",
        "--log-opt",
        "-m/--memory",
        "--mount",
        "--name",
        "--network-alias",
        "--pid",
        "--pids-limit",
        "-p/--publish",
        "--restart",
        "--runtime",
        "--security-opt",
        "--shm-size",
        "--stop-signal",
        "--stop-timeout",
        "--sysctl",
        "--tmpfs",
        "--ulimit",
        "--userns",
        "--uts",
        "--volumes-from",
    ),
    *absent(
        "-d/--detach",
        "--init",
        "--no-healthcheck",
        "--privileged",
        "-P/--publish-all",
        "--read-only",
        value=False,
    ),
]

_EPILOG = """
Containers always remove themselves, with or without --rm.

Signals go to the command: INT, TERM, HUP, QUIT, USR1 and USR2. The third INT, TERM or HUP ends it whatever it does.
"""


@click.command(
    "run",
    cls=Verb,
    others=_ABSENT,
    short_help="Run a command in a new container",
    context_settings={"allow_interspersed_args": False, "help_option_names": ["--help"]},
    epilog=_EPILOG,
)
@click.option("--rm", is_flag=True, help="Remove the container afterwards, as is always done.")
@click.option("-i", "--interactive", is_flag=True, help="Pass standard input on.")
@click.option("-t", "--tty", "terminal", is_flag=True, help="Give the command a terminal.")
@click.option("-e", "--env", multiple=True, metavar="NAME[=VALUE]", help="Set a variable.")
@click.option("--env-file", multiple=True, metavar="FILE", help="Set the variables in a file.")
@click.option("-w", "--workdir", metavar="DIR", help="Start in this directory of the container.")
@click.option("-u", "--user", metavar="USER[:GROUP]", help="Run as this user.")
@click.option(
    "-v", "--volume", "volumes", multiple=True, metavar="HOST:DIR[:ro]", help="Show a directory."
)
@click.option("--entrypoint", metavar="COMMAND", help="Replace the entry point of the image.")
@click.option(
    "--network",
    "--net",
    type=click.Choice(["default", "host", "none"]),
    default="default",
    help="Choose the network of the command.",
)
@click.option(
    "--pull",
    type=click.Choice(["always", "missing", "never"]),
    default="missing",
    help="Choose when to ask the registry for the image.",
)
@click.option("--platform", metavar="OS/ARCH", help="Choose the image for this platform.")
@click.option("--isolation", metavar="NAME", help="Choose the walls around the command.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress of a pull.")
@registry_options
@click.argument("image")
@click.argument("argv", nargs=-1, type=click.UNPROCESSED, metavar="[COMMAND] [ARGUMENT...]")
@click.pass_obj
def command(
    invocation: Invocation,
    *,
    image: str,
    argv: tuple[str, ...],
    rm: bool,  # noqa: ARG001  what it asks for is done anyway
    interactive: bool,
    terminal: bool,
    env: tuple[str, ...],
    env_file: tuple[str, ...],
    workdir: str | None,
    user: str | None,
    volumes: tuple[str, ...],
    entrypoint: str | None,
    network: str,
    pull: str,
    platform: str | None,
    isolation: str | None,
    quiet: bool,
) -> int:
    """Run a command in a new container of IMAGE and end with its exit code."""
    from builder.containers.foreground import Streams
    from builder.engine import RunRequest
    from runtime.forward import Forward

    if terminal and interactive and not is_terminal(sys.stdin):
        raise UsageError("standard input is not a terminal", hint="leave out `-t`")
    if isolation is not None:
        walls = isolation_name(isolation, "--isolation")
        invocation.change(msgspec.structs.replace(invocation.settings, isolation=walls))
    pairs = [pair for path in env_file for pair in from_file(path)]
    pairs += with_environment(env, "--env")
    request = RunRequest(
        image=image,
        argv=argv,
        env=tuple(f"{name}={value}" for name, value in dict(pairs).items()),
        workdir=workdir,
        user=user,
        volumes=volumes,
        interactive=interactive,
        terminal=terminal,
        entrypoint=entrypoint,
        network=network,
        pull=pull,
        platform=platform or invocation.settings.first_platform,
    )
    # Lines, never the picture: it would be drawn over the output of the command.
    mode = "quiet" if quiet else "plain"
    signals = Forward()
    with (
        invocation.engine() as engine,
        invocation.progress(mode, title="Running") as events,
        invocation.interruption.forwards(signals),
    ):
        return engine.run(request, Streams(stdin=0, stdout=1, stderr=2), events, signals=signals)
