"""`lapstrake tag`: another name for an image."""

from __future__ import annotations

import click

from builder.cli.invocation import Invocation
from builder.cli.verb import Verb


@click.command("tag", cls=Verb, short_help="Give an image another name")
@click.argument("source")
@click.argument("target")
@click.pass_obj
def command(invocation: Invocation, *, source: str, target: str) -> None:
    """Give the image SOURCE the further name TARGET."""
    with invocation.engine() as engine:
        engine.tag(source, target)
