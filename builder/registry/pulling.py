"""Images in: several blobs at once, gone on with where a connection broke, verified before believed.

A pull stores layers, then the configuration, then the manifest, so that a manifest in the store says that
all it needs is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

from builder.errors import Cancelled, StoreError
from builder.events import Discard, EventSink
from builder.oci.closure import Closure, closure_of, is_document
from builder.oci.config import ImageConfig
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.manifest import Index, Manifest
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.registry import backoff
from builder.registry.client import RegistryClient
from builder.registry.download import resumed
from builder.registry.exchange import Cancelled as Question
from builder.registry.exchange import never
from builder.registry.meter import Meter
from builder.registry.parallel import in_parallel
from builder.registry.resolve import Resolved
from builder.store.content import ContentStore, Receiver

if TYPE_CHECKING:
    from builder.store.arrival import Arrival

DOWNLOADS = 3
_DOCUMENTS = 6
"""Documents that are asked for at once."""

_AHEAD = 64
"""Documents of an index that are fetched before they are looked at, if they are small: of so many bytes."""
_SMALL = 256 * 1024

_PAUSE = 0.1
"""Seconds after which is looked again whether another process has received a blob."""


class PulledImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image whose blobs are all in the store.

    `descriptor` is what the reference pointed at: the index if there was one (`index` are its bytes), else the
    manifest.
    """

    descriptor: Descriptor
    manifest: Manifest
    config: ImageConfig
    index: bytes | None = None


def pull(
    client: RegistryClient,
    reference: Reference,
    platform: Platform | None,
    blobs: ContentStore,
    events: EventSink,
    vertex_id: int,
    *,
    cancelled: Question = never,
) -> PulledImage:
    """Fetch an image into the store; blobs that are there already are not fetched again.

    Raises: RegistryError, ImageError: it cannot be had, or is not valid. StoreError: bytes do not have their
        digest, or there is no space. Cancelled.
    """
    return fetch(
        client,
        reference,
        client.resolve(reference, platform),
        blobs,
        events,
        vertex_id,
        cancelled=cancelled,
    )


def fetch(
    client: RegistryClient,
    reference: Reference,
    resolved: Resolved,
    blobs: ContentStore,
    events: EventSink,
    vertex_id: int,
    *,
    arrivals: Mapping[Digest, Arrival] = MappingProxyType({}),
    cancelled: Question = never,
) -> PulledImage:
    """Fetch what a reference was resolved to: the second half of `pull`.

    Each of the `arrivals` is told how the layer with that digest comes.
    """
    manifest = resolved.manifest
    fetch_blobs(client, reference, manifest.layers, blobs, events, vertex_id, cancelled, arrivals)
    documents = [(resolved.config_raw, manifest.config), (manifest.raw, manifest.descriptor())]
    if resolved.index is not None:
        documents.append((resolved.index.raw, resolved.index.descriptor()))
    for raw, descriptor in documents:
        _keep(blobs, raw, descriptor)
    return PulledImage(
        descriptor=resolved.descriptor,
        manifest=manifest,
        config=resolved.config,
        index=resolved.index.raw if resolved.index else None,
    )


def fetch_closure(
    client: RegistryClient,
    reference: Reference,
    content: ContentStore,
    events: EventSink,
    vertex_id: int,
    *,
    wanted: Callable[[Descriptor], bool] = lambda _: True,
    cancelled: Question = never,
) -> Closure:
    """Fetch whatever a reference points at, with all that it leads to: other platforms, attestations, artifacts.

    Blobs come first, then the documents, children before parents, the top last; a blob that several need, or
    that is there already, comes once or not at all. Of an index's children only those that are `wanted` are
    followed; its own bytes stay. Foreign layers are left where they are. Nothing is read into but manifests and
    indexes. Progress is told for each blob as an item of the vertex.

    Returns: the closure, whose documents and blobs are all in `content`.
    Raises: RegistryError, ImageError: something cannot be had, or is not valid. StoreError: bytes do not have
        their digest, or there is no space. Cancelled.
    """
    closure = _closure_at(client, reference, wanted, cancelled)
    fetch_blobs(client, reference, closure.blobs(), content, events, vertex_id, cancelled)
    for document in closure.documents:
        _keep(content, document.raw, document.descriptor())
    return closure


def receive(
    client: RegistryClient,
    reference: Reference,
    descriptor: Descriptor,
    offset: int = 0,
    *,
    cancelled: Question = never,
) -> Iterator[bytes]:
    """Yield the bytes of a blob from `offset` on, going on where a connection broke; the receiver verifies them.

    Raises: RegistryError: it cannot be had. Cancelled.
    """
    meter = Meter(Discard(), 0, descriptor)
    return resumed(client, reference, descriptor, meter, cancelled, offset)


def fetch_blobs(
    client: RegistryClient,
    reference: Reference,
    descriptors: Iterable[Descriptor],
    content: ContentStore,
    events: EventSink,
    vertex_id: int,
    cancelled: Question,
    arrivals: Mapping[Digest, Arrival] = MappingProxyType({}),
) -> None:
    """Fetch blobs of a repository, several at once; those that are in `content` already are not fetched again.

    Each of the `arrivals` is told how the blob with that digest comes.

    Raises: RegistryError: one cannot be had. StoreError: bytes do not have their digest, or there is no space. Cancelled.
    """

    def fetch_one(blob: Descriptor, stopped: Question) -> None:
        meter = Meter(events, vertex_id, blob)
        arrival = arrivals.get(blob.digest)
        try:
            fetch = partial(resumed, client, reference, blob, meter, stopped)
            while not _kept(client, content, blob, fetch, stopped, arrival):
                pass  # a mirror gave other bytes, and is not asked again
        except BaseException:
            if arrival is not None:
                arrival.end(believed=False)
            raise
        meter.finish()
        if arrival is not None:
            arrival.end(believed=True)

    unique = {descriptor.digest: descriptor for descriptor in descriptors}
    in_parallel(fetch_one, tuple(unique.values()), DOWNLOADS, cancelled)


def _kept(
    client: RegistryClient,
    content: ContentStore,
    blob: Descriptor,
    fetch: Callable[[int], Iterator[bytes]],
    stopped: Question,
    arrival: Arrival | None,
) -> bool:
    """Have a blob in a store; return false if other bytes came, and another place may have the right ones."""
    try:
        _keep_blob(content, blob, fetch, stopped, arrival)
    except StoreError as error:
        if error.code != "store.digest-mismatch" or not client.blame(blob.digest):
            raise
        return False
    return True


def _keep_blob(
    content: ContentStore,
    blob: Descriptor,
    fetch: Callable[[int], Iterator[bytes]],
    stopped: Question,
    arrival: Arrival | None,
) -> None:
    """Have a blob in a store; it is not fetched if it is there."""
    if not isinstance(content, Receiver):
        content.ingest(fetch(0), media_type=blob.media_type, expected=blob.digest, size=blob.size)
        return
    content.receive(
        fetch,
        media_type=blob.media_type,
        expected=blob.digest,
        size=blob.size,
        pause=lambda: backoff.wait(_PAUSE, stopped),
        arrival=arrival,
    )


def _keep(content: ContentStore, raw: bytes, descriptor: Descriptor) -> None:
    content.ingest(
        (raw,), media_type=descriptor.media_type, expected=descriptor.digest, size=descriptor.size
    )


def _closure_at(
    client: RegistryClient,
    reference: Reference,
    wanted: Callable[[Descriptor], bool],
    cancelled: Question,
) -> Closure:
    top = client.fetch_manifest(reference)
    ahead: dict[Digest, bytes] = {}

    def fetch(descriptor: Descriptor, _stopped: Question = cancelled) -> None:
        ahead[descriptor.digest] = client.fetch_manifest(reference, descriptor).raw

    def read(descriptor: Descriptor) -> bytes:
        if cancelled():
            raise Cancelled
        if descriptor.digest not in ahead:
            fetch(descriptor)
        return ahead[descriptor.digest]

    if isinstance(top, Index):
        children = {each.digest: each for each in top.manifests if is_document(each)}
        chosen = [each for each in children.values() if wanted(each) and each.size <= _SMALL]
        in_parallel(fetch, chosen[:_AHEAD], _DOCUMENTS, cancelled)
    return closure_of(top, read, wanted)
