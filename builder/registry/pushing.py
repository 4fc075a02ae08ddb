"""Images out: blobs first, several at once, then what names them; what a repository has is not sent again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import BinaryIO

from builder.errors import Cancelled, RegistryError
from builder.events import Discard, EventSink
from builder.oci import mediatypes
from builder.oci.closure import Closure, Document
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.manifest import Index, Manifest
from builder.oci.reference import Reference
from builder.registry.client import RegistryClient
from builder.registry.exchange import Cancelled as Question
from builder.registry.exchange import never
from builder.registry.meter import Meter
from builder.registry.parallel import Stream, in_parallel
from builder.registry.upload import Outgoing, deliver

UPLOADS = 5
_DOCUMENTS = 6
"""Documents that are asked for at once."""

_MISSING = frozenset({400, 404})
"""Statuses of manifests that are refused because something that they name is not there."""

Open = Callable[[Digest], AbstractContextManager[BinaryIO]]


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
