"""`lapstrake builds`: the builds that are remembered, the newest first."""

from __future__ import annotations

import time

import click
import msgspec

from builder.cli.invocation import Invocation
from builder.cli.verb import Verb
from builder.errors import UsageError
from builder.ui.cells import clip
from builder.ui.size import age, duration

SHORT = 12
_CELLS = 40
_HEADERS = {
    "ID": "BUILD",
    "StartedSince": "STARTED",
    "Name": "NAME",
    "Ended": "ENDED",
    "Cached": "CACHED",
    "Time": "TIME",
}


@click.command("builds", cls=Verb, short_help="List builds")
@click.option("-q", "--quiet", is_flag=True, help="Print only ids.")
@click.option("-n", "--last", type=int, default=20, metavar="N", help="Show the last N, 0 for all.")
@click.option("--no-trunc", is_flag=True, help="Print ids and names in full.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")
@click.option(
    "--format",
    "form",
    metavar="FORM",
    help="Print as table, as json, or through a Go template, `table TEMPLATE` in columns.",
)
@click.pass_obj
def command(
    invocation: Invocation,
    *,
    quiet: bool,
    last: int,
    no_trunc: bool,
    as_json: bool,
    form: str | None,
) -> None:
    """List builds: what they made, how they ended and how long they took."""
    from builder.ui.table import table

    if form is not None and (quiet or as_json):
        raise UsageError("`--format` goes with neither `--quiet` nor `--json`")
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
    if form is not None:
        _formatted(invocation, form, rows)
    elif not (as_json or quiet):
        click.echo(table(tuple(_HEADERS.values()), rows), nl=False)


def _formatted(invocation: Invocation, form: str, rows: list[tuple[str, ...]]) -> None:
    from builder.cli.formats import listed
    from builder.ui.formatted import form_of, row

    default = "\t".join(f"{{{{.{name}}}}}" for name in _HEADERS)
    records = (row("build", dict(zip(_HEADERS, cells, strict=True))) for cells in rows)
    invocation.show(listed(form_of(form, default), records, _HEADERS))
