"""Manifests made from what the store has."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from builder.engine.catalogue import LocalImage
from builder.errors import StoreError
from builder.export.manifest import Packed, manifest_of
from builder.export.wanted import LayerForm, Wanted
from builder.oci.digest import Digest
from builder.oci.manifest import Manifest
from builder.oci.mediatypes import OCI_LAYER_GZIP, OCI_LAYER_ZSTD, Compression, Family, family_of
from builder.store.root import Store
from tests.support.jobs import JobsHere
from tests.support.sample_image import noise, sample_image, tar
from tests.support.store_images import built, pulled

pytestmark = pytest.mark.needs_root


def put(name: str, data: bytes = b"data"):
    return lambda root: Path(root, name).write_bytes(data)


def made(store: Store, image: LocalImage, compression: Compression = Compression.GZIP) -> Manifest:
    packed = Packed(id=image.id, config=image.config, state=image.state)
    return manifest_of(packed, Wanted(layers=LayerForm(compression=compression)), store)


@pytest.mark.parametrize("family", list(Family))
def test_an_image_that_was_pulled_keeps_its_manifest_byte_for_byte(
    store: Store, jobs: JobsHere, family: Family
) -> None:
    sample = sample_image(family=family)
    image = pulled(store, sample)
    assert made(store, image, Compression.ZSTD).raw == sample.manifest.raw
    assert jobs.called == []


def test_the_layers_of_a_built_image_are_what_their_diff_ids_say(store: Store) -> None:
    image = built(store, put("a"), put("b", noise(3 << 20)))
    manifest = made(store, image)
    assert [layer.media_type for layer in manifest.layers] == [OCI_LAYER_GZIP] * 2
    unpacked = [
        Digest.of(gzip.decompress(Path(store.blobs.path(layer.digest)).read_bytes()))
        for layer in manifest.layers
    ]
    assert tuple(unpacked) == image.config.diff_ids
    assert all(store.blobs.verify(layer.digest) for layer in manifest.layers)
    assert store.blobs.read(manifest.descriptor().digest) == manifest.raw


def test_layers_are_compressed_once(store: Store, jobs: JobsHere) -> None:
    image = built(store, put("a"))
    first = made(store, image)
    jobs.called.clear()
    assert made(store, image).raw == first.raw
    assert jobs.called == []


def test_another_compression_makes_another_manifest_and_the_first_one_again(store: Store) -> None:
    image = built(store, put("a"))
    first = made(store, image)
    other = made(store, image, Compression.ZSTD)
    assert [layer.media_type for layer in other.layers] == [OCI_LAYER_ZSTD]
    assert made(store, image).raw == first.raw


def test_layers_of_the_base_stay_as_they_came_and_families_are_not_mixed(store: Store) -> None:
    sample = sample_image(family=Family.DOCKER)
    image = built(store, put("a"), base=pulled(store, sample))
    manifest = made(store, image, Compression.ZSTD)
    assert manifest.layers[0].digest == sample.manifest.layers[0].digest
    assert [layer.media_type for layer in manifest.layers] == [OCI_LAYER_GZIP, OCI_LAYER_ZSTD]
    assert family_of(manifest.media_type) is Family.OCI


def test_the_same_layer_twice_is_one_blob_listed_twice(store: Store) -> None:
    layer = tar({"hello": b"hello\n"})
    base = pulled(store, sample_image(layer, layer))
    manifest = made(store, built(store, put("a"), base=base))
    assert manifest.layers[0] == manifest.layers[1]
    assert len(manifest.layers) == 3


def test_a_step_that_changed_nothing_is_an_empty_layer(store: Store) -> None:
    image = built(store, put("a"), lambda root: None)
    manifest = made(store, image)
    blob = Path(store.blobs.path(manifest.layers[1].digest))
    assert gzip.decompress(blob.read_bytes()) == bytes(1024)


def test_a_directory_form_that_was_changed_is_not_sent(store: Store) -> None:
    image = built(store, put("a"))
    (name,) = store.layers.directory_names(image.config.diff_ids[0])
    Path(store.root, "layers", name, "fs/a").write_bytes(b"other")
    with pytest.raises(StoreError, match="no usable form") as caught:
        made(store, image)
    assert caught.value.notes


def test_a_lost_blob_is_made_again_from_the_directory(store: Store) -> None:
    image = built(store, put("a"))
    first = made(store, image)
    store.blobs.remove(first.layers[0].digest)
    assert made(store, image).raw == first.raw
    assert store.blobs.verify(first.layers[0].digest)


def test_nothing_is_left_in_the_scratch_directory(store: Store) -> None:
    made(store, built(store, put("a"), put("b")))
    assert [name for name in os.listdir(store.snapshots.scratch()) if "layer" in name] == []
