"""`lapstrake push`: an image of the store to a registry."""

from __future__ import annotations

import click

from builder.cli.invocation import Invocation
from builder.cli.registry_options import registry_options
from builder.cli.verb import Verb, absent, ignored


@click.command(
    "push",
    cls=Verb,
    others=[
        *absent("-a/--all-tags", value=False),
        *absent("--platform"),
        *ignored("--disable-content-trust"),
    ],
    short_help="Upload an image to a registry",
)
@click.option("-q", "--quiet", is_flag=True, help="Print only the name of the image.")
@registry_options
@click.argument("name")
@click.pass_obj
def command(invocation: Invocation, *, name: str, quiet: bool) -> None:
    """Upload the image NAME to the registry in its name."""
    mode = "quiet" if quiet else None
    with invocation.engine() as engine, invocation.progress(mode, title="Pushing") as events:
        result = engine.push(name, events)
    if quiet:
        invocation.say(result.reference)
    else:
        invocation.say(f"{result.reference}: digest: {result.digest} size: {result.size}")
