"""`lapstrake images`: what is in the store, a line for each name."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click
import msgspec

from builder.cli.invocation import Invocation
from builder.cli.verb import Verb, absent
from builder.errors import UsageError
from builder.ui.size import age, size
from builder.ui.summary import short_id

if TYPE_CHECKING:
    from builder.engine import ImageRow

_NONE = "<none>"


class _Line(msgspec.Struct, frozen=True):
    """One line of the list: an image under one of its names."""

    image: ImageRow
    repository: str
    tag: str


@click.command(
    "images",
    cls=Verb,
    others=[*absent("-f/--filter"), *absent("--tree", value=False)],
    short_help="List images",
)
@click.option("-a", "--all", "everything", is_flag=True, help="Accepted: all images are shown.")
@click.option("-q", "--quiet", is_flag=True, help="Print only ids.")
@click.option("--digests", is_flag=True, help="Show digests.")
@click.option("--no-trunc", is_flag=True, help="Print ids in full.")
@click.option("--format", "form", default="table", metavar="FORM", help="Print as table or json.")
@click.argument("name", required=False)
@click.pass_obj
def command(
    invocation: Invocation,
    *,
    name: str | None,
    everything: bool,  # noqa: ARG001  there are no intermediate images to hide
    quiet: bool,
    digests: bool,
    no_trunc: bool,
    form: str,
) -> None:
    """List images, or those whose repository, or repository and tag, is NAME."""
    if form not in {"table", "json"}:
        raise UsageError(
            f"`--format {form}` is not available in this version", hint="use table or json"
        )
    with invocation.engine() as engine:
        lines = [line for line in _lines(engine.images()) if name is None or _named(line, name)]

    def identity(line: _Line) -> str:
        return line.image.id if no_trunc else short_id(line.image.id)

    if quiet:
        for image_id in dict.fromkeys(map(identity, lines)):
            invocation.say(image_id)
    elif form == "json":
        for line in lines:
            invocation.say(msgspec.json.encode(_document(line, identity(line))).decode())
    else:
        _table(lines, [identity(line) for line in lines], digests=digests)


def _lines(images: tuple[ImageRow, ...]) -> list[_Line]:
    lines: list[_Line] = []
    for image in images:
        for name in image.names:
            repository, tag = _split(name)
            lines.append(_Line(image, repository, tag))
        if not image.names:
            lines.append(_Line(image, _NONE, _NONE))
    return lines


def _split(name: str) -> tuple[str, str]:
    """Split a name at its tag; a colon before a slash belongs to a port."""
    repository, colon, tag = name.partition("@")[0].rpartition(":")
    if not colon or "/" in tag:
        return name.partition("@")[0], _NONE
    return repository, tag


def _named(line: _Line, name: str) -> bool:
    if line.repository == name:
        return True
    repository, tag = _split(name)
    return (line.repository, line.tag) == (repository, tag)


def _table(lines: list[_Line], ids: list[str], *, digests: bool) -> None:
    from builder.ui.table import table

    now = time.time()
    header = ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]
    rows = [
        [
            line.repository,
            line.tag,
            image_id,
            age(now - line.image.created),
            size(line.image.size),
        ]
        for line, image_id in zip(lines, ids, strict=True)
    ]
    if digests:
        header.insert(2, "DIGEST")
        for row, line in zip(rows, lines, strict=True):
            row.insert(2, line.image.digest or _NONE)
    click.echo(table(header, rows), nl=False)


def _document(line: _Line, image_id: str) -> dict[str, str]:
    """Return the members that Docker prints for `--format json`."""
    return {
        "CreatedAt": _moment(line.image.created),
        "CreatedSince": age(time.time() - line.image.created),
        "Digest": line.image.digest or _NONE,
        "ID": image_id,
        "Repository": line.repository,
        "Size": size(line.image.size),
        "Tag": line.tag,
    }


def _moment(seconds: float) -> str:
    """Return a moment as Docker writes it: 2020-01-02 03:04:05 +0000 UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC", time.gmtime(seconds))
