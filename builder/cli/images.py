"""`lapstrake images`: what is in the store, a line for each name."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from builder.cli.invocation import Invocation
from builder.cli.verb import Verb
from builder.errors import UsageError
from builder.ui.size import age, size
from builder.ui.summary import short_id

if TYPE_CHECKING:
    from builder.engine import ImageRow
    from builder.ui.formatted import Form
    from builder.ui.template import Record

_NONE = "<none>"
_CREATED = "{{if .CreatedSince}}{{.CreatedSince}}{{else}}N/A{{end}}"
_DIGEST = "{{.Digest}}"
_HEADERS = {
    "ID": "IMAGE ID",
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
    "Containers": "CONTAINERS",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
}
_VERBS = frozenset(
    ("build", "history", "import", "inspect", "list", "load", "ls", "prune", "pull", "push", "rm", "save", "tag")
)  # fmt: skip


@click.command(
    "images",
    cls=Verb,
    short_help="List images",
)
@click.option(
    "-a", "--all", "everything", is_flag=True, help="Accepted: there are no intermediate images."
)
@click.option("-q", "--quiet", is_flag=True, help="Print only ids.")
@click.option("--digests", is_flag=True, help="Show digests.")
@click.option("--no-trunc", is_flag=True, help="Print ids in full.")
@click.option(
    "-f",
    "--filter",
    "filters",
    multiple=True,
    metavar="KEY=VALUE",
    help="Show only what passes: dangling=true, label=NAME[=VALUE], reference=PATTERN, before=IMAGE, since=IMAGE, until=24h.",
)
@click.option(
    "--format",
    "form",
    metavar="FORM",
    help="Print as table, as json, or through a Go template, `table TEMPLATE` in columns.",
)
@click.option("--tree", is_flag=True, help="Show the platforms of each image below it.")
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
    filters: tuple[str, ...],
    form: str | None,
    tree: bool,
) -> None:
    """List images, or those whose repository, or repository and tag, matches NAME."""
    from builder.cli.filters import image_filter
    from builder.cli.formats import listed

    if tree:
        if quiet or no_trunc or digests or form:
            raise UsageError(
                "`--tree` goes with none of `--quiet`, `--no-trunc`, `--digests` and `--format`"
            )
        from builder.ui.imagetree import drawn

        with invocation.engine() as engine:
            invocation.show(drawn(engine.image_tree(image_filter(filters, name))))
        return
    chosen = _form(form or _configured(invocation, quiet=quiet), quiet=quiet, digests=digests)
    wanted = image_filter(filters, name)
    with invocation.engine() as engine:
        found = engine.images(wanted)
    show_digest = digests or _DIGEST in chosen.template
    now = time.time()
    lines = (
        _record(image, line, now=now, no_trunc=no_trunc)
        for image in found
        for line in _lines(image, with_digest=show_digest)
    )
    if quiet and chosen.template == "{{.ID}}":
        ids = (image.id if no_trunc else short_id(image.id) for image in found)
        invocation.show("".join(f"{each}\n" for each in dict.fromkeys(ids)))
    else:
        invocation.show(listed(chosen, lines, _HEADERS))
    if not found and name in _VERBS:
        invocation.note(f"no image is called `{name}`; there is also `lapstrake image {name}`")


def _configured(invocation: Invocation, *, quiet: bool) -> str:
    """Return the form that Docker's configuration asks for."""
    if quiet:
        return ""
    from builder.settings import docker_option

    try:
        return docker_option(invocation.settings.docker_config, "imagesFormat") or ""
    except UsageError as error:
        invocation.note(error.message)
        return ""


def _form(text: str, *, quiet: bool, digests: bool) -> Form:
    from builder.ui.formatted import JSON, Form, form_of

    if text == "raw":
        lines = ["repository: {{.Repository}}", "tag: {{.Tag}}", "digest: {{.Digest}}"][
            : 2 + digests
        ]
        lines += ["image_id: {{.ID}}", "created_at: {{.CreatedAt}}", "virtual_size: {{.Size}}", ""]
        return Form("image_id: {{.ID}}" if quiet else "\n".join(lines), is_table=False)
    if quiet and text in ("", "table"):
        return Form("{{.ID}}", is_table=False)
    columns = ["{{.Repository}}", "{{.Tag}}", _DIGEST, "{{.ID}}", _CREATED, "{{.Size}}"]
    form = form_of(text, "\t".join(each for each in columns if digests or each != _DIGEST))
    if form.is_table and digests and text != JSON and _DIGEST not in form.template:
        return form._replace(template=f"{form.template}\t{_DIGEST}")
    return form


def _lines(image: ImageRow, *, with_digest: bool) -> Iterator[tuple[str, str, str]]:
    """Yield repository, tag and digest of each name of an image."""
    if not image.names:
        yield _NONE, _NONE, _NONE
    seen: set[tuple[str, str]] = set()
    for name, digest in zip(image.names, image.digests, strict=True):
        repository, tag = _split(name)
        if with_digest or (repository, tag) not in seen:
            yield repository, tag, (digest or _NONE) if with_digest else _NONE
        seen.add((repository, tag))


def _split(name: str) -> tuple[str, str]:
    """Split a name at its tag; a colon before a slash belongs to a port."""
    repository, colon, tag = name.partition("@")[0].rpartition(":")
    if not colon or "/" in tag:
        return name.partition("@")[0], _NONE
    return repository, tag


def _record(image: ImageRow, line: tuple[str, str, str], *, now: float, no_trunc: bool) -> Record:
    """Return what a template sees of a line: the members that Docker has."""
    from builder.ui.formatted import row

    repository, tag, digest = line
    members = {
        "Containers": "N/A",
        "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(image.created)),
        "CreatedSince": age(now - image.created),
        "Digest": digest,
        "ID": image.id if no_trunc else short_id(image.id),
        "Repository": repository,
        "SharedSize": "N/A",
        "Size": size(image.size),
        "Tag": tag,
        "UniqueSize": "N/A",
    }
    return row("*formatter.imageContext", members)
