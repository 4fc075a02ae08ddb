"""`lapstrake version`: which lapstrake this is, and on what it runs."""

from __future__ import annotations

import click

from builder.cli.invocation import Invocation
from builder.cli.verb import Verb, absent


@click.command(
    "version", cls=Verb, others=absent("-f/--format"), short_help="Show the version of lapstrake"
)
@click.pass_obj
def command(invocation: Invocation) -> None:
    """Show the version of lapstrake and of what it runs on."""
    import platform

    invocation.say(version_line())
    invocation.say(f"Python {platform.python_version()}")
    invocation.say(f"{platform.system()} {platform.release()} {platform.machine()}")


def version_line() -> str:
    """Return the name and the version of the distribution that is installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"lapstrake version {version('lapstrake')}"
    except PackageNotFoundError:  # run from a source tree
        return "lapstrake version unknown"
