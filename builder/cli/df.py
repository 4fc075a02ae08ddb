"""`lapstrake df`: what takes the room on the disk."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click
import msgspec

from builder.cli.invocation import Invocation
from builder.cli.verb import Verb
from builder.errors import UsageError
from builder.ui.cells import clip
from builder.ui.size import age, duration, size
from builder.ui.summary import short_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from builder.store.accounting import Account

_CELLS = 50
_HEADERS = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}


@click.command("df", cls=Verb, short_help="Show what takes the room on the disk")
@click.option(
    "-v", "--verbose", is_flag=True, help="Show every image, step, project and cache mount."
)
@click.option("--json", "as_json", is_flag=True, help="Print all of it as one JSON object.")
@click.option("--no-trunc", is_flag=True, help="Print ids, steps and projects in full.")
@click.option(
    "--format",
    "form",
    metavar="FORM",
    help="Print the kinds as table, as json, or through a Go template, `table TEMPLATE` in columns.",
)
@click.pass_obj
def command(
    invocation: Invocation, *, verbose: bool, as_json: bool, no_trunc: bool, form: str | None
) -> None:
    """Show what takes the room in the store; what several images share counts once.

    RECLAIMABLE is what `lapstrake prune` would give back. The sizes are those of blocks on the disk; copies that share
    their blocks (reflinks) count as if they did not.
    """
    if form is not None and (verbose or as_json):
        raise UsageError("`--format` goes with neither `--verbose` nor `--json`")
    with invocation.engine() as engine:
        found = engine.disk_usage()
    if as_json:
        invocation.say(msgspec.json.encode(found).decode())
        return
    if form is not None:
        _formatted(invocation, form, found)
        return
    _write(tuple(_HEADERS.values()), _kinds(found))
    if verbose:
        _details(found, no_trunc=no_trunc)


def _formatted(invocation: Invocation, form: str, found: Account) -> None:
    from builder.cli.formats import listed
    from builder.ui.formatted import form_of, row

    default = "\t".join(f"{{{{.{name}}}}}" for name in _HEADERS)
    records = (row("kind", dict(zip(_HEADERS, cells, strict=True))) for cells in _kinds(found))
    invocation.show(listed(form_of(form, default), records, _HEADERS))


def _kinds(found: Account) -> Iterable[Sequence[str]]:
    for kind in found.kinds:
        if kind.number or kind.bytes or kind.kind in ("images", "steps", "cache mounts"):
            yield (
                kind.kind.capitalize(),
                str(kind.number) if kind.number or kind.kind != "rest" else "",
                size(kind.bytes),
                size(kind.reclaimable) if kind.kind != "rest" else "",
            )
    yield ("Together", "", size(found.bytes), size(sum(each.reclaimable for each in found.kinds)))


def _details(found: Account, *, no_trunc: bool) -> None:
    now = time.time()

    def text(whole: str) -> str:
        return whole if no_trunc else clip(whole, _CELLS)

    def identity(whole: str) -> str:
        return whole if no_trunc else short_id(whole)

    click.echo("\nImages:\n")
    _write(
        ("NAME", "IMAGE ID", "CREATED", "SIZE", "SHARED", "UNIQUE"),
        (
            (
                text(", ".join(each.names) or "<none>"),
                identity(each.id),
                age(now - each.created),
                size(each.bytes),
                size(each.shared),
                size(each.unique),
            )
            for each in found.images
        ),
    )
    click.echo("\nSteps, by the layers that they gave:\n")
    _write(
        ("LAYER", "STEP", "PROJECT", "LAST USED", "TOOK", "SIZE", "IN IMAGES"),
        (
            (
                identity(each.layer),
                text(each.step),
                text(each.project),
                age(now - each.used),
                duration(each.seconds),
                size(each.bytes),
                str(each.images),
            )
            for each in found.steps
        ),
    )
    click.echo("\nProjects:\n")
    _write(
        ("PROJECT", "STEPS", "TOOK", "SIZE"),
        (
            (
                text(each.project or "<unknown>"),
                str(each.steps),
                duration(each.seconds),
                size(each.bytes),
            )
            for each in found.projects
        ),
    )
    click.echo("\nCache mounts:\n")
    _write(
        ("CACHE", "ID", "LAST USED", "SIZE"),
        (
            (identity(each.name), text(each.id), age(now - each.used), size(each.bytes))
            for each in found.cache_mounts
        ),
    )


def _write(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from builder.ui.table import table

    click.echo(table(header, list(rows)), nl=False)
