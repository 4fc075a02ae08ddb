"""An image whose own layers hold no time after a given one: another image, with other diff ids.

What came with the base image is never touched: neither its layers, nor its lines of history. Of the own layers, later times
become the given one. So do earlier ones that were read off a clock, of the step or of a checkout: a step that ran
yesterday, and is cached, must come to the same as one that runs now. Which these are is told by the entry list of a layer that a
command made, and otherwise by what stands below it, or is copied (`Inherited.passing`).

Source: BuildKit, docs/build-repro.md, `rewrite-timestamp`.
"""

from __future__ import annotations

import datetime
import os

import msgspec

from builder.errors import LapstrakeError, LayerLost
from builder.export.forms import blob_form, temporary, ways
from builder.export.manifest import Packed
from builder.export.wanted import LayerForm, Making
from builder.graph.keys import framed_digest
from builder.layer.clamp import Below
from builder.oci.config import ImageConfig
from builder.oci.digest import Digest
from builder.oci.document import config_bytes
from builder.oci.edit import Inherited
from builder.oci.mediatypes import OCI_CONFIG, Compression
from builder.store.forms import means_damage, unique_name
from builder.store.layers import Layer, State
from builder.store.root import Store


class _Clamped(msgspec.Struct, frozen=True):
    diff_id: str
    size: int
    digest: str
    compressed_size: int
    count: int


def rewritten(
    image: Packed, inherited: Inherited, store: Store, *, epoch: int, compression: Compression
) -> Packed:
    """Return the image without times after `epoch`, seconds since 1970: of its files, of its history, of itself.

    The layers are remembered, so that to ask again costs nothing. Blobs of new layers are made in `compression`; its
    configuration is among the blobs, but the image is not listed among those of the store.

    Raises: StoreError: no form of a layer is left; the disk is full. LayerError: a layer is malformed.
    """
    layers, passing = list(image.state.layers), dict(inherited.passing)
    below: list[Below] = []
    for number in range(inherited.layers, len(layers)):
        layer = layers[number]
        rule = _rule(layer, passing.get(number), store)
        layers[number] = _layer(layer, store, epoch, compression, rule, tuple(below))
        below.append(rule)
    config = msgspec.structs.replace(
        with_times(image.config, inherited, epoch),
        diff_ids=tuple([layer.diff_id for layer in layers]),
    )
    return _with(msgspec.structs.replace(image, state=State(tuple(layers))), config, store)


def retimed(image: Packed, inherited: Inherited, store: Store, *, epoch: int) -> Packed:
    """Return the image whose configuration says nothing after `epoch`; its layers stay as they are.

    Its configuration is among the blobs, but the image is not listed among those of the store.
    """
    return _with(image, with_times(image.config, inherited, epoch), store)


def _with(image: Packed, config: ImageConfig, store: Store) -> Packed:
    """Return an image with another configuration, which stands on the same base."""
    stored = store.blobs.add(config_bytes(config), media_type=OCI_CONFIG)
    origin = store.images.origin(image.id)
    if origin is not None:
        store.images.set_origin(str(stored.digest), origin)
    return msgspec.structs.replace(image, id=str(stored.digest), config=config)


def with_times(config: ImageConfig, inherited: Inherited, epoch: int) -> ImageConfig:
    """Return a configuration whose own lines of history, and which itself, are of the time `epoch`."""
    moment = datetime.datetime.fromtimestamp(epoch, tz=datetime.UTC)
    text = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    history = [
        line if number < inherited.lines else msgspec.structs.replace(line, created=text)
        for number, line in enumerate(config.history)
    ]
    return msgspec.structs.replace(config, history=tuple(history), created=text)


def _rule(layer: Layer, passing: int | None, store: Store) -> Below:
    """Return which times of a layer say nothing."""
    return Below(
        entries_path=store.layers.entries_path(layer.diff_id),
        passing=passing,
        # The list of a layer that was pulled has the parts of a second that its archive had.
        marks=layer.content_id != layer.diff_id.partition(":")[2],
    )


def _layer(
    layer: Layer,
    store: Store,
    epoch: int,
    compression: Compression,
    rule: Below,
    below: tuple[Below, ...],
) -> Layer:
    """Return the layer without times after `epoch`: itself, if it has none.

    Raises: StoreError, LayerError: see `rewritten`.
    """
    if layer.empty:
        return layer
    key = framed_digest(
        (
            "layer-without-times-after/2",
            layer.diff_id,
            epoch,
            rule.passing,
            [(os.path.basename(each.entries_path), each.passing) for each in below],
        )
    )
    known = store.cache.parsed(key)
    if known is not None:
        found = store.layers.get(known.decode())
        if found is not None and store.snapshots.usable(found):
            return found
    made = _made(layer, store, epoch, compression, rule, below)
    store.cache.remember_parsed(key, made.diff_id.encode())
    return made


def _made(
    layer: Layer,
    store: Store,
    epoch: int,
    compression: Compression,
    rule: Below,
    below: tuple[Below, ...],
) -> Layer:
    refused: list[str] = []
    listed = store.layers.entries_path(layer.diff_id)
    for _, way in ways(layer, store):
        path, entries = temporary(store), f"{store.snapshots.scratch()}/{unique_name()}.entries"
        arguments = {
            "entries_path": listed,
            **way,
            "epoch": epoch,
            "passing": rule.passing,
            "marks": rule.marks,
            "below": msgspec.to_builtins(below),
            "path": path,
            "clamped": entries,
            "compression": compression.value,
            "reproducible": True,
        }
        try:
            done = store.jobs.call("builder.layer.clamp:clamp_layer", arguments)
        except LapstrakeError as error:
            if not means_damage(error):
                raise
            refused.append(error.message)
        else:
            made = msgspec.convert(done, _Clamped)
            return _settled(layer, made, path, entries, compression, store)
    store.snapshots.forget(layer)
    raise LayerLost(layer.diff_id, notes=tuple(refused))


def _settled(
    layer: Layer, made: _Clamped, path: str, entries: str, compression: Compression, store: Store
) -> Layer:
    """Put a layer that was made into the store, and its blob; no step of a build is ever given it.

    Its contents may be those of a layer that a step made, but its times are not: so its content id is its own.
    """
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    with store.snapshots.settling(made.diff_id):
        known = store.layers.get(made.diff_id)
        if known is None:
            known = Layer(
                made.diff_id,
                made.diff_id.partition(":")[2],
                made.size,
                made.count,
                layer.created,
            )
            if made.count >= 0:
                os.rename(entries, store.layers.entries_path(made.diff_id))
            store.layers.add(known)
        store.blobs.adopt(path, Digest(made.digest))
        wanted = LayerForm(compression=compression, making=Making.ANYWHERE)
        form = blob_form(made.digest, made.compressed_size, wanted)
        store.layers.add_blob(made.diff_id, form)
    return known
