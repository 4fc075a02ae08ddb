"""Images whose layers are eStargz: other images, for the table of contents is part of each layer's diff id.

Source: BuildKit, util/compression/estargz.go; stargz-snapshotter, docs/estargz.md, "Content Verification in eStargz".
"""

from __future__ import annotations

import os

import msgspec

from builder.export.forms import plain_tar, temporary
from builder.export.manifest import Packed
from builder.export.wanted import LayerForm, Pairs
from builder.graph.keys import framed_digest
from builder.layer.estargz import table_of
from builder.oci.digest import Digest
from builder.oci.document import config_bytes
from builder.oci.mediatypes import OCI_CONFIG, OCI_LAYER_GZIP, Compression
from builder.store.layers import BlobForm, Layer, State
from builder.store.root import Store

_TABLE = "containerd.io/snapshot/stargz/toc.digest"
_SIZE = "io.containers.estargz.uncompressed-size"


class _Made(msgspec.Struct, frozen=True):
    diff_id: str
    size: int
    digest: str
    compressed_size: int


def seekable(image: Packed, wanted: LayerForm, store: Store) -> Packed:
    """Return the image with layers that are eStargz; those that were pulled stay, unless that is forced.

    What was made is remembered. Its configuration is among the blobs, but the image is not listed among those of the store.

    Raises: StoreError: no form of a layer is left; the disk is full. LayerError: a layer has a file that eStargz needs.
    """
    layers = tuple([_layer(layer, wanted, store) for layer in image.state.layers])
    if layers == image.state.layers:
        return image
    diff_ids = tuple([layer.diff_id for layer in layers])
    config = msgspec.structs.replace(image.config, diff_ids=diff_ids)
    stored = store.blobs.add(config_bytes(config), media_type=OCI_CONFIG)
    origin = store.images.origin(image.id)
    if origin is not None:
        store.images.set_origin(str(stored.digest), origin)
    return msgspec.structs.replace(image, id=str(stored.digest), config=config, state=State(layers))


def annotations_of(form: BlobForm, layer: Layer, store: Store) -> Pairs:
    """Return what the descriptor of an eStargz blob says of it; nothing of another blob."""
    if form.compression != Compression.GZIP.value:
        return ()
    found = table_of(store.blobs.path(Digest(form.digest)))
    if found is None:
        return ()
    size = ((_SIZE, str(layer.size)),) if layer.size >= 0 else ()
    return ((_TABLE, found[0]), *size)


def _layer(layer: Layer, wanted: LayerForm, store: Store) -> Layer:
    for form in store.layers.blobs(layer.diff_id):
        if not form.pulled or store.blobs.size(Digest(form.digest)) != form.size:
            continue
        if form.compression != Compression.NONE.value and not wanted.force:
            return layer
        if annotations_of(form, layer, store):
            return layer
    key = framed_digest(("layer-as-estargz/1", layer.diff_id, wanted.level))
    known = store.cache.parsed(key)
    if known is not None:
        found = store.layers.get(known.decode())
        if found is not None and store.snapshots.usable(found):
            return found
    made = _converted(layer, wanted, store)
    store.cache.remember_parsed(key, made.diff_id.encode())
    return made


def _converted(layer: Layer, wanted: LayerForm, store: Store) -> Layer:
    tar, made_here = plain_tar(layer, store)
    path = temporary(store)
    try:
        done = store.jobs.call(
            "builder.layer.estargz:seekable_layer",
            {"tar": tar, "path": path, "expected": layer.diff_id, "level": wanted.level},
        )
    finally:
        if made_here:
            os.unlink(tar)
    made = msgspec.convert(done, _Made)
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    # Like a layer that was pulled: its blob is what it is, and is never made again from its files.
    new = Layer(made.diff_id, made.diff_id.partition(":")[2], made.size, -1, layer.created)
    with store.snapshots.settling(made.diff_id):
        if store.layers.get(made.diff_id) is None:
            store.layers.add(new)
        store.blobs.adopt(path, Digest(made.digest))
        form = BlobForm(
            digest=made.digest,
            size=made.compressed_size,
            media_type=OCI_LAYER_GZIP,
            compression=Compression.GZIP.value,
            pulled=True,
        )
        store.layers.add_blob(made.diff_id, form)
    return store.layers.get(made.diff_id) or new
