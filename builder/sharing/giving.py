"""What a build adds to a shared cache: the records it found or made there, and their layers, where they are not yet."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial

import msgspec

from builder.errors import LayerLost, StoreError
from builder.export.forms import layer_blobs
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.manifest import Manifest
from builder.oci.mediatypes import Compression
from builder.sharing.checking import counted_times
from builder.sharing.mounts import packed
from builder.sharing.place import Parcel, Place
from builder.sharing.reading import Reader
from builder.sharing.records import (
    BUNDLE,
    TABLE,
    Blob,
    Bundle,
    Listed,
    Selection,
    SharedLayer,
    SharedMount,
    SharedRecord,
    bundles_of,
    encoded,
    encoded_table,
    listed,
    set_manifest,
    set_name,
)
from builder.sharing.taking import Found, SharedCaches
from builder.store.cache import Journal
from builder.store.layers import Layer, State
from builder.store.root import Store

_SUMMARISE = 8
"""Sets that are read one by one before somebody makes one of them."""


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What was added: records, selections, layers, and the bytes that were moved."""

    records: int = 0
    selections: int = 0
    layers: int = 0
    mounts: int = 0
    bytes: int = 0


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """Which layers are shared: with `max` those of all steps, else those of the image, `result`."""

    max: bool
    result: frozenset[str]
    compression: Compression = Compression.GZIP

    def includes(self, diff_id: str) -> bool:
        """Tell whether a layer is to be shared, besides the record of it."""
        return self.max or diff_id in self.result


class Giver:
    """Adds to one place what a build did; `taken` is what the build read itself."""

    def __init__(self, store: Store, reader: Reader, taken: SharedCaches | None) -> None:
        self._store = store
        self._reader = reader
        self._place: Place = reader.place
        self._taken = taken
        self._moved = 0
        self._layers: dict[str, Descriptor] = {}
        self._mounts: list[SharedMount] = []
        self._packs: list[Descriptor] = []

    @property
    def name(self) -> str:
        """What people know the place by."""
        return self._place.name

    def put_ahead(self, key: str, base: str, compression: Compression) -> None:
        """Have the layer of a record there before the record itself.

        Raises: LapstrakeError: it cannot be written.
        """
        record = self._local(key, base)
        if record is not None and not self._known(record, with_blob=True):
            with suppress(LayerLost):
                self.put_layer(record.layer.diff_id, compression)

    def put_mount(self, name: str, limit: int) -> None:
        """Have what is in a cache mount there, unless it is larger than `limit` bytes; `give` makes it known.

        Raises: StoreError: it is in use, or too large. LapstrakeError: it cannot be written.
        """
        found = packed(name, self._reader.mount(name), self._place, self._store, limit=limit)
        if found is not None:
            mount, packs, moved = found
            self._mounts.append(mount)
            self._packs += packs
            self._moved += moved

    def give(self, journal: Journal, scope: Scope) -> Given:
        """Add what is not there yet. What was moved before a failure stays, and is not moved again.

        Raises: LapstrakeError: the place cannot be written.
        """
        records = [each for each in self._records(journal, scope) if not self._known(each)]
        selections = [
            Selection(state, request, contents)
            for (state, request), contents in journal.selections.items()
            if self._reader.selection(state, request) is None
        ]
        bundles = bundles_of(records, selections)
        if self._mounts:
            bundles = (*bundles, Bundle(mounts=tuple(self._mounts)))
        if not bundles:
            return Given(bytes=self._moved)
        lines = self._put_bundles(bundles)
        self._publish(lines)
        return Given(
            records=len(records),
            selections=len(selections),
            layers=len(self._layers),
            mounts=len(self._mounts),
            bytes=self._moved,
        )

    def _records(self, journal: Journal, scope: Scope) -> Iterable[SharedRecord]:
        for key, base in journal.records:
            record = self._local(key, base)
            if record is not None:
                yield self._with_blob(record, scope)
        for found in self._not_here():
            bare = msgspec.structs.replace(found.record.layer, blob=None)
            record = msgspec.structs.replace(found.record, base=found.base, layer=bare)
            yield self._with_blob(record, scope)

    def _not_here(self) -> list[Found]:
        """Return the records that the build took from elsewhere, and whose layers it did not need."""
        if self._taken is None:
            return []
        return [found for each in list(self._taken.found.values()) for found in each]

    def _local(self, key: str, base: str) -> SharedRecord | None:
        for record in self._store.cache.lookup(key):
            layer = self._store.layers.get(record.diff_id)
            if record.base == base and layer is not None and layer.entries >= 0:
                return SharedRecord(
                    parts=record.parts,
                    base=base,
                    layer=_shared(layer),
                    observations=record.observations,
                    seconds=record.seconds,
                    created=record.created,
                )
        return None

    def _with_blob(self, record: SharedRecord, scope: Scope) -> SharedRecord:
        """Return a record with its layer there, if that is wanted and possible."""
        layer = record.layer
        if not scope.includes(layer.diff_id) or self._known(record, with_blob=True):
            return record
        try:
            given = self._with_times(layer)
            blob = self.put_layer(layer.diff_id, scope.compression)
        except LayerLost:
            return record  # the record alone still tells what follows
        return msgspec.structs.replace(record, layer=msgspec.structs.replace(given, blob=blob))

    def _with_times(self, layer: SharedLayer) -> SharedLayer:
        """Return a layer with all that others need to check it.

        Raises: LayerLost: nobody here knows that any more.
        """
        here = self._store.layers.get(layer.diff_id)
        if layer.times is not None or here is None or layer.content_id == layer.diff_id[7:]:
            return layer
        try:
            times = counted_times(here, self._store.layers.entries_path(layer.diff_id))
        except StoreError as error:
            raise LayerLost(layer.diff_id) from error
        return msgspec.structs.replace(layer, times=times)

    def put_layer(self, diff_id: str, compression: Compression) -> Blob:
        """Have the blob of a layer there; idempotent.

        Raises: LayerLost: it is not here, and cannot be brought. LapstrakeError: it cannot be written.
        """
        if self._taken is not None and diff_id in self._taken.found:
            found = self._taken.found[diff_id][0]
            shared = found.record.layer
            self._taken.bring(
                Layer(diff_id, shared.content_id, shared.size, shared.entries, shared.created)
            )
        layer = self._store.layers.get(diff_id)
        if layer is None:
            raise LayerLost(diff_id)
        (form,) = layer_blobs(State((layer,)), self._store, compression)
        digest = Digest(form.digest)
        descriptor = Descriptor(media_type=form.media_type, digest=digest, size=form.size)
        parcel = Parcel(descriptor=descriptor, open=partial(self._store.blobs.open, digest))
        self._moved += self._place.put((parcel,))
        self._layers[diff_id] = descriptor
        return Blob(form.digest, form.size, form.media_type)

    def _known(self, record: SharedRecord, *, with_blob: bool | None = None) -> bool:
        """Tell whether the place has a record, with a layer that is in order if this one has one."""
        wanted = record.layer.blob is not None if with_blob is None else with_blob
        bad = self._taken is not None and record.layer.diff_id in self._taken.bad
        return not (wanted and bad) and any(
            each.base == record.base
            and each.layer.diff_id == record.layer.diff_id
            and (each.layer.blob is not None or not wanted)
            for each in self._reader.records(record.key)
        )

    def _put_bundles(self, bundles: Sequence[Bundle]) -> list[Listed]:
        lines: list[Listed] = []
        parcels: list[Parcel] = []
        for bundle in bundles:
            data = encoded(bundle)
            lines.append(listed(bundle, data))
            parcels.append(parcel(data, BUNDLE))
        self._moved += self._place.put(parcels)
        return lines

    def _publish(self, lines: list[Listed]) -> None:
        manifest = self._put_table(lines, ())
        self._place.publish(manifest, (*self._layers.values(), *self._packs))
        alone = [each for each in self._reader.sets if not each.covers]
        if len(self._reader.sets) > 0 and len(alone) < _SUMMARISE:
            return
        names = {each.name for each in self._reader.sets}
        names |= {name for each in self._reader.sets for name in each.covers}
        names.add(set_name(manifest))
        every = {line.digest: line for line in (*self._reader.lines.values(), *lines)}
        self._place.summarise(self._put_table(list(every.values()), names), names)

    def _put_table(self, lines: list[Listed], covers: Iterable[str]) -> Manifest:
        data = encoded_table(lines)
        table = parcel(data, TABLE)
        self._moved += self._place.put((table,))
        bundles = [
            Descriptor(media_type=BUNDLE, digest=Digest(line.digest), size=line.size)
            for line in sorted(lines, key=lambda line: line.digest)
        ]
        return set_manifest(table.descriptor, bundles, covers)


def _shared(layer: Layer) -> SharedLayer:
    return SharedLayer(
        diff_id=layer.diff_id,
        content_id=layer.content_id,
        size=layer.size,
        entries=layer.entries,
        created=layer.created,
    )


def parcel(data: bytes, media_type: str) -> Parcel:
    """Return bytes at hand as a blob to put somewhere."""
    descriptor = Descriptor(media_type=media_type, digest=Digest.of(data), size=len(data))
    return Parcel(descriptor=descriptor, open=lambda: io.BytesIO(data))
