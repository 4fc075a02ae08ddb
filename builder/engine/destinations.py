"""Where the images of a build are to go: the outputs of a request, checked before anything is built."""

from __future__ import annotations

import os
from collections.abc import Sequence

import msgspec

from builder.engine.requests import BuildRequest, Output, Provenance
from builder.errors import UsageError
from builder.export.requested import (
    Directory,
    DockerArchive,
    InStore,
    Layout,
    Nothing,
    Requested,
)
from builder.oci.platform import Platform
from builder.oci.reference import Reference

DELETING = "buildx.local.delete"
"""What allows an output to remove files that are not in it."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One output as it was written, and what it asks for."""

    output: Output
    requested: Requested

    @property
    def words(self) -> str:
        """What it is called in messages."""
        dest = f",dest={self.output.dest}" if self.output.dest else ""
        return f"type={self.output.type}{dest}"

    @property
    def pushes(self) -> bool:
        """Whether it goes to a registry."""
        return isinstance(self.requested, InStore) and self.requested.push

    @property
    def holds_records(self) -> bool:
        """Whether records of a cache can go with it: its image has a manifest that others read."""
        return self.pushes or isinstance(self.requested, Layout)


def destinations(
    request: BuildRequest, references: Sequence[Reference], platforms: Sequence[Platform]
) -> tuple[Asked, ...]:
    """Return the outputs of a request, `--push` among them; refuse before building what could not be delivered.

    `platforms` are those that are built.

    Raises: UsageError: an output is malformed, or lacks a name to push to. ExportError: a directory is missing.
    """
    outputs = request.outputs
    if request.push and not any(each.type in ("image", "registry") for each in outputs):
        outputs = (*outputs, Output(type="registry"))
    if request.annotations and not outputs:
        outputs = (Output(type="image"),)
    from builder.export import outputs as files
    from builder.export.attributes import OF_IMAGES, requested

    if request.annotations and not any(each.type in OF_IMAGES for each in outputs):
        raise UsageError(
            "`--annotation` is for images, and none is written", hint="add `-o type=image`"
        )
    found: list[Asked] = []
    for output in outputs:
        general = request.annotations if output.type in OF_IMAGES else ()
        what = requested(output.type, output.dest, (*general, *output.attributes))
        if isinstance(what, InStore):
            what = msgspec.structs.replace(what, push=what.push or request.push)
            _check_names(what, references)
        elif not isinstance(what, Nothing):
            files.check(what)
            _check_deleting(what, request)
            if len(platforms) > 1:
                files.check_several(what)
        _check_form(what, platforms, request.provenance)
        found.append(Asked(output=output, requested=what))
    if request.provenance is not None:
        _check_claims(request.provenance, found)
    _check_apart(found)
    if any(cache.type == "inline" for cache in request.cache_to) and not any(
        each.holds_records for each in found
    ):
        raise UsageError(
            "a cache inside an image is written when the image is pushed, or to a layout",
            hint="add `--push`",
        )
    return tuple(found)


def _check_form(
    what: Requested, platforms: Sequence[Platform], provenance: Provenance | None
) -> None:
    """Refuse how an image is to look where images for these platforms cannot."""
    from builder.export.package import check

    if not isinstance(what, InStore | Layout | DockerArchive):
        return
    claims = provenance is not None and provenance.form == "index"
    claims = claims and not isinstance(what, DockerArchive)
    if isinstance(what, Layout) and provenance is not None and provenance.inline_only:
        claims = what.form.inline
    check(platforms, what.form.wanted((), claims=claims), claims=claims)


def _check_claims(provenance: Provenance, outputs: Sequence[Asked]) -> None:
    """Refuse provenance for what cannot have any."""
    if provenance.form == "referrer" and not any(each.pushes for each in outputs):
        raise UsageError(
            "provenance is published beside an image in a registry, and nothing is pushed",
            hint="add `--push`, or say `form=index`",
        )
    for each in outputs:
        if isinstance(each.requested, DockerArchive) and not provenance.inline_only:
            raise UsageError(
                f"`type={each.output.type}` has no place for provenance",
                hint="say `inline-only=true` where it is for the other outputs alone",
            )


def _check_apart(outputs: Sequence[Asked]) -> None:
    """Refuse two outputs of which one would replace the other."""
    seen: dict[str, str] = {}
    for each in outputs:
        if each.output.dest is None or isinstance(each.requested, InStore):
            continue
        path = os.path.realpath(each.output.dest)
        if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
            continue  # a device or a pipe takes what it is given
        is_layout = isinstance(each.requested, Layout) and not each.requested.tar
        if path in seen and not (is_layout and seen[path] == "layout"):
            raise UsageError(
                f"two outputs go to `{each.output.dest}`", hint="give each a place of its own"
            )
        seen[path] = "layout" if is_layout else "alone"


def _check_names(what: InStore, references: Sequence[Reference]) -> None:
    if what.push and not (what.names or references or what.dangling):
        raise UsageError("a push needs a name", hint="add `-t REGISTRY/NAME:TAG`")
    for each in what.names or ():
        if each.digest is not None:
            raise UsageError(
                f"`{each.familiar()}` names a digest, which cannot be given to an image",
                hint="use a tag: `name=NAME:TAG`",
            )


def _check_deleting(what: Requested, request: BuildRequest) -> None:
    """Refuse to remove files of others where nobody allowed it; below the current directory that is expected."""
    from builder.export.directory import Others, is_below_here

    if not isinstance(what, Directory) or what.others is not Others.GO:
        return
    if DELETING not in request.allow and not is_below_here(what.dest):
        raise UsageError(
            f"`mode=delete` would remove files in `{what.dest}`, which is not below the current directory",
            hint=f"allow it with `--allow {DELETING}`",
        )
