"""`lapstrake history`: how an image came to be, the newest step first."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from builder.cli.invocation import Invocation
from builder.cli.verb import Verb
from builder.ui.cells import clip, neutral
from builder.ui.size import age_of, size, timestamp
from builder.ui.summary import short_id

if TYPE_CHECKING:
    from builder.engine import HistoryRow
    from builder.ui.template import Record

_MISSING = "<missing>"
_COMMAND_CELLS = 45
_EPOCH = 946_684_800
"""The year 2000: moments before it are not meant, but stand in images that are to be reproducible."""

_HEADERS = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
}


@click.command("history", cls=Verb, short_help="Show how an image was made")
@click.option(
    "-H",
    "--human/--no-human",
    default=True,
    help="Print ages, and sizes with units, instead of times and bytes.",
)
@click.option("--no-trunc", is_flag=True, help="Print commands and ids in full.")
@click.option("-q", "--quiet", is_flag=True, help="Print only ids.")
@click.option(
    "--format",
    "form",
    default="",
    metavar="FORM",
    help="Print as table, as json, or through a Go template, `table TEMPLATE` in columns.",
)
@click.option("--platform", metavar="OS/ARCH", help="Show the image for this platform.")
@click.argument("name", metavar="IMAGE")
@click.pass_obj
def command(
    invocation: Invocation,
    *,
    name: str,
    human: bool,
    no_trunc: bool,
    quiet: bool,
    form: str,
    platform: str | None,
) -> None:
    """Show the steps that made an image, the newest first."""
    from builder.cli.formats import listed
    from builder.ui.formatted import Form, form_of

    created = "{{.CreatedSince}}" if human else "{{.CreatedAt}}"
    columns = ("{{.ID}}", created, "{{.CreatedBy}}", "{{.Size}}", "{{.Comment}}")
    chosen = form_of(form, "\t".join(columns))
    if quiet and form in ("", "table"):
        chosen = Form("{{.ID}}", is_table=False)
    with invocation.engine() as engine:
        steps = engine.history(name, platform)
    now = time.time()
    records = (
        _record(step, now=now, human=human, whole=no_trunc, plain=chosen.is_table) for step in steps
    )
    invocation.show(listed(chosen, records, _HEADERS))


def _record(step: HistoryRow, *, now: float, human: bool, whole: bool, plain: bool) -> Record:
    """Return what a template sees of a step; with `plain`, no text can break a line or a column."""
    from builder.ui.formatted import row

    created_by, comment = step.created_by.replace("\t", " "), step.comment
    if plain:
        created_by, comment = neutral(created_by), neutral(comment.replace("\t", " "))
    moment = timestamp(step.created)
    since = age_of(step.created, now) if moment is not None and moment > _EPOCH else "N/A"
    members = {
        "Comment": comment,
        "CreatedAt": _moment(moment or 0.0),
        "CreatedBy": created_by if whole else clip(created_by, _COMMAND_CELLS),
        "CreatedSince": since if human else _moment(moment or 0.0),
        "ID": (step.id if whole else short_id(step.id)) if step.id else _MISSING,
        "Size": size(step.size) if human else str(step.size),
    }
    return row("*image.historyContext", members)


def _moment(seconds: float) -> str:
    """Return a moment in the time of this machine, as in RFC 3339."""
    text = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(seconds))
    return f"{text[:-5]}Z" if text.endswith("+0000") else f"{text[:-2]}:{text[-2:]}"
