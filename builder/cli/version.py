"""`lapstrake version`: which lapstrake this is, and on what it runs."""

from __future__ import annotations

import click

from builder.cli.invocation import Invocation
from builder.cli.verb import Verb


@click.command("version", cls=Verb, short_help="Show the version of lapstrake")
@click.option(
    "-f", "--format", "form", metavar="FORM", help="Print json, or through a Go template."
)
@click.pass_obj
def command(invocation: Invocation, *, form: str | None) -> None:
    """Show the version of lapstrake and of what it runs on."""
    import platform

    if form is None:
        invocation.say(version_line())
        invocation.say(f"Python {platform.python_version()}")
        invocation.say(f"{platform.system()} {platform.release()} {platform.machine()}")
        return
    from builder.cli.formats import object_text
    from builder.oci.platform import Platform

    host = Platform.host()
    document = {
        # There is no server: what Docker's users ask for as one of the two is the same here.
        side: {
            "Version": version_line().rpartition(" ")[2],
            "Os": host.os,
            "Arch": host.architecture,
            "KernelVersion": platform.release(),
            "PythonVersion": platform.python_version(),
        }
        for side in ("Client", "Server")
    }
    invocation.show(object_text(form, document))


def version_line() -> str:
    """Return the name and the version of the distribution that is installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"lapstrake version {version('lapstrake')}"
    except PackageNotFoundError:  # run from a source tree
        return "lapstrake version unknown"
