"""What a build adds to a shared cache: the records it found or made there, and their layers, where they are not yet."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial

import msgspec

from builder.errors import LayerLost, StoreError
from builder.export.forms import layer_blobs
from builder.export.wanted import LayerForm
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
from builder.sharing.taking import SharedCaches
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
        record = _local(self._store, key, base)
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
            for (state, request), contents in _selected(journal, self._taken).items()
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
        for record in recorded(journal, self._store, self._taken):
            yield self._with_blob(record, scope)

    def _with_blob(self, record: SharedRecord, scope: Scope) -> SharedRecord:
        """Return a record with its layer there, if that is wanted and possible."""
        layer = record.layer
        if not scope.includes(layer.diff_id) or self._known(record, with_blob=True):
            return record
        try:
            given = with_times(record, self._store, self._taken)
            blob = self.put_layer(layer.diff_id, scope.compression)
        except LayerLost:
            return record  # the record alone still tells what follows
        return msgspec.structs.replace(record, layer=msgspec.structs.replace(given, blob=blob))

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
        (form,) = layer_blobs(State((layer,)), self._store, LayerForm(compression=compression))
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
        if 0 < len(self._reader.sets) <= _SUMMARISE:
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


def recorded(journal: Journal, store: Store, taken: SharedCaches | None) -> Iterator[SharedRecord]:
    """Yield the records that a build found or made, without blobs; also those whose layers it did not need."""
    for key, base in list(journal.records):
        record = _local(store, key, base)
        if record is not None:
            yield record
    for found in [] if taken is None else list(taken.found.values()):
        for each in found:
            bare = msgspec.structs.replace(each.record.layer, blob=None)
            yield msgspec.structs.replace(each.record, base=each.base, layer=bare)


def _selected(journal: Journal, taken: SharedCaches | None) -> dict[tuple[str, str], str]:
    """Return what a build found selected in states, or was told by a cache."""
    told = {} if taken is None else taken.selections
    return {**told, **journal.selections}


def _local(store: Store, key: str, base: str) -> SharedRecord | None:
    for record in store.cache.lookup(key):
        layer = store.layers.get(record.diff_id)
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


def with_times(record: SharedRecord, store: Store, taken: SharedCaches | None) -> SharedLayer:
    """Return the layer of a record with all that others need to check it.

    The entry list of a layer that came from a cache does not tell which times count: what that cache says is passed on.

    Raises: LayerLost: nobody here knows that any more.
    """
    layer = record.layer
    here = store.layers.get(layer.diff_id)
    if layer.times is not None or here is None or layer.content_id == layer.diff_id[7:]:
        return layer
    try:
        times = counted_times(here, store.layers.entries_path(layer.diff_id))
    except StoreError as error:
        if taken is None:
            raise LayerLost(layer.diff_id) from error
        times = taken.times(record)
    return msgspec.structs.replace(layer, times=times)


def inline_bundle(
    journal: Journal, store: Store, taken: SharedCaches | None, result: frozenset[str]
) -> Bundle:
    """Return what goes into an image whose layers have the diff ids `result`."""
    records: list[SharedRecord] = []
    for record in recorded(journal, store, taken):
        layer = record.layer
        if layer.diff_id in result:
            with suppress(LayerLost):
                layer = with_times(record, store, taken)
        records.append(msgspec.structs.replace(record, layer=layer))
    selections = [Selection(*key, contents) for key, contents in _selected(journal, taken).items()]
    return Bundle(records=tuple(records), selections=tuple(selections))


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
