"""Images in and out: several blobs at once, resumed where a connection broke, verified before believed.

A pull stores layers, then the configuration, then the manifest, so that a manifest in the store says that
all it needs is there. A push goes the same way.

    pull, fetch_closure     registry ──► ContentStore
    push, push_closure      bytes by digest ──► registry
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from builder.errors import Cancelled, RegistryError, StoreError
from builder.events import Discard, EventSink
from builder.oci import mediatypes
from builder.oci.closure import Closure, Document, closure_of, is_document
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
from builder.registry.parallel import Stream, in_parallel
from builder.registry.resolve import Resolved
from builder.registry.upload import Outgoing, deliver
from builder.store.content import ContentStore, Receiver

if TYPE_CHECKING:
    from builder.store.arrival import Arrival

__all__ = [
    "Outgoing",
    "PulledImage",
    "fetch",
    "fetch_blobs",
    "fetch_closure",
    "pull",
    "push",
    "push_closure",
    "receive",
    "send",
    "sending",
]

DOWNLOADS = 3
UPLOADS = 5
_DOCUMENTS = 6
"""Documents that are asked for at once."""

_AHEAD = 64
"""Documents of an index that are fetched before they are looked at, if they are small: of so many bytes."""
_SMALL = 256 * 1024

_PAUSE = 0.1
"""Seconds after which is looked again whether another process has received a blob."""

_MISSING = frozenset({400, 404})
"""Statuses of manifests that are refused because something that they name is not there."""

Open = Callable[[Digest], AbstractContextManager[BinaryIO]]


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


def push(
    client: RegistryClient,
    reference: Reference,
    manifest: Manifest | Index,
    blobs: Iterable[Outgoing],
    events: EventSink,
    vertex_id: int = 0,
    *,
    cancelled: Question = never,
) -> Descriptor:
    """Publish an image: its blobs (layers and configuration) first, then the manifest.

    Blobs that the registry has are not sent, those of another of its repositories are mounted. Foreign layers
    are never sent. For an index, its manifests must have been pushed by their digests before.

    Returns: what the reference points at now.
    Raises: RegistryError: the registry refuses it, or cannot be reached. Cancelled.
    """
    wanted = {
        blob.descriptor.digest: blob
        for blob in blobs
        if not mediatypes.is_foreign(blob.descriptor.media_type)
    }
    _send_blobs(client, reference, tuple(wanted.values()), events, vertex_id, cancelled)
    return client.put_manifest(reference, manifest)


def push_closure(
    client: RegistryClient,
    reference: Reference,
    closure: Closure,
    open: Open,
    events: EventSink,
    vertex_id: int,
    *,
    tags: tuple[str, ...] = (),
    mount_from: Callable[[Digest], str | None] = lambda _: None,
    cancelled: Question = never,
) -> Descriptor:
    """Publish a closure: blobs first, then the documents by digest, children before parents, the top last.

    The top is put under the reference's tag, or by digest if it has none, and under each of the further `tags`
    of the same repository. Blobs and documents that the repository has are not sent; of a manifest that it has,
    the blobs are not asked for. `mount_from` names a repository of the same registry that is known to have a
    blob. `open` opens a blob of the closure for reading, once for each try. Foreign layers are never sent.

    Returns: what the reference points at now.
    Raises: RegistryError: the registry refuses it, or cannot be reached. Cancelled. What `open` raises.
    """
    push = partial(
        _push_closure,
        client,
        reference,
        closure,
        open,
        events,
        vertex_id,
        tags,
        cancelled,
    )
    present = _present(client, reference, closure.documents, cancelled)
    try:
        return push(present, mount_from)
    except RegistryError as error:
        if error.status not in _MISSING or not (present or client.delivered):
            raise
        # A registry may have lost what it had: then everything is asked for, and what is missing sent.
        client.delivered.clear()
        return push(frozenset(), lambda _: None)


def _push_closure(
    client: RegistryClient,
    reference: Reference,
    closure: Closure,
    open: Open,
    events: EventSink,
    vertex_id: int,
    tags: tuple[str, ...],
    cancelled: Question,
    present: frozenset[Digest],
    mount_from: Callable[[Digest], str | None],
) -> Descriptor:
    """Push what is not `present` of a closure; see `push_closure`."""
    missing = tuple([each for each in closure.documents if _digest(each) not in present])
    needed = Closure(documents=missing).blobs() if missing else ()
    blobs = [
        Outgoing(
            descriptor=each, open=partial(open, each.digest), mount_from=mount_from(each.digest)
        )
        for each in needed
        if (reference.name, each.digest) not in client.delivered
    ]
    of_missing = {each.digest for each in needed}
    for each in closure.blobs():
        if each.digest not in of_missing:
            Meter(events, vertex_id, each).finish()
    _send_blobs(client, reference, blobs, events, vertex_id, cancelled)
    for document in missing:
        if document is not closure.top:
            client.put_manifest(reference.with_digest(_digest(document)), document)
    top = closure.top
    names = [reference.with_tag(tag) for tag in dict.fromkeys((reference.tag, *tags)) if tag]
    for name in names or [reference.with_digest(_digest(top))]:
        if cancelled():
            raise Cancelled
        client.put_manifest(name, top)
    return top.descriptor()


@contextmanager
def sending(
    client: RegistryClient,
    reference: Reference,
    open: Open,
    events: EventSink,
    vertex_id: int,
    *,
    mount_from: Callable[[Digest], str | None] = lambda _: None,
    cancelled: Question = never,
) -> Iterator[Callable[[Descriptor], None]]:
    """Give what takes blobs and sends them in the background, while the block makes others.

    At the end of the block all of them are in the repository, and `push_closure` with the same client does not ask
    for them again. If the block fails, no more are sent.

    Raises: as `push_closure`.
    """

    def send_one(blob: Outgoing, stopped: Question) -> None:
        deliver(client, reference, blob, Meter(events, vertex_id, blob.descriptor), stopped)

    stream = Stream(send_one, UPLOADS, cancelled)

    def take(descriptor: Descriptor) -> None:
        if not mediatypes.is_foreign(descriptor.media_type):
            digest = descriptor.digest
            opened = partial(open, digest)
            stream.put(Outgoing(descriptor=descriptor, open=opened, mount_from=mount_from(digest)))

    try:
        yield take
    except BaseException:
        stream.abandon()
        raise
    stream.finish()


def send(
    client: RegistryClient,
    reference: Reference,
    blobs: Sequence[Outgoing],
    *,
    cancelled: Question = never,
) -> int:
    """Have blobs in a repository, without an image of them; return the bytes that had to be sent.

    Raises: as `push`.
    """
    wanted = {blob.descriptor.digest: blob for blob in blobs}
    return _send_blobs(client, reference, tuple(wanted.values()), Discard(), 0, cancelled)


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


def _send_blobs(
    client: RegistryClient,
    reference: Reference,
    blobs: Sequence[Outgoing],
    events: EventSink,
    vertex_id: int,
    cancelled: Question,
) -> int:
    sent: list[int] = []

    def send_one(blob: Outgoing, stopped: Question) -> None:
        meter = Meter(events, vertex_id, blob.descriptor)
        if deliver(client, reference, blob, meter, stopped):
            sent.append(blob.descriptor.size)

    in_parallel(send_one, blobs, UPLOADS, cancelled)
    if cancelled():
        raise Cancelled
    return sum(sent)


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


def _present(
    client: RegistryClient,
    reference: Reference,
    documents: Sequence[Document],
    cancelled: Question,
) -> frozenset[Digest]:
    """Return the digests of the documents that the repository has."""
    found: set[Digest] = set()

    def ask(document: Document, _stopped: Question) -> None:
        digest = _digest(document)
        if client.manifest_exists(reference, digest):
            found.add(digest)

    in_parallel(ask, documents, _DOCUMENTS, cancelled)
    return frozenset(found)


def _digest(document: Document) -> Digest:
    return document.descriptor().digest
