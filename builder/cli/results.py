"""`build --iidfile` and `--metadata-file`, with the other options that say what becomes of a result.

Source: buildx, docs/reference/buildx_build.md, "Write build result metadata to a file".
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import click

from builder.errors import ExportError, UsageError
from builder.settings import variable

if TYPE_CHECKING:
    from builder.diagnostics import Diagnostic
    from builder.engine import BuildResult, Output

_TRUE = frozenset({"1", "t", "true"})
_FALSE = frozenset({"0", "f", "false"})
_T = TypeVar("_T", bound=Callable[..., object])

_OPTIONS = (
    click.option(
        "-o",
        "--output",
        "outputs",
        multiple=True,
        metavar="DEST",
        help="Also write the result: type=local, tar, oci, docker, image, registry or cacheonly, and its attributes.",
    ),
    click.option(
        "--annotation",
        "annotations",
        multiple=True,
        metavar="[PLACE:]KEY=VALUE",
        help="Annotate the image that is pushed or written; PLACE is manifest, index, or a descriptor of either.",
    ),
    click.option("--push", is_flag=True, help="Push the image to the registries of its names."),
    click.option("--load", is_flag=True, help="Keep the image in the store, as is always done."),
    click.option("--iidfile", metavar="FILE", help="Write the id of the image to a file."),
    click.option("--metadata-file", metavar="FILE", help="Write what was built to a file as JSON."),
)


def result_options(command: _T) -> _T:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def check_apart(outputs: Iterable[Output], *paths: str | None) -> None:
    """Refuse files of results that would replace one another, or an output; devices and pipes take all of it.

    Raises: UsageError: it names the place.
    """
    seen = {os.path.realpath(each.dest) for each in outputs if each.dest not in (None, "-")}
    for path in paths:
        if path is None:
            continue
        real = os.path.realpath(path)
        if real in seen and (os.path.isfile(real) or not os.path.exists(real)):
            raise UsageError(f"two results go to `{path}`", hint="give each a place of its own")
        seen.add(real)


def forget(*paths: str | None) -> None:
    """Remove files of an earlier build, which must not outlive one that fails; devices and links stay."""
    for path in paths:
        if path is not None:
            with suppress(FileNotFoundError):
                if stat.S_ISREG(os.lstat(path).st_mode):
                    os.unlink(path)


def write_id(path: str, image_id: str) -> None:
    """Write the id of an image.

    Raises: ExportError: it cannot be written.
    """
    _write(path, image_id.encode(), "its id")


def provenance_in_metadata() -> str:
    """Return how much the file of metadata tells of what was built from: `min`, `max` or nothing."""
    text = variable("BUILDX_METADATA_PROVENANCE") or ""
    if text in ("min", "max"):
        return text
    return "" if text == "disabled" or text.lower() in _FALSE else "min"


def write_metadata(path: str, result: BuildResult, warnings: Iterable[Diagnostic]) -> None:
    """Write what a build made, in the words of buildx.

    Raises: ExportError: it cannot be written.
    """
    import msgspec

    document = metadata(result)
    for platform, predicate in result.provenance:
        several = f"/{platform}" if len(result.provenance) > 1 else ""
        document[f"buildx.build.provenance{several}"] = msgspec.Raw(predicate)
    if (variable("BUILDX_METADATA_WARNINGS") or "").lower() in _TRUE:
        told = [_warning(each) for each in warnings]
        if told:
            document["buildx.build.warnings"] = told
    data = msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=2)
    _write(path, data, "what is to be told of it")


def metadata(result: BuildResult) -> dict[str, Any]:
    """Return what a build made; without an output that has a manifest, the image's id is its digest."""
    document: dict[str, Any] = {"buildx.build.ref": f"lapstrake/lapstrake/{result.build}"}
    made = result.made
    names = result.names if made is None else made.names
    if made is not None and made.descriptor is not None:
        document["containerimage.descriptor"] = made.descriptor.document()
        document["containerimage.digest"] = str(made.descriptor.digest)
    else:
        document["containerimage.digest"] = result.identity
    if len(result.platforms) <= 1:
        document["containerimage.config.digest"] = result.identity
    if names:
        from builder.oci.reference import Reference

        full = [Reference.parse(name).canonical() for name in names]
        if made is not None and made.pushed:
            # What is pushed by digest has the name of its repository, for programs that put the two together.
            full = [name.removesuffix(f"@{document['containerimage.digest']}") for name in full]
        document["image.name"] = ",".join(full)
    return document


def _warning(diagnostic: Diagnostic) -> dict[str, Any]:
    """Return a warning as BuildKit's clients know them: bytes are base64."""
    from base64 import b64encode

    def encoded(text: str) -> str:
        return b64encode(text.encode()).decode()

    found: dict[str, Any] = {
        "level": 1,
        "short": encoded(diagnostic.message),
        "detail": [encoded(note) for note in diagnostic.notes],
    }
    if diagnostic.source is not None:
        found["sourceInfo"] = {"filename": diagnostic.source.name}
    if diagnostic.span is not None:
        span = diagnostic.span
        found["range"] = [
            {
                "start": {"line": span.line, "character": span.column - 1},
                "end": {"line": span.end_line, "character": span.end_column - 1},
            }
        ]
    return found


def _write(path: str, data: bytes, what: str) -> None:
    from builder.export.destination import STANDARD_OUTPUT, writing
    from builder.layer.pack import write_fully

    try:
        # A word of its own is a file here, as in Docker, not standard output.
        with writing(f"./{path}" if path == STANDARD_OUTPUT else path) as fd:
            write_fully(fd, data)
    except ExportError as error:
        error.notes = (*error.notes, f"the image was built, but {what} was not written")
        raise
    except OSError as error:
        raise ExportError(
            f"the image was built, but {what} cannot be written to `{path}`: {error.strerror}"
        ) from error
