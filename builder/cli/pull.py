"""`lapstrake pull`: an image from a registry into the store."""

from __future__ import annotations

import click

from builder.cli.invocation import Invocation
from builder.cli.registry_options import registry_options
from builder.cli.verb import Verb, absent, ignored


@click.command(
    "pull",
    cls=Verb,
    others=[*absent("-a/--all-tags", value=False), *ignored("--disable-content-trust")],
    short_help="Download an image from a registry",
)
@click.option("--platform", metavar="OS/ARCH", help="Choose the image for this platform.")
@click.option("-q", "--quiet", is_flag=True, help="Print only the name of the image.")
@registry_options
@click.argument("name")
@click.pass_obj
def command(invocation: Invocation, *, name: str, platform: str | None, quiet: bool) -> None:
    """Download the image NAME from its registry."""
    wanted = platform or invocation.settings.default_platform
    mode = "quiet" if quiet else None
    with invocation.engine() as engine, invocation.progress(mode, title="Pulling") as events:
        result = engine.pull(name, wanted, events)
    if not quiet:
        invocation.say(f"Digest: {result.digest}")
    invocation.say(result.reference)
