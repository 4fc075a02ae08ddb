"""Records of shared caches as a build uses them: a `CacheBackend` that brings layers only when they are needed.

Nothing of it reaches the local index before the layer is here and checked; see `docs/security.md`, "Shared caches".
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from builder.errors import Cancelled, LapstrakeError, LayerLost
from builder.graph.keys import CacheKey
from builder.layer.times import Counted
from builder.oci.digest import Digest
from builder.oci.mediatypes import compression_of
from builder.sharing.checking import check_layer
from builder.sharing.place import Place
from builder.sharing.reading import Reader
from builder.sharing.records import Blob, SharedRecord
from builder.store.cache import CacheRecord
from builder.store.forms import unique_name
from builder.store.layers import BlobForm, Layer, State
from builder.store.root import Store

_AT_ONCE = 4
_DAY = 86400.0


class Found(msgspec.Struct, frozen=True):
    """A record that was of use, and the key and state for which it was."""

    key: CacheKey
    base: str
    record: SharedRecord


class SharedCaches:
    """The caches that one build reads, the first one first; `lost` hears why a layer cannot be used."""

    def __init__(
        self,
        readers: Sequence[Reader],
        store: Store,
        *,
        lost: Callable[[str, LapstrakeError], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self._readers = readers
        self._store = store
        self._lost = lost
        self._cancelled = cancelled
        self._lock = threading.Lock()
        self._offers: dict[str, list[tuple[Place, Blob]]] = {}
        self._bringing: dict[str, threading.Lock] = {}
        self.found: dict[str, list[Found]] = {}
        """Records whose layers are not here yet, by diff id."""
        self.bad: set[str] = set()
        """Layers that are not what they were said to be, or cannot be had."""
        self.brought: dict[str, int] = {}
        """Layers that came, with the bytes that were moved for each."""
        self.selections: dict[tuple[str, str], str] = {}
        """What is selected in states whose layers may not be here: the contents, by state and request."""
        self.used = 0
        """How many records were of use."""

    def lookup(self, key: CacheKey, base: str) -> tuple[CacheRecord, ...]:
        """Return the records of a key, that of the base first."""
        newest = time.time() + _DAY
        found: list[CacheRecord] = []
        for reader in self._readers:
            for record in reader.records(key):
                layer = record.layer
                if layer.diff_id in self.bad or layer.created > newest:
                    continue
                if layer.blob is not None:
                    offers = self._offers.setdefault(layer.diff_id, [])
                    offers.append((reader.place, layer.blob))
                found.append(_LocalRecord.of(record))
        return tuple(sorted(found, key=lambda each: (each.base != base, -each.created)))

    def layer(self, record: CacheRecord) -> Layer:
        """Return the layer of a record, and remember for what state it was of use."""
        assert isinstance(record, _LocalRecord)
        shared = record.shared
        here = self._store.layers.get(record.diff_id)
        with self._lock:
            self.used += 1
            found = Found(shared.key, record.base, shared)
            if here is not None and self._store.snapshots.usable(here):
                self._take_over(found)
                return here
            self.found.setdefault(record.diff_id, []).append(found)
        return layer_of(shared)

    def selection(self, state: str, request: str) -> str | None:
        """Return what is selected in a state, as the first cache that knows it says."""
        for reader in self._readers:
            found = reader.selection(state, request)
            if found is not None:
                self.selections[state, request] = found
                return found
        return None

    def times(self, record: SharedRecord) -> Counted | None:
        """Return which times count in the layer of a record, as whoever shared it says.

        Raises: LayerLost: no cache knows the layer for this key.
        """
        diff_id = record.layer.diff_id
        for reader in self._readers:
            for each in reader.records(record.key):
                if each.layer.diff_id == diff_id and each.layer.blob is not None:
                    return each.layer.times
        raise LayerLost(diff_id)

    def have(self, state: State) -> None:
        """Have the layers of a state here, several at once.

        Raises: LayerLost.
        """
        wanted = [layer for layer in dict.fromkeys(state.layers) if layer.diff_id in self.found]
        if len(wanted) < 2:
            for layer in wanted:
                self.bring(layer)
            return
        with ThreadPoolExecutor(min(_AT_ONCE, len(wanted))) as pool:
            for future in [pool.submit(self.bring, layer) for layer in wanted]:
                future.result()

    def bring(self, layer: Layer) -> None:
        """Have one layer here, if it was found in a cache.

        Raises: LayerLost: it was, but cannot be had or is another one.
        """
        with self._lock:
            if layer.diff_id not in self.found:
                return
            bringing = self._bringing.setdefault(layer.diff_id, threading.Lock())
        with bringing:
            if layer.diff_id in self.found:
                self._bring(layer)

    def _bring(self, layer: Layer) -> None:
        notes: list[str] = []
        for place, blob in dict.fromkeys(self._offers.get(layer.diff_id, ())):
            try:
                self._fetch(layer, place, blob)
            except Cancelled:
                raise
            except LapstrakeError as error:
                self._lost(place.name, error)
                notes.append(error.message)
                continue
            with self._lock:
                for found in self.found.pop(layer.diff_id, ()):
                    self._take_over(found)
            return
        with self._lock:
            self.bad.add(layer.diff_id)
            self.found.pop(layer.diff_id, None)
        raise LayerLost(layer.diff_id, notes=tuple(notes))

    def _fetch(self, layer: Layer, place: Place, blob: Blob) -> None:
        from builder.oci.descriptor import Descriptor

        compression = compression_of(blob.media_type)
        digest = Digest(blob.digest)
        descriptor = Descriptor(media_type=blob.media_type, digest=digest, size=blob.size)
        if compression is None:
            raise LayerLost(layer.diff_id)
        blobs = self._store.blobs
        known = blobs.contains(digest)
        blobs.ingest(
            place.chunks(descriptor), media_type=blob.media_type, expected=digest, size=blob.size
        )
        try:
            scratch = f"{self._store.snapshots.scratch()}/{unique_name()}"
            times = self.found[layer.diff_id][0].record.layer.times
            listed = f"{scratch}.entries"
            check_layer(
                layer,
                times,
                blobs.path(digest),
                compression.value,
                scratch=scratch,
                entries_path=listed,
            )
        except LapstrakeError:
            if not known:
                blobs.remove(digest)
            raise
        form = BlobForm(
            digest=blob.digest,
            size=blob.size,
            media_type=blob.media_type,
            compression=compression.value,
            pulled=False,
        )
        with self._store.layers.transaction():
            entries = self._store.layers.entries_path(layer.diff_id)
            if os.path.exists(listed) and not os.path.exists(entries):
                os.rename(listed, entries)
            self._store.layers.add(layer)
            self._store.layers.add_blob(layer.diff_id, form)
        if not known:
            self.brought[layer.diff_id] = blob.size

    def _take_over(self, found: Found) -> None:
        """Record here what was of use, now that its layer is known for what it is."""
        record = found.record
        self._store.cache.record(
            found.key,
            found.base,
            record.layer.diff_id,
            record.observations,
            record.seconds,
            created=record.created,
        )


class _LocalRecord(CacheRecord, frozen=True, kw_only=True):
    """A shared record in the shape of a local one."""

    shared: SharedRecord

    @classmethod
    def of(cls, shared: SharedRecord) -> _LocalRecord:
        return cls(
            base=shared.base,
            diff_id=shared.layer.diff_id,
            observations=shared.observations,
            parts=shared.parts,
            created=shared.created,
            used=shared.created,
            seconds=shared.seconds,
            shared=shared,
        )


def layer_of(record: SharedRecord) -> Layer:
    """Return the layer that a record speaks of."""
    layer = record.layer
    return Layer(layer.diff_id, layer.content_id, layer.size, layer.entries, layer.created)
