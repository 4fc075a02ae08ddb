"""`lapstrake history`: how an image came to be, the newest step first."""

from __future__ import annotations

import time

import click

from builder.cli.invocation import Invocation
from builder.cli.verb import Verb, absent
from builder.ui.cells import clip
from builder.ui.size import age_of, size
from builder.ui.summary import short_id

_MISSING = "<missing>"
_COMMAND_CELLS = 45


@click.command(
    "history",
    cls=Verb,
    others=[*absent("--format", "--platform"), *absent("-H/--human", value=False)],
    short_help="Show how an image was made",
)
@click.option("--no-trunc", is_flag=True, help="Print commands and ids in full.")
@click.option("-q", "--quiet", is_flag=True, help="Print only ids.")
@click.argument("name", metavar="IMAGE")
@click.pass_obj
def command(invocation: Invocation, *, name: str, no_trunc: bool, quiet: bool) -> None:
    """Show the steps that made an image, the newest first."""
    from builder.ui.table import table

    with invocation.engine() as engine:
        steps = engine.history(name)
    ids = [(step.id if no_trunc else short_id(step.id)) if step.id else _MISSING for step in steps]
    if quiet:
        for image_id in ids:
            invocation.say(image_id)
        return
    now = time.time()
    rows = [
        (
            image_id,
            age_of(step.created, now),
            step.created_by if no_trunc else clip(step.created_by, _COMMAND_CELLS),
            size(step.size),
            step.comment,
        )
        for step, image_id in zip(steps, ids, strict=True)
    ]
    click.echo(table(("IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"), rows), nl=False)
