"""Layers as blobs: the one that is there, or one made on demand, several at once.

A compressed blob that was pulled is sent on as it came, unless another compression is forced. Everything else is
made from what the store has, checked against the diff id while it is packed, and remembered.

Where the same bytes must come out on every machine, gzip is made by zlib (`Making.ANYWHERE`), and of a layer that was built, no
blob that came from elsewhere serves.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import msgspec

from builder.errors import LapstrakeError, LayerLost
from builder.export.wanted import LayerForm, Making
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.mediatypes import Compression, Family
from builder.store.forms import means_damage, unique_name
from builder.store.layers import BlobForm, Layer, State
from builder.store.root import Store


class _Packed(msgspec.Struct, frozen=True):
    digest: str
    compressed_size: int


def layer_blobs(
    state: State,
    store: Store,
    wanted: LayerForm,
    ready: Callable[[Descriptor], None] | None = None,
) -> tuple[BlobForm, ...]:
    """Return a blob for each layer, bottom first; all of them are in the store afterwards.

    While some have to be made, `ready` hears of each that is there, from any thread.

    Raises: StoreError: `store.corrupt`: no form of a layer is left; `store.no-space`.
    """
    layers = {layer.diff_id: layer for layer in state.layers}
    found: dict[str, BlobForm] = {}
    missing: list[Layer] = []
    for layer in layers.values():
        form = present(layer, store, wanted)
        if form is None:
            missing.append(layer)
        else:
            found[layer.diff_id] = form
    if ready is not None and missing:
        for form in found.values():
            ready(_descriptor(form))
    for layer, form in zip(missing, _made(missing, store, wanted, ready), strict=True):
        found[layer.diff_id] = form
    return tuple(found[layer.diff_id] for layer in state.layers)


def present(layer: Layer, store: Store, wanted: LayerForm) -> BlobForm | None:
    """Return the blob that serves where layers are `wanted` so, None when there is none yet."""
    forms = _usable(layer, store)
    if wanted.making is Making.FAST or _came_with_an_image(layer):
        for form in forms:
            serves = not wanted.force or form.compression == wanted.compression.value
            if form.pulled and form.compression != Compression.NONE.value and serves:
                return form
    variant = (wanted.compression.value, wanted.recipe)
    return next((form for form in forms if (form.compression, form.recipe) == variant), None)


def _came_with_an_image(layer: Layer) -> bool:
    """Tell whether a layer was pulled or loaded: what was built here is identified by its contents."""
    return layer.content_id == layer.diff_id.partition(":")[2]


def plain_tar(layer: Layer, store: Store) -> tuple[str, bool]:
    """Return the host path of a layer's plain tar, and whether the caller is to remove it after use.

    What has to be made for this is not kept: it would take as much room as the layer itself.

    Raises: StoreError: as `layer_blobs`.
    """
    digest = Digest(layer.diff_id)
    if store.blobs.contains(digest):
        return store.blobs.path(digest), False
    path = temporary(store)
    _pack(layer, store, LayerForm(compression=Compression.NONE), path)
    return path, True


def _usable(layer: Layer, store: Store) -> tuple[BlobForm, ...]:
    forms = store.layers.blobs(layer.diff_id)
    return tuple(form for form in forms if store.blobs.size(Digest(form.digest)) == form.size)


def _descriptor(form: BlobForm) -> Descriptor:
    return Descriptor(media_type=form.media_type, digest=Digest(form.digest), size=form.size)


def _made(
    layers: list[Layer],
    store: Store,
    wanted: LayerForm,
    ready: Callable[[Descriptor], None] | None,
) -> list[BlobForm]:
    def make(layer: Layer) -> BlobForm:
        form = _make(layer, store, wanted)
        if ready is not None:
            ready(_descriptor(form))
        return form

    if len(layers) <= 1:
        return [make(layer) for layer in layers]
    from concurrent.futures import ThreadPoolExecutor

    # The work is done by processes behind the launcher; the threads wait for them.
    with ThreadPoolExecutor(min(len(layers), os.cpu_count() or 1)) as pool:
        futures = [pool.submit(make, layer) for layer in layers]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _make(layer: Layer, store: Store, wanted: LayerForm) -> BlobForm:
    path = temporary(store)
    packed = _pack(layer, store, wanted, path)
    # Nothing checks a compressed blob again before it is sent, so it has to outlive a crash whole.
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    store.blobs.adopt(path, Digest(packed.digest))
    form = blob_form(packed.digest, packed.compressed_size, wanted)
    store.layers.add_blob(layer.diff_id, form)
    return form


def blob_form(digest: str, size: int, made: LayerForm) -> BlobForm:
    """Return the form of a layer that was made here."""
    return BlobForm(
        digest=digest,
        size=size,
        media_type=Family.OCI.layer(made.compression),
        compression=made.compression.value,
        pulled=False,
        recipe=made.recipe,
    )


def _pack(layer: Layer, store: Store, wanted: LayerForm, path: str) -> _Packed:
    """Write a blob of a layer to `path` from the first form that agrees with the diff id."""
    refused: list[str] = []
    for job, arguments in ways(layer, store):
        arguments |= {
            "path": path,
            "compression": wanted.compression.value,
            "level": wanted.level,
            "expected": layer.diff_id,
            "reproducible": wanted.making is Making.ANYWHERE,
        }
        try:
            return msgspec.convert(store.jobs.call(f"builder.layer.jobs:{job}", arguments), _Packed)
        except LapstrakeError as error:
            if not means_damage(error):
                raise
            refused.append(error.message)
    # What cannot be used is not to be found by the next build, which then makes it again.
    store.snapshots.forget(layer)
    raise LayerLost(layer.diff_id, notes=tuple(refused))


def ways(layer: Layer, store: Store) -> list[tuple[str, dict[str, object]]]:
    """Return the jobs that can make a blob of a layer, the cheapest first."""
    forms = sorted(_usable(layer, store), key=lambda form: form.compression != "none")
    ways: list[tuple[str, dict[str, object]]] = [
        ("compress_layer", {"blob": store.blobs.path(Digest(form.digest))}) for form in forms
    ]
    entries = store.layers.entries_path(layer.diff_id)
    if not os.path.exists(entries):
        return ways
    directories = [
        f"{store.root}/layers/{name}/fs" for name in store.layers.directory_names(layer.diff_id)
    ]
    if layer.empty:
        directories.append(store.snapshots.empty())
    ways += [
        ("pack_layer", {"entries_path": entries, "root": directory})
        for directory in directories
        if os.path.isdir(directory)
    ]
    return ways


def temporary(store: Store) -> str:
    """Return the host path of a file that may be made, and adopted by the store."""
    return f"{store.snapshots.scratch()}/{unique_name()}.layer"
