"""Layers as blobs: the one that is there, or one made on demand, several at once.

A compressed blob that was pulled is sent on as it came, whatever compression is wanted. Everything else is
made from what the store has, checked against the diff id while it is packed, and remembered.
"""

from __future__ import annotations

import os

import msgspec

from builder.errors import LapstrakeError, LayerLost
from builder.oci.digest import Digest
from builder.oci.mediatypes import Compression, Family
from builder.store.forms import means_damage, unique_name
from builder.store.layers import BlobForm, Layer, State
from builder.store.root import Store


class _Packed(msgspec.Struct, frozen=True):
    digest: str
    compressed_size: int


def layer_blobs(state: State, store: Store, compression: Compression) -> tuple[BlobForm, ...]:
    """Return a blob for each layer, bottom first; all of them are in the store afterwards.

    Raises: StoreError: `store.corrupt`: no form of a layer is left; `store.no-space`.
    """
    layers = {layer.diff_id: layer for layer in state.layers}
    found: dict[str, BlobForm] = {}
    missing: list[Layer] = []
    for layer in layers.values():
        form = present(layer, store, compression)
        if form is None:
            missing.append(layer)
        else:
            found[layer.diff_id] = form
    for layer, form in zip(missing, _made(missing, store, compression), strict=True):
        found[layer.diff_id] = form
    return tuple(found[layer.diff_id] for layer in state.layers)


def present(layer: Layer, store: Store, compression: Compression) -> BlobForm | None:
    """Return the blob that serves where `compression` is wanted, None when there is none yet."""
    forms = _usable(layer, store)
    kept = next((form for form in forms if form.pulled and form.compression != "none"), None)
    if kept is not None:
        return kept
    return next((form for form in forms if form.compression == compression.value), None)


def plain_tar(layer: Layer, store: Store) -> tuple[str, bool]:
    """Return the host path of a layer's plain tar, and whether the caller is to remove it after use.

    What has to be made for this is not kept: it would take as much room as the layer itself.

    Raises: StoreError: as `layer_blobs`.
    """
    digest = Digest(layer.diff_id)
    if store.blobs.contains(digest):
        return store.blobs.path(digest), False
    path = _temporary(store)
    _pack(layer, store, Compression.NONE, path)
    return path, True


def _usable(layer: Layer, store: Store) -> tuple[BlobForm, ...]:
    forms = store.layers.blobs(layer.diff_id)
    return tuple(form for form in forms if store.blobs.size(Digest(form.digest)) == form.size)


def _made(layers: list[Layer], store: Store, compression: Compression) -> list[BlobForm]:
    if len(layers) <= 1:
        return [_make(layer, store, compression) for layer in layers]
    from concurrent.futures import ThreadPoolExecutor

    # The work is done by processes behind the launcher; the threads wait for them.
    with ThreadPoolExecutor(min(len(layers), os.cpu_count() or 1)) as pool:
        futures = [pool.submit(_make, layer, store, compression) for layer in layers]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _make(layer: Layer, store: Store, compression: Compression) -> BlobForm:
    path = _temporary(store)
    packed = _pack(layer, store, compression, path)
    # Nothing checks a compressed blob again before it is sent, so it has to outlive a crash whole.
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    store.blobs.adopt(path, Digest(packed.digest))
    form = BlobForm(
        digest=packed.digest,
        size=packed.compressed_size,
        media_type=Family.OCI.layer(compression),
        compression=compression.value,
        pulled=False,
    )
    store.layers.add_blob(layer.diff_id, form)
    return form


def _pack(layer: Layer, store: Store, compression: Compression, path: str) -> _Packed:
    """Write a blob of a layer to `path` from the first form that agrees with the diff id."""
    refused: list[str] = []
    for job, arguments in _ways(layer, store):
        arguments |= {"path": path, "compression": compression.value, "expected": layer.diff_id}
        try:
            return msgspec.convert(store.jobs.call(f"builder.layer.jobs:{job}", arguments), _Packed)
        except LapstrakeError as error:
            if not means_damage(error):
                raise
            refused.append(error.message)
    # What cannot be used is not to be found by the next build, which then makes it again.
    store.snapshots.forget(layer)
    raise LayerLost(layer.diff_id, notes=tuple(refused))


def _ways(layer: Layer, store: Store) -> list[tuple[str, dict[str, object]]]:
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


def _temporary(store: Store) -> str:
    return f"{store.snapshots.scratch()}/{unique_name()}.layer"
