"""What is copied: a closure out of any place, and its blobs by digest.

registry          documents are fetched, blobs when they are asked for
layout, dir       read where they lie
archives          unpacked into a directory of this process first: a tar has no order to rely on
store             packaged; an image that was pulled keeps its bytes
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from enum import Enum
from functools import partial
from typing import BinaryIO, assert_never

import msgspec

from builder.engine.catalogue import Catalogue
from builder.engine.contents import read_contents
from builder.engine.ends import (
    End,
    InDirectory,
    InDockerArchive,
    InLayout,
    InLayoutArchive,
    InRegistry,
    InStore,
)
from builder.engine.holders import (
    Holder,
    StoreHolder,
    flat_holder,
    layout_holder,
    read_document,
    verified,
)
from builder.engine.importing import check_layers
from builder.engine.outgoing import outgoing
from builder.engine.tops import Top, archived, document_of, find_top, listed
from builder.errors import Cancelled, ImageError, RegistryError
from builder.events import EventSink
from builder.layer.compress import Compression as Codec
from builder.layer.compress import Compressor
from builder.oci.closure import Closure, Document, closure_of
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.document import parse_config
from builder.oci.manifest import Index, Manifest, build_manifest, parse_manifest
from builder.oci.mediatypes import Compression, Family, compression_of
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.registry.client import RegistryClient
from builder.registry.pulling import fetch_blobs, receive
from builder.registry.resolve import resolve
from builder.store.blobs import BlobStore
from builder.store.content import ContentStore
from builder.store.forms import unique_name
from builder.store.root import Store

_NOWHERE = Reference("copied", "image", "latest")
_PIECE = 1 << 20


class Whole(Enum):
    """How much of an index is copied."""

    ALL = "all"
    """Everything that it leads to."""
    INDEX_ONLY = "index-only"
    """The index alone: its images are there already."""


Choice = Whole | Platform
"""With a platform, the image for it alone is copied."""


Fetch = Callable[[ContentStore, Sequence[Descriptor], EventSink], None]


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A closure with its blobs. `repository` is the one that they come from, `made` tells that manifests were made
    because the place has none. `fetch` brings blobs to where what was interrupted goes on.
    """

    closure: Closure
    holder: Holder
    shown: str
    repository: Reference | None = None
    made: bool = False
    fetch: Fetch | None = None


@contextmanager
def opened(
    end: End,
    choice: Choice,
    *,
    store: Store,
    client: Callable[[], RegistryClient],
    cancelled: Callable[[], bool],
) -> Iterator[Source]:
    """Find what an end and a choice mean; blobs can be read until the block ends.

    Raises: ImageError, RegistryError: it is not there, or malformed. StoreError: as `package`. Cancelled.
    """
    shown = f"`{end}`"
    match end:
        case InRegistry():
            yield _in_registry(end, choice, client(), shown, cancelled)
        case InLayout():
            holder = layout_holder(os.path.abspath(end.path), shown)
            raw = read_document(f"{end.path}/index.json")
            if raw is None:
                raise ImageError(
                    f"there is no OCI layout at `{end.path}`",
                    code="image.not-found",
                    hint="name the directory that holds `oci-layout` and `index.json`",
                )
            top = _listed_top(listed(raw), end.name, end.digest, holder, shown)
            yield from_holder(top, choice, holder, shown)
        case InDirectory():
            holder = flat_holder(os.path.abspath(end.path), shown)
            raw = read_document(f"{end.path}/manifest.json")
            if raw is None:
                raise ImageError(
                    f"there is no image at `{end.path}`",
                    code="image.not-found",
                    hint="name a directory with `manifest.json`, as `dir:` writes it",
                )
            yield from_holder(parse_manifest(raw), choice, holder, shown)
        case InLayoutArchive() | InDockerArchive():
            with _unpacked(end, store, cancelled) as (tops, blobs):
                if isinstance(end, InLayoutArchive):
                    chosen = find_top(tops, end.name, end.digest, shown)
                else:
                    name = None if end.reference is None else end.reference.canonical()
                    chosen = find_top(tops, name, None, shown)
                document = document_of(chosen, blobs)
                if document is None:
                    raise ImageError(f"{shown} lacks `{chosen.descriptor.digest}`")
                if chosen.made is not None:
                    document = _compressed(chosen.made, blobs, cancelled)
                source = from_holder(document, choice, blobs, shown)
                yield msgspec.structs.replace(source, made=chosen.made is not None)
        case InStore():
            closure = store_closure(end.name, choice, store)
            yield Source(closure=closure, holder=StoreHolder(store.blobs), shown=shown)
        case _:
            assert_never(end)


def store_closure(name: str, choice: Choice, store: Store) -> Closure:
    """Return the closure of what a name or id of the store means, all of which is among its blobs afterwards.

    A name that stands for a whole index which came from elsewhere keeps its bytes; otherwise the images that it
    stands for are packaged.

    Raises: ImageError: nothing here is called so, or nothing for the platform. StoreError: a layer is lost.
    """
    catalogue = Catalogue(store)
    platform = choice if isinstance(choice, Platform) else None
    image, stored = catalogue.meant(name, platform)
    closure = outgoing(store, image.id, stored if platform is None else None)
    alone = choice is Whole.INDEX_ONLY and isinstance(closure.top, Index)
    return Closure(documents=(closure.top,)) if alone else closure


def _in_registry(
    end: InRegistry,
    choice: Choice,
    client: RegistryClient,
    shown: str,
    cancelled: Callable[[], bool],
) -> Source:
    reference = end.reference

    def read(descriptor: Descriptor) -> bytes:
        if cancelled():
            raise Cancelled
        return client.fetch_manifest(reference, descriptor).raw

    if isinstance(choice, Platform):
        closure = closure_of(resolve(client, reference, choice).manifest, read)
    else:
        closure = _chosen(client.fetch_manifest(reference), choice, read)
    holder = _RegistryHolder(client, reference, closure, cancelled)

    def fetch(content: ContentStore, blobs: Sequence[Descriptor], events: EventSink) -> None:
        fetch_blobs(client, reference, blobs, content, events, 1, cancelled)

    return Source(closure=closure, holder=holder, shown=shown, repository=reference, fetch=fetch)


def from_holder(top: Document, choice: Choice, holder: Holder, shown: str) -> Source:
    """Return what a choice means of a document whose blobs somebody has; `shown` is what messages call the place.

    Raises: ImageError: there is nothing for the platform, or a document is malformed or missing.
    """

    def read(descriptor: Descriptor) -> bytes:
        return holder.read(descriptor.digest)

    if isinstance(choice, Platform):
        try:
            found = resolve(_Documents(top, holder), _NOWHERE, choice)
        except RegistryError as error:
            raise ImageError(
                f"{shown} has no image for {choice}",
                code="image.not-found",
                notes=error.notes,
                hint=error.hint,
            ) from error
        return Source(closure=closure_of(found.manifest, read), holder=holder, shown=shown)
    return Source(closure=_chosen(top, choice, read), holder=holder, shown=shown)


def _chosen(top: Document, choice: Whole, read: Callable[[Descriptor], bytes]) -> Closure:
    match choice:
        case Whole.ALL:
            return closure_of(top, read)
        case Whole.INDEX_ONLY:
            return Closure(documents=(top,)) if isinstance(top, Index) else closure_of(top, read)
        case _:
            assert_never(choice)


def _listed_top(
    tops: Sequence[Top], name: str | None, digest: Digest | None, holder: Holder, shown: str
) -> Document:
    # An index need not list what its own entries lead to.
    if digest is not None and not any(top.descriptor.digest == digest for top in tops):
        return parse_manifest(holder.read(digest))
    descriptor = find_top(tops, name, digest, shown).descriptor
    return parse_manifest(holder.read(descriptor.digest), descriptor.media_type)


@contextmanager
def _unpacked(
    end: InLayoutArchive | InDockerArchive, store: Store, cancelled: Callable[[], bool]
) -> Iterator[tuple[Sequence[Top], BlobStore]]:
    """Give what an archive lists, and its blobs, which are gone after the block."""
    try:
        # A pipe will do: it is read once.
        file = open(end.path, "rb")  # noqa: SIM115  closed below
    except OSError as error:
        raise ImageError(
            f"the archive `{end.path}` cannot be read: {error.strerror}", code="image.not-found"
        ) from error
    root = f"{store.snapshots.scratch()}/{unique_name()}.archive"
    blobs = BlobStore(root)
    try:
        with file:
            contents = read_contents(file, blobs, cancelled)
        yield archived(contents, blobs), blobs
    finally:
        store.snapshots.sweep(root)


def _compressed(manifest: Manifest, blobs: BlobStore, cancelled: Callable[[], bool]) -> Manifest:
    """Return a manifest that was made of plain layers, as images are sent: with layers compressed by gzip.

    Raises: ImageError: the configuration lists other layers.
    """
    check_layers(manifest, parse_config(blobs.read(manifest.config.digest)))
    layers = []
    for layer in manifest.layers:
        if compression_of(layer.media_type) is not Compression.NONE:
            layers.append(layer)
            continue
        found = blobs.ingest(
            _gzipped(blobs, layer.digest, cancelled), media_type=Family.OCI.layer(Compression.GZIP)
        )
        layers.append(found)
    return build_manifest(manifest.config, layers)


def _gzipped(blobs: BlobStore, digest: Digest, cancelled: Callable[[], bool]) -> Iterator[bytes]:
    ready: list[bytes] = []
    compressor = Compressor(ready.append, Codec.GZIP)
    with blobs.open(digest) as file:
        while piece := file.read(_PIECE):
            if cancelled():
                raise Cancelled
            compressor.write(piece)
            yield from ready
            ready.clear()
    compressor.close()
    yield from ready


class _Documents:
    """The documents of one image in a holder, as `resolve` asks for them."""

    def __init__(self, top: Document, holder: Holder) -> None:
        self._top = top
        self._holder = holder

    def fetch_manifest(
        self, _reference: Reference, expected: Descriptor | None = None
    ) -> Manifest | Index:
        if expected is None:
            return self._top
        return parse_manifest(self._holder.read(expected.digest), expected.media_type)

    def fetch_document(self, _reference: Reference, descriptor: Descriptor) -> bytes:
        return self._holder.read(descriptor.digest)


class _RegistryHolder:
    """The blobs of a closure in a repository; each is fetched when it is opened."""

    def __init__(
        self,
        client: RegistryClient,
        reference: Reference,
        closure: Closure,
        cancelled: Callable[[], bool],
    ) -> None:
        self._client = client
        self._reference = reference
        self._known = {each.digest: each for each in closure.blobs(foreign=True)}
        self._cancelled = cancelled

    def open(self, digest: Digest) -> AbstractContextManager[BinaryIO]:
        descriptor = self._known[digest]
        pieces = partial(
            receive, self._client, self._reference, descriptor, cancelled=self._cancelled
        )
        shown = f"`{self._reference.familiar()}`"
        return verified(pieces, digest, descriptor.size, shown)

    def size(self, _digest: Digest) -> int | None:
        return None

    def read(self, digest: Digest) -> bytes:
        return self._client.fetch_document(self._reference, self._known[digest])
