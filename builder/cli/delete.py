"""`lapstrake delete`: an image out of its registry."""

from __future__ import annotations

import click

from builder.cli.invocation import Invocation
from builder.cli.registry_options import registry_options
from builder.cli.verb import Verb
from builder.errors import UsageError


@click.command("delete", cls=Verb, short_help="Remove an image from its registry")
@registry_options
@click.argument("name", metavar="docker://NAME")
@click.pass_obj
def command(invocation: Invocation, *, name: str) -> None:
    """Remove what NAME stands for from its registry, with all tags that lead to it; the store keeps what it has."""
    from builder.engine.remote import Remote

    if not name.startswith("docker://"):
        raise UsageError(
            f"`{name}` is not said to be in a registry",
            hint=f"write `docker://{name}`; `lapstrake rmi` removes images of the store",
        )
    digest = Remote(invocation.settings).delete(name)
    invocation.say(f"Deleted: {name.removeprefix('docker://')} {digest}")
