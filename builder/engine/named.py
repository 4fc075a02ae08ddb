"""The contexts of `--build-context NAME=VALUE`: directories, images, OCI layouts, repositories and downloads.

Nothing is read or fetched before a Dockerfile turns out to use it.

Source: Docker's reference, "docker buildx build --build-context".
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import msgspec

from builder.dockerfile.contexts import IMAGE, LOCAL
from builder.engine.contexts import Fetch, remote_source
from builder.engine.layouts import Layout, layout_of, load
from builder.engine.texts import text_beneath
from builder.errors import ContextError, UsageError
from builder.graph.operations import GitSource, HttpSource
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.solve.context import LocalContext
from builder.store.root import Store

_DOCKER_IMAGE = "docker-image://"
_OCI_LAYOUT = "oci-layout://"


class _Given(msgspec.Struct, frozen=True):
    """One context: a directory, a remote source, or an image by its kind."""

    kind: str
    directory: str = ""
    remote: HttpSource | GitSource | None = None


class NamedContexts:
    """The named contexts of one build.

    Raises: UsageError: a value is not understood. ContextError: a directory or layout is not there.
    """

    def __init__(self, given: Iterable[tuple[str, str]], fetch: Fetch) -> None:
        self._fetch = fetch
        self._layouts: dict[str, Layout] = {}
        self._given = {name: self._read(name, value) for name, value in given}

    @property
    def kinds(self) -> tuple[tuple[str, str], ...]:
        """What a plan is told of them: name and kind."""
        return tuple((name, given.kind) for name, given in self._given.items())

    def directory(self, name: str) -> LocalContext:
        """Have the files of a context here.

        Raises: SourceError: they cannot be fetched. ContextError: its ignore file cannot be read.
        """
        given = self._given[name]
        if given.remote is not None:
            return self._fetch(given.remote, f"[context {name}] load from")
        path = os.path.join(given.directory, ".dockerignore")
        return LocalContext(root=given.directory, ignore=text_beneath(given.directory, path) or "")

    def image(self, reference: str, platform: str, store: Store) -> str | None:
        """Have an image here whose canonical reference stands for a layout; None for any other.

        Returns: its id.
        Raises: ImageError, StoreError: see `layouts.load`.
        """
        layout = self._layouts.get(reference)
        return None if layout is None else load(layout, Platform.parse(platform), store)

    def remote(self, name: str) -> HttpSource | GitSource | None:
        """Return what a context is fetched from, None for one that is here, or an image."""
        return self._given[name].remote

    def layout_name(self, reference: str) -> str:
        """Return the name of the context whose layout, on this machine, a canonical reference stands for; "" for any other."""
        layout = self._layouts.get(reference)
        kind = "" if layout is None else IMAGE + layout.reference
        return next((name for name, given in self._given.items() if given.kind == kind), "")

    def _read(self, name: str, value: str) -> _Given:
        if value.startswith(_DOCKER_IMAGE):
            return _Given(IMAGE + value.removeprefix(_DOCKER_IMAGE))
        if value.startswith(_OCI_LAYOUT):
            layout = layout_of(value.removeprefix(_OCI_LAYOUT))
            reference = Reference.parse(layout.reference)
            self._layouts[reference.canonical()] = layout
            return _Given(IMAGE + layout.reference)
        if value.startswith(("target:", "input:")):
            raise UsageError(
                f"the context `{name}` is a `{value.partition(':')[0]}` of a bake file",
                hint="name a directory, an image (`docker-image://…`), a layout or a URL",
            )
        if os.path.isdir(value):
            return _Given(LOCAL, os.path.abspath(value))
        remote = remote_source(value)
        if remote is None:
            raise ContextError(
                f"the context `{name}` is to be `{value}`, which is not a directory",
                code="context.not-found",
                hint="name a directory, an image (`docker-image://…`), a layout or a URL",
            )
        return _Given(LOCAL, remote=remote)
