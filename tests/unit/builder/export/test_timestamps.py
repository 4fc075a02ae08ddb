"""Images without late times: what changes, and what is left alone."""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path

import pytest

from builder.engine.catalogue import LocalImage
from builder.export.manifest import Packed, manifest_of
from builder.export.timestamps import rewritten, with_times
from builder.export.wanted import LayerForm, Wanted
from builder.oci.config import History, ImageConfig
from builder.oci.digest import Digest
from builder.oci.edit import Inherited
from builder.oci.mediatypes import Compression
from builder.store.root import Store
from tests.support.jobs import JobsHere
from tests.support.sample_image import sample_image
from tests.support.store_images import TIME, built, pulled

pytestmark = pytest.mark.needs_root

EPOCH = TIME - 1000
BEFORE = "2001-01-01T00:00:00Z"
AFTER = "2030-01-01T00:00:00.5Z"


def put(name: str, data: bytes = b"data"):
    return lambda root: Path(root, name).write_bytes(data)


def without_late_times(
    store: Store, image: LocalImage, layers: int = 0, epoch: int = EPOCH
) -> Packed:
    named = Packed(id=image.id, config=image.config, state=image.state)
    inherited = Inherited(layers=layers, lines=layers)
    return rewritten(named, inherited, store, epoch=epoch, compression=Compression.GZIP)


def test_files_of_the_own_layers_get_the_time_and_the_base_keeps_its(store: Store) -> None:
    base = pulled(store, sample_image())
    image = built(store, put("a"), put("b"), base=base)
    count = len(base.config.diff_ids)
    found = without_late_times(store, image, count)
    assert found.config.diff_ids[:count] == base.config.diff_ids
    assert not set(found.config.diff_ids[count:]) & set(image.config.diff_ids)
    manifest = manifest_of(found, Wanted(), store)
    for layer in manifest.layers[count:]:
        with tarfile.open(store.blobs.path(layer.digest)) as archive:
            assert {member.mtime for member in archive} == {EPOCH}
    assert manifest.layers[0].digest == sample_image().manifest.layers[0].digest


def test_gzip_is_what_zlib_makes_of_it_on_every_processor(store: Store) -> None:
    found = without_late_times(store, built(store, put("a", b"text " * 100_000)))
    manifest = manifest_of(found, Wanted(), store)
    blob = Path(store.blobs.path(manifest.layers[0].digest)).read_bytes()
    deflate = zlib.compressobj(6, zlib.DEFLATED, 31)
    assert blob == deflate.compress(zlib.decompress(blob, 31)) + deflate.flush()


def test_to_ask_again_makes_nothing(store: Store, jobs: JobsHere) -> None:
    image = built(store, put("a"))
    first = without_late_times(store, image)
    jobs.called.clear()
    assert without_late_times(store, image) == first
    assert jobs.called == []


def test_what_was_removed_meanwhile_is_made_again(store: Store) -> None:
    image = built(store, put("a"))
    first = without_late_times(store, image)
    (layer,) = first.state.layers
    for form in store.layers.blobs(layer.diff_id):
        store.blobs.remove(Digest(form.digest))
    again = without_late_times(store, image)
    assert again.id == first.id
    manifest = manifest_of(again, Wanted(layers=LayerForm(compression=Compression.ZSTD)), store)
    assert store.blobs.verify(manifest.layers[0].digest)


def test_a_layer_without_late_times_is_itself(store: Store) -> None:
    image = built(store, put("a"))
    assert without_late_times(store, image, epoch=TIME).state == image.state


def test_no_step_of_a_later_build_gets_a_layer_with_changed_times(store: Store) -> None:
    image = built(store, put("a"))
    (layer,) = without_late_times(store, image).state.layers
    assert [each.diff_id for each in store.layers.by_content(layer.content_id)] == [layer.diff_id]
    assert layer.content_id != image.state.layers[0].content_id


def test_lines_of_the_base_keep_their_times() -> None:
    lines = (History(created=AFTER), History(created=BEFORE), History(), History(created=AFTER))
    config = ImageConfig(architecture="amd64", os="linux", created=AFTER, history=lines)
    found = with_times(config, Inherited(lines=1), 1_000_000_000)
    then = "2001-09-09T01:46:40Z"
    assert [line.created for line in found.history] == [AFTER, then, then, then]
    assert found.created == then
