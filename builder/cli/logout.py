"""`lapstrake logout`: forgets the credentials for a registry."""

from __future__ import annotations

import click

from builder.cli.invocation import Invocation
from builder.cli.verb import Verb


@click.command("logout", cls=Verb, short_help="Sign out of a registry")
@click.argument("registry", default="docker.io")
@click.pass_obj
def command(invocation: Invocation, *, registry: str) -> None:
    """Forget the credentials for REGISTRY, by default Docker Hub."""
    with invocation.engine() as engine:
        known = engine.logout(registry)
    invocation.say(
        f"Removed login credentials for {registry}" if known else f"Not logged in to {registry}"
    )
