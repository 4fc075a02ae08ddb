"""`lapstrake rmi`: names and images out of the store."""

from __future__ import annotations

import click

from builder.cli.invocation import Invocation
from builder.cli.verb import Verb, absent


@click.command(
    "rmi",
    cls=Verb,
    others=[*absent("--no-prune", value=False), *absent("--platform")],
    short_help="Remove images",
)
@click.option("-f", "--force", is_flag=True, help="Remove an image with all its names.")
@click.argument("names", nargs=-1, required=True, metavar="IMAGE...")
@click.pass_obj
def command(invocation: Invocation, *, names: tuple[str, ...], force: bool) -> None:
    """Remove images by name or id; an image goes with its last name."""
    with invocation.engine() as engine:
        lines = engine.remove_images(names, force=force)
    for line in lines:
        invocation.say(line)
