"""`lapstrake builds`: the builds that are remembered, the newest first."""

from __future__ import annotations

import time

import click
import msgspec

from builder.cli.invocation import Invocation
from builder.cli.verb import Verb
from builder.ui.cells import clip
from builder.ui.size import age, duration

SHORT = 12
_CELLS = 40


@click.command("builds", cls=Verb, short_help="List builds")
@click.option("-q", "--quiet", is_flag=True, help="Print only ids.")
@click.option("-n", "--last", type=int, default=20, metavar="N", help="Show the last N, 0 for all.")
@click.option("--no-trunc", is_flag=True, help="Print ids and names in full.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")
@click.pass_obj
def command(
    invocation: Invocation, *, quiet: bool, last: int, no_trunc: bool, as_json: bool
) -> None:
    """List builds: what they made, how they ended and how long they took."""
    from builder.ui.table import table

    with invocation.engine() as engine:
        found = engine.builds()
    found = found[: last or None]
    now = time.time()
    rows: list[tuple[str, ...]] = []
    for about in found:
        shown_id = about.id if no_trunc else about.id[-SHORT:]
        if as_json:
            invocation.say(msgspec.json.encode(about).decode())
        elif quiet:
            invocation.say(shown_id)
        name = ", ".join(about.names) or about.context
        rows.append(
            (
                shown_id,
                age(now - about.started),
                name if no_trunc else clip(name, _CELLS),
                about.outcome if about.error is None else f"{about.outcome}: {about.error[0]}",
                f"{about.cached}/{about.steps}" if about.steps else "",
                duration(about.seconds) if about.seconds else "",
            )
        )
    if not (as_json or quiet):
        header = ("BUILD", "STARTED", "NAME", "ENDED", "CACHED", "TIME")
        click.echo(table(header, rows), nl=False)
