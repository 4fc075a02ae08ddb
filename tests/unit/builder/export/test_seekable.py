"""Layers of which each file can be read alone."""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path

import msgspec
import pytest

from builder.engine.catalogue import Catalogue, LocalImage
from builder.errors import LayerError, UsageError
from builder.export.attributes import requested
from builder.export.outputs import write
from builder.export.package import Packed, package
from builder.export.wanted import LayerForm, Wanted
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.document import parse_config
from builder.oci.manifest import Manifest
from builder.oci.mediatypes import OCI_LAYER_GZIP, Family
from builder.oci.reference import Reference
from builder.oci.validate import validate
from builder.store.root import Store
from tests.support.jobs import JobsHere
from tests.support.sample_image import noise, sample_image, tar
from tests.support.stargz import Stargz
from tests.support.store_images import TIME, built, pulled

pytestmark = pytest.mark.needs_root

TABLE = "containerd.io/snapshot/stargz/toc.digest"
SEEKABLE = Wanted(layers=LayerForm(seekable=True))
BIG = noise((9 << 20) + 5)


def tree(root: str) -> None:
    path = Path(root)
    (path / "etc").mkdir()
    (path / "etc/motd").write_text("hello\n")
    os.chmod(path / "etc/motd", 0o4640)
    os.chown(path / "etc/motd", 12, 34)
    os.setxattr(path / "etc/motd", "user.note", b"\0\xff")
    (path / "empty").touch()
    (path / "big").write_bytes(BIG)
    os.link(path / "big", path / "other")
    (path / "link").symlink_to("etc/motd")
    os.mkfifo(path / "pipe")
    os.mknod(path / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    (path / ("n" * 120)).write_text("a long name")


def packed(image: LocalImage) -> Packed:
    return Packed(id=image.id, config=image.config, state=image.state)


def made(store: Store, image: LocalImage, wanted: Wanted = SEEKABLE) -> Manifest:
    (manifest,) = package([packed(image)], wanted, store).manifests
    return manifest


def opened(store: Store, layer: Descriptor) -> Stargz:
    blob = Path(store.blobs.path(layer.digest)).read_bytes()
    return Stargz(blob, dict(layer.annotations)[TABLE])


def test_each_file_can_be_read_alone_and_verified(store: Store) -> None:
    (layer,) = made(store, built(store, tree)).layers
    assert layer.media_type == OCI_LAYER_GZIP
    found = opened(store, layer)
    assert found.read("etc/motd") == b"hello\n"
    assert found.read("big") == BIG
    assert found.read("empty") == b""
    assert found.read("n" * 120) == b"a long name"
    assert found.read(".no.prefetch.landmark") == b"\x0f"


def test_the_table_says_what_the_tar_says(store: Store) -> None:
    (layer,) = made(store, built(store, tree)).layers
    entries = opened(store, layer).entries
    with tarfile.open(store.blobs.path(layer.digest)) as archive:
        members = {each.name: each for each in archive.getmembers()}
    names = {name.rstrip("/"): entry for name, entry in entries.items()}
    assert set(names) == set(members)
    types = {"dir": tarfile.DIRTYPE, "reg": tarfile.REGTYPE, "hardlink": tarfile.LNKTYPE,
             "symlink": tarfile.SYMTYPE, "char": tarfile.CHRTYPE, "fifo": tarfile.FIFOTYPE}  # fmt: skip
    for name, entry in names.items():
        member = members[name]
        assert types[entry["type"]] == member.type
        assert (entry["mode"], entry["uid"], entry["gid"]) == (
            member.mode,
            member.uid,
            member.gid,
        )
        assert entry.get("linkName", "") == member.linkname
        assert (entry.get("devMajor", 0), entry.get("devMinor", 0)) == (
            member.devmajor,
            member.devminor,
        )
    assert names["etc/motd"]["xattrs"] == {"user.note": "AP8="}
    assert names["etc/motd"]["modtime"] == "2023-11-14T22:13:20Z"
    assert TIME == 1_700_000_000
    assert "modtime" not in names[".no.prefetch.landmark"]


def test_the_image_is_valid_and_says_its_own_diff_ids(store: Store) -> None:
    image = built(store, tree, lambda root: Path(root, "b").write_text("b"))
    manifest = made(store, image)
    config = parse_config(store.blobs.read(manifest.config.digest))
    validate(manifest, config, store.blobs.open)
    assert set(config.diff_ids).isdisjoint(image.config.diff_ids)
    assert config.history == image.config.history
    for layer, diff_id in zip(manifest.layers, config.diff_ids, strict=True):
        stream = gzip.decompress(Path(store.blobs.path(layer.digest)).read_bytes())
        assert str(Digest.of(stream)) == diff_id
        size = dict(layer.annotations)["io.containers.estargz.uncompressed-size"]
        assert int(size) == len(stream)


def test_plain_readers_see_the_layer_and_not_the_table(store: Store, tmp_path: Path) -> None:
    (layer,) = made(store, built(store, tree)).layers
    done = subprocess.run(
        ["tar", "-xzf", store.blobs.path(layer.digest), "-C", tmp_path],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "big").read_bytes() == BIG
    assert not (tmp_path / "stargz.index.json").exists()


def test_it_is_made_once_and_comes_out_the_same(store: Store, jobs: JobsHere) -> None:
    image = built(store, tree)
    first = made(store, image)
    jobs.called.clear()
    assert made(store, image) == first
    assert jobs.called == []
    store.blobs.remove(first.layers[0].digest)
    assert made(store, image) == first


def test_a_level_makes_other_blobs(store: Store) -> None:
    image = built(store, tree)
    sizes = [
        made(store, image, Wanted(layers=LayerForm(seekable=True, level=level))).layers[0].size
        for level in (0, None, 9)
    ]
    assert sizes[0] > sizes[1] >= sizes[2]


def test_other_forms_of_the_image_stay_as_they_are(store: Store) -> None:
    image = built(store, tree)
    before = made(store, image, Wanted())
    made(store, image)
    assert made(store, image, Wanted()) == before
    assert before.layers[0].annotations == ()


def test_layers_that_were_pulled_stay_unless_it_is_forced(store: Store) -> None:
    sample = sample_image(tar({"hello": b"hello\n"}))
    base = pulled(store, sample)
    image = built(store, tree, base=base)
    assert made(store, image).layers[0].digest == sample.manifest.layers[0].digest
    forced = made(store, image, Wanted(layers=LayerForm(seekable=True, force=True)))
    assert opened(store, forced.layers[0]).read("hello") == b"hello\n"
    assert forced.layers[1] == made(store, image).layers[1]


def test_a_base_that_came_as_estargz_keeps_its_table(store: Store, jobs: JobsHere) -> None:
    catalogue = Catalogue(store)
    first = made(store, built(store, tree))
    config = parse_config(store.blobs.read(first.config.digest))
    base = catalogue.open(catalogue.register_pulled(first, config))
    image = built(store, lambda root: Path(root, "b").write_text("b"), base=base)
    jobs.called.clear()
    ordinary = made(store, image, Wanted())
    assert ordinary.layers[0] == first.layers[0]
    assert not any("estargz" in name for name in jobs.called)
    forced = made(store, image, Wanted(layers=LayerForm(seekable=True, force=True)))
    assert forced.layers[0] == first.layers[0]


def test_a_layer_that_was_made_seekable_can_be_run_and_built_on(store: Store) -> None:
    catalogue = Catalogue(store)
    manifest = made(store, built(store, tree))
    config = parse_config(store.blobs.read(manifest.config.digest))
    base = catalogue.open(catalogue.register_pulled(manifest, config))
    with store.snapshots.view(base.state) as lowers:
        assert Path(lowers[0], "etc/motd").read_text() == "hello\n"


def test_a_step_that_changed_nothing(store: Store) -> None:
    image = built(store, lambda root: None)
    (layer,) = made(store, image).layers
    assert list(opened(store, layer).entries) == [".no.prefetch.landmark"]


@pytest.mark.parametrize("name", ["stargz.index.json", ".no.prefetch.landmark"])
def test_names_that_it_needs_itself_are_refused(store: Store, name: str) -> None:
    def step(root: str) -> None:
        Path(root, ".a").touch()
        Path(root, name).touch()

    with pytest.raises(LayerError, match=name):
        made(store, built(store, step))


def test_dockers_media_types_cannot_describe_it(store: Store) -> None:
    wanted = msgspec.structs.replace(SEEKABLE, family=Family.DOCKER)
    with pytest.raises(UsageError, match="eStargz"):
        made(store, built(store, tree), wanted)
    with pytest.raises(UsageError, match="does not go with"):
        requested("oci", "x", (("compression", "estargz"), ("oci-mediatypes", "false")))


def test_umoci_unpacks_what_skopeo_copies(store: Store, tmp_path: Path) -> None:
    if shutil.which("skopeo") is None or shutil.which("umoci") is None:
        pytest.skip("skopeo or umoci is not installed")
    what = requested("oci", str(tmp_path / "out.tar"), (("compression", "estargz"),))
    image = packed(built(store, tree))
    write(what, [image], (Reference.parse("app:1"),), store)  # type: ignore[arg-type]
    for argv in (
        ["skopeo", "copy", f"oci-archive:{tmp_path}/out.tar:1", f"oci:{tmp_path}/copy:1"],
        ["umoci", "unpack", "--image", f"{tmp_path}/copy:1", f"{tmp_path}/bundle"],
    ):
        done = subprocess.run(argv, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "bundle/rootfs/big").read_bytes() == BIG
    assert os.getxattr(tmp_path / "bundle/rootfs/etc/motd", "user.note") == b"\0\xff"
