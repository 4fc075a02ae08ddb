"""Images in and out: several blobs at once, resumed where a connection broke, verified before believed.

A pull stores layers, then the configuration, then the manifest, so that a manifest in the store says that
all it needs is there. A push goes the same way.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO, TypeVar

import msgspec

from builder.errors import Cancelled, RegistryError
from builder.events import Discard, EventSink, Progress
from builder.oci import mediatypes
from builder.oci.config import ImageConfig
from builder.oci.descriptor import Descriptor
from builder.oci.manifest import Index, Manifest
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.registry import backoff
from builder.registry.client import RegistryClient
from builder.registry.exchange import Cancelled as Question
from builder.registry.exchange import Upload, never
from builder.registry.resolve import Resolved
from builder.store.content import ContentStore

DOWNLOADS = 3
UPLOADS = 5
_EVERY = 0.1
_GRACE = 1.0
"""Seconds that threads have to tidy up once they are stopped."""

_PROGRESS = 1024 * 1024
"""Bytes which, once they came, make a broken connection count as the first one again."""

Item = TypeVar("Item")


class PulledImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image whose blobs are all in the store.

    `descriptor` is what the reference pointed at: the index if there was one (`index` are its bytes), else the
    manifest.
    """

    descriptor: Descriptor
    manifest: Manifest
    config: ImageConfig
    index: bytes | None = None


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """A blob to push; `open` is called once for each try, and not at all when the registry has it.

    `mount_from` is a repository of the same registry that is known to have it.
    """

    descriptor: Descriptor
    open: Callable[[], BinaryIO]
    mount_from: str | None = None


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
    cancelled: Question = never,
) -> PulledImage:
    """Fetch what a reference was resolved to: the second half of `pull`."""
    manifest = resolved.manifest

    def fetch_one(layer: Descriptor, stopped: Question) -> None:
        meter = _Meter(events, vertex_id, layer)
        # Not read at all, hence not fetched, if the blob is here.
        chunks = _resumed(client, reference, layer, meter, stopped)
        blobs.ingest(chunks, media_type=layer.media_type, expected=layer.digest, size=layer.size)
        meter.finish()

    _in_parallel(fetch_one, _unique(manifest.layers), DOWNLOADS, cancelled)
    documents = [(resolved.config_raw, manifest.config), (manifest.raw, manifest.descriptor())]
    if resolved.index is not None:
        documents.append((resolved.index.raw, resolved.index.descriptor()))
    for raw, descriptor in documents:
        blobs.ingest(
            (raw,),
            media_type=descriptor.media_type,
            expected=descriptor.digest,
            size=descriptor.size,
        )
    return PulledImage(
        descriptor=resolved.descriptor,
        manifest=manifest,
        config=resolved.config,
        index=resolved.index.raw if resolved.index else None,
    )


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

    def send_one(blob: Outgoing, stopped: Question) -> None:
        meter = _Meter(events, vertex_id, blob.descriptor)
        if not client.blob_exists(reference, blob.descriptor.digest):
            _upload(client, reference, blob, meter, stopped)
        meter.finish()

    wanted = {
        blob.descriptor.digest: blob
        for blob in blobs
        if not mediatypes.is_foreign(blob.descriptor.media_type)
    }
    _in_parallel(send_one, tuple(wanted.values()), UPLOADS, cancelled)
    if cancelled():
        raise Cancelled
    return client.put_manifest(reference, manifest)


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
    sent: list[int] = []

    def send_one(blob: Outgoing, stopped: Question) -> None:
        if not client.blob_exists(reference, blob.descriptor.digest):
            meter = _Meter(Discard(), 0, blob.descriptor)
            _upload(client, reference, blob, meter, stopped)
            sent.append(blob.descriptor.size)

    wanted = {blob.descriptor.digest: blob for blob in blobs}
    _in_parallel(send_one, tuple(wanted.values()), UPLOADS, cancelled)
    return sum(sent)


def receive(
    client: RegistryClient,
    reference: Reference,
    descriptor: Descriptor,
    *,
    cancelled: Question = never,
) -> Iterator[bytes]:
    """Yield the bytes of a blob, going on where a connection broke; the receiver verifies them.

    Raises: RegistryError: it cannot be had. Cancelled.
    """
    return _resumed(client, reference, descriptor, _Meter(Discard(), 0, descriptor), cancelled)


def _resumed(
    client: RegistryClient,
    reference: Reference,
    descriptor: Descriptor,
    meter: _Meter,
    cancelled: Question,
) -> Iterator[bytes]:
    """Yield a blob's bytes, going on where a connection broke; bounded, even if each try brings a little."""
    offset = failures = since = 0
    while True:
        try:
            for chunk in client.fetch_blob(reference, descriptor, offset):
                offset += len(chunk)
                since += len(chunk)
                yield chunk
                meter.add(len(chunk))
                if cancelled():
                    raise Cancelled
        except RegistryError as error:
            failures = 1 if since >= _PROGRESS else failures + 1
            since = 0
            if offset == descriptor.size:
                return  # all came, only the end of the answer is missing
            if not error.temporary or failures >= backoff.ATTEMPTS:
                raise
            backoff.wait(backoff.delay(failures), cancelled)
        else:
            return


def _upload(
    client: RegistryClient,
    reference: Reference,
    blob: Outgoing,
    meter: _Meter,
    cancelled: Question,
) -> None:
    """Send a blob; after a broken connection begin anew, since nobody knows what arrived."""

    def sent(count: int) -> None:
        if cancelled():
            raise Cancelled
        meter.add(count)

    failures = 0
    while True:
        upload = Upload(open=blob.open, size=blob.descriptor.size, sent=sent)
        try:
            client.upload_blob(reference, blob.descriptor, upload, mount_from=blob.mount_from)
        except RegistryError as error:
            failures += 1
            if not error.temporary or failures >= backoff.ATTEMPTS:
                raise
            meter.restart()
            backoff.wait(backoff.delay(failures), cancelled)
        else:
            return


class _Meter:
    """Progress of one blob, told at most ten times a second."""

    def __init__(self, events: EventSink, vertex_id: int, descriptor: Descriptor) -> None:
        self._events = events
        self._vertex_id = vertex_id
        self._item = f"{descriptor.digest.algorithm}:{descriptor.digest.short}"
        self._total = descriptor.size
        self._done = 0
        self._moved = False
        self._told = 0.0
        self._tell()

    def add(self, count: int) -> None:
        self._done += count
        self._moved = True
        if time.monotonic() - self._told >= _EVERY:
            self._tell()

    def restart(self) -> None:
        self._done = 0

    def finish(self) -> None:
        self._done = self._total
        self._tell(here=not self._moved)

    def _tell(self, *, here: bool = False) -> None:
        self._told = time.monotonic()
        progress = Progress(
            id=self._vertex_id, item=self._item, done=self._done, total=self._total, here=here
        )
        self._events.emit(progress)


def _unique(descriptors: Sequence[Descriptor]) -> tuple[Descriptor, ...]:
    return tuple({descriptor.digest: descriptor for descriptor in descriptors}.values())


def _in_parallel(
    work: Callable[[Item, Question], None], items: Sequence[Item], threads: int, cancelled: Question
) -> None:
    """Do the work for all items; the first failure stops the others and is raised.

    The threads are daemons: one that waits for a silent registry does not keep a cancelled program alive.
    What it was writing has no name yet, and is swept later.
    """
    stop = threading.Event()
    waiting = list(reversed(items))
    errors: list[BaseException] = []

    def stopped() -> bool:
        return stop.is_set() or cancelled()

    def run() -> None:
        while not stopped():
            try:
                item = waiting.pop()
            except IndexError:
                return
            try:
                work(item, stopped)
            except BaseException as error:  # noqa: BLE001  raised by the caller's thread
                errors.append(error)
                stop.set()

    workers = [
        threading.Thread(target=run, name=f"registry-{number}", daemon=True)
        for number in range(min(threads, len(items)))
    ]
    try:
        for worker in workers:
            worker.start()
        _join(workers, stopped)
    finally:
        stop.set()
    # Those who were stopped because of another's failure are not the cause of it.
    failures = [error for error in errors if not isinstance(error, Cancelled)] or errors
    if failures:
        raise failures[0]
    if cancelled():
        raise Cancelled


def _join(workers: Sequence[threading.Thread], stopped: Question) -> None:
    """Wait for all; once stopped, only as long as those need who are not stuck in a read."""
    deadline: float | None = None
    for worker in workers:
        while worker.is_alive():
            worker.join(0.05)
            if deadline is None and stopped():
                deadline = time.monotonic() + _GRACE
            if deadline is not None and time.monotonic() > deadline:
                return
