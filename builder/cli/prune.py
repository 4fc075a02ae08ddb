"""`lapstrake prune`: what nothing needs any more."""

from __future__ import annotations

import sys

import click

from builder.cli.invocation import Invocation
from builder.cli.verb import Verb, absent
from builder.errors import UsageError
from builder.ui.size import size
from builder.ui.style import is_terminal


@click.command(
    "prune",
    cls=Verb,
    others=[*absent("--filter"), *absent("--volumes", value=False)],
    short_help="Remove what is not used",
)
@click.option("-a", "--all", "all_images", is_flag=True, help="Remove images with names, too.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.pass_obj
def command(invocation: Invocation, *, all_images: bool, force: bool) -> None:
    """Remove images without a name, and layers and cache that nothing uses.

    Without a terminal nobody can be asked, and `-f` is needed.
    """
    what = "all images, and all cache" if all_images else "images without a name, and unused cache"
    if not force:
        if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
            raise UsageError(
                f"nobody can be asked whether to remove {what}: this is not a terminal",
                hint="add `-f` to remove them without being asked",
            )
        click.echo(f"WARNING! This will remove {what}.", err=True)
        if not click.confirm("Are you sure you want to continue?", err=True):
            return
    with invocation.engine() as engine:
        result = engine.prune(all_images=all_images)
    for line in result.removed:
        invocation.say(line)
    invocation.say(f"Total reclaimed space: {size(result.bytes)}")
