"""Layers unpacked while they arrive, for an image that is going to be used.

    registry ──► blobs/ (download, several at once)
                   └──► layers/ (one thread, bottom first, as the bytes come)

Nothing is kept of a blob that turns out wrong, and an image with a layer that is none is not believed. What this host alone
cannot unpack is left to the first use, which says what is in the way.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import msgspec

from builder.diagnostics import Severity
from builder.errors import BuildError, Cancelled, LapstrakeError
from builder.events import EventSink, Progress, Warned
from builder.oci.config import ImageConfig
from builder.oci.digest import Digest
from builder.oci.manifest import Manifest
from builder.oci.mediatypes import compression_of
from builder.solve.translate import translated
from builder.store.arrival import Arrival, Incoming
from builder.store.layers import BlobForm, State, pulled_layer
from builder.store.root import Store

_FATAL = frozenset({"store.digest-mismatch", "store.no-space", "store.limit", "layer.invalid"})


class Unpacking:
    """The unpacking of one image; `arrivals` are to be told how its blobs come."""

    def __init__(self, arrivals: dict[Digest, Arrival]) -> None:
        self.arrivals = arrivals
        self.error: BaseException | None = None
        """Why it could not be unpacked, once it is over."""


@contextmanager
def unpacking(
    store: Store,
    manifest: Manifest,
    config: ImageConfig,
    events: EventSink,
    vertex_id: int,
) -> Iterator[Unpacking]:
    """Unpack an image while the block receives its blobs, and wait for the end of that.

    Raises: StoreError: `store.digest-mismatch`, `store.no-space`. LayerError: `layer.invalid`. Cancelled.
    """
    arrivals: dict[Digest, Arrival] = {}
    incoming: dict[str, Incoming] = {}
    for descriptor, diff_id in zip(manifest.layers, config.diff_ids, strict=True):
        compression = compression_of(descriptor.media_type)
        if compression is not None:
            form = BlobForm(
                digest=str(descriptor.digest),
                size=descriptor.size,
                media_type=descriptor.media_type,
                compression=compression.value,
                pulled=True,
            )
            arrival = arrivals.setdefault(descriptor.digest, Arrival())
            report = partial(_tell, events, vertex_id, f"unpacking {descriptor.digest.short}")
            incoming[diff_id] = Incoming(form=form, arrival=arrival, report=report)
    state = State(
        tuple([store.layers.get(diff_id) or pulled_layer(diff_id) for diff_id in config.diff_ids])
    )
    work = Unpacking(arrivals)
    thread = threading.Thread(
        target=partial(_unpack, work, store, state, incoming), name="unpack", daemon=True
    )
    thread.start()
    try:
        yield work
    finally:
        # Those that have arrived are not touched by this; whoever waits for others need not any more.
        for arrival in arrivals.values():
            arrival.end(believed=False)
        thread.join()
        for arrival in arrivals.values():
            arrival.close()
    _judge(work.error, events)


def _judge(error: BaseException | None, events: EventSink) -> None:
    """Raise what says that the image is wrong or the store full; tell what is in the way of using it here."""
    if error is None or isinstance(error, BuildError):
        return  # without walls, or a launcher, an image can still be pushed
    if not isinstance(error, LapstrakeError) or isinstance(error, Cancelled):
        raise error
    if error.code in _FATAL:
        raise error
    warning = msgspec.structs.replace(
        error.diagnostic(),
        severity=Severity.WARNING,
        notes=("the image is pulled, but cannot be unpacked here", *error.notes),
    )
    events.emit(Warned(diagnostic=warning))


def _tell(events: EventSink, vertex_id: int, item: str, done: object) -> None:
    if isinstance(done, int):
        events.emit(Progress(id=vertex_id, item=item, done=done))


def _unpack(work: Unpacking, store: Store, state: State, incoming: dict[str, Incoming]) -> None:
    try:
        with translated():
            store.snapshots.unpack(state, incoming)
    except BaseException as error:  # noqa: BLE001  raised again by the thread that waits
        work.error = error
