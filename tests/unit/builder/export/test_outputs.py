"""The results of a build, read back by programs that are not ours."""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from builder.engine.catalogue import LocalImage
from builder.errors import Cancelled, ExportError, StoreError, UsageError
from builder.export.attributes import requested
from builder.export.manifest import Packed
from builder.export.outputs import write as write_output
from builder.oci.manifest import build_manifest
from builder.oci.mediatypes import OCI_FOREIGN_LAYER, OCI_LAYER_GZIP
from builder.oci.reference import Reference
from builder.store.root import Store
from tests.support.sample_image import noise, sample_image, tar
from tests.support.store_images import TIME, built, pulled

needs_root = pytest.mark.needs_root
NAME = Reference.parse("example.com/app:1")


def tree(root: str) -> None:
    path = Path(root)
    (path / "etc").mkdir()
    (path / "etc/shadow").write_text("secret")
    os.chmod(path / "etc/shadow", 0o000)
    (path / "bin").mkdir()
    (path / "bin/su").write_bytes(b"su")
    os.chmod(path / "bin/su", 0o4755)
    os.link(path / "bin/su", path / "bin/other")
    (path / "lib").symlink_to("/usr/lib")
    (path / "gone").write_text("x")
    os.chown(path / "bin", 1234, 5678)
    os.mkfifo(path / "pipe")
    os.mknod(path / "disk", stat.S_IFBLK | 0o600, os.makedev(8, 0))


def second(root: str) -> None:
    os.mknod(Path(root, "gone"), stat.S_IFCHR, 0)  # a whiteout
    Path(root, "new").write_text("new")


@pytest.fixture
def image(store: Store) -> LocalImage:
    return built(store, tree, second)


def write(
    kind: str,
    dest: object,
    image: LocalImage,
    store: Store,
    *attributes: tuple[str, str],
    names: tuple[Reference, ...] = (NAME,),
) -> None:
    write_output(requested(kind, str(dest), attributes), [packed(image)], names, store)


def packed(image: LocalImage) -> Packed:
    return Packed(id=image.id, config=image.config, state=image.state)


def ask(*argv: object) -> str:
    if shutil.which(str(argv[0])) is None:
        pytest.skip(f"{argv[0]} is not installed")
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_root
def test_the_root_file_system_as_a_tar(tmp_path: Path, image: LocalImage, store: Store) -> None:
    write("tar", tmp_path / "out.tar", image, store)
    with tarfile.open(tmp_path / "out.tar") as archive:
        found = {member.name: member for member in archive}
    assert list(found) == [
        "bin", "bin/other", "bin/su", "disk", "etc", "etc/shadow", "lib", "new", "pipe",
    ]  # fmt: skip
    assert (found["bin"].uid, found["bin"].gid) == (1234, 5678)
    assert found["bin/other"].mode == 0o4755
    assert found["bin/su"].islnk()
    assert found["bin/su"].linkname == "bin/other"
    assert found["lib"].linkname == "/usr/lib"
    assert found["etc/shadow"].mode == 0
    assert found["disk"].isblk()
    assert found["bin/other"].mtime == TIME


@needs_root
def test_the_root_file_system_as_a_directory_of_the_caller(
    tmp_path: Path, image: LocalImage, store: Store
) -> None:
    write("local", tmp_path / "out", image, store)
    out = tmp_path / "out"
    assert sorted(os.listdir(out)) == ["bin", "etc", "lib", "new", "pipe"]
    status = os.stat(out / "bin/su")
    assert stat.S_IMODE(status.st_mode) == 0o755
    assert status.st_uid == os.getuid()
    assert status.st_mtime == TIME
    assert os.path.samefile(out / "bin/su", out / "bin/other")
    assert stat.S_IMODE(os.stat(out / "etc/shadow").st_mode) == 0o400
    assert os.readlink(out / "lib") == "/usr/lib"
    assert os.stat(out / "bin").st_uid == os.getuid()


@needs_root
@pytest.mark.parametrize("kind", ["tar", "local"])
def test_one_layer_alone_shows_no_marks_of_overlayfs(
    tmp_path: Path, store: Store, kind: str
) -> None:
    def only(root: str) -> None:
        os.mkdir(Path(root, "d"))
        os.setxattr(Path(root, "d"), "user.overlay.opaque", b"y")
        second(root)

    write(kind, tmp_path / "out", built(store, only), store)
    if kind == "local":
        assert sorted(os.listdir(tmp_path / "out")) == ["d", "new"]
        return
    with tarfile.open(tmp_path / "out") as archive:
        assert archive.getnames() == ["d", "new"]
        assert not any("overlay" in key for member in archive for key in member.pax_headers)


@needs_root
@pytest.mark.parametrize("kind", ["tar", "local", "oci", "docker"])
def test_an_image_without_layers_can_be_written(tmp_path: Path, store: Store, kind: str) -> None:
    write(kind, tmp_path / "out", built(store), store)
    assert (tmp_path / "out").exists()


@needs_root
def test_links_of_the_image_lead_nowhere_else(tmp_path: Path, store: Store) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    bottom = tar({"etc/passwd": b"image"})
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            member = tarfile.TarInfo("etc")
            member.type, member.linkname = tarfile.SYMTYPE, str(victim)
            archive.addfile(member)
        top = buffer.getvalue()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/etc").symlink_to(victim)
    write("local", tmp_path / "out", pulled(store, sample_image(bottom)), store)
    assert os.listdir(victim) == []
    write("local", tmp_path / "second", pulled(store, sample_image(bottom, top)), store)
    assert os.readlink(tmp_path / "second/etc") == str(victim)
    assert os.listdir(victim) == []


@needs_root
def test_an_oci_archive_is_read_by_skopeo(tmp_path: Path, image: LocalImage, store: Store) -> None:
    write("oci", tmp_path / "out.tar", image, store)
    found = json.loads(ask("skopeo", "inspect", f"oci-archive:{tmp_path}/out.tar:1"))
    assert len(found["Layers"]) == 2
    config = json.loads(ask("skopeo", "inspect", "--config", f"oci-archive:{tmp_path}/out.tar"))
    assert config["rootfs"]["diff_ids"] == list(image.config.diff_ids)


@needs_root
def test_an_oci_directory_is_unpacked_by_umoci(
    tmp_path: Path, image: LocalImage, store: Store
) -> None:
    write("oci", tmp_path / "out", image, store, ("tar", "false"))
    ask("umoci", "unpack", "--image", f"{tmp_path}/out:1", tmp_path / "bundle")
    rootfs = tmp_path / "bundle/rootfs"
    assert sorted(os.listdir(rootfs)) == ["bin", "disk", "etc", "lib", "new", "pipe"]
    assert os.stat(rootfs / "bin").st_uid == 1234


@needs_root
def test_an_archive_for_docker_is_read_by_skopeo(
    tmp_path: Path, image: LocalImage, store: Store
) -> None:
    write("docker", tmp_path / "out.tar", image, store)
    found = json.loads(
        ask("skopeo", "inspect", f"docker-archive:{tmp_path}/out.tar:example.com/app:1")
    )
    assert found["Layers"] == list(image.config.diff_ids)
    with tarfile.open(tmp_path / "out.tar") as archive:
        listed = archive.extractfile("manifest.json")
        assert listed is not None
        (entry,) = json.loads(listed.read())
    assert entry["RepoTags"] == ["example.com/app:1"]


@needs_root
@pytest.mark.parametrize("kind", ["oci", "docker", "tar"])
def test_the_same_image_gives_the_same_bytes(
    tmp_path: Path, image: LocalImage, store: Store, kind: str
) -> None:
    write(kind, tmp_path / "first", image, store)
    os.utime(store.root, (1, 1))
    write(kind, tmp_path / "second", image, store)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


@needs_root
def test_an_image_with_two_names_is_found_by_both(
    tmp_path: Path, image: LocalImage, store: Store
) -> None:
    names = (NAME, Reference.parse("example.com/app:2"), Reference.parse("other:2"))
    write("oci", tmp_path / "out", image, store, ("tar", "false"), names=names)
    index = json.loads((tmp_path / "out/index.json").read_bytes())
    found = [
        each["annotations"]["org.opencontainers.image.ref.name"] for each in index["manifests"]
    ]
    assert found == ["1", "example.com/app:2", "other:2"]


@needs_root
def test_a_layout_that_is_there_gets_one_more_image(
    tmp_path: Path, image: LocalImage, store: Store
) -> None:
    other = pulled(store, sample_image())
    attributes = ("tar", "false")
    write("oci", tmp_path / "out", other, store, attributes, names=(Reference.parse("a:old"),))
    before = json.loads((tmp_path / "out/index.json").read_bytes())
    before["manifests"][0]["unknown"] = {"kept": True}
    before["manifests"].append({**before["manifests"][0], "annotations": None})
    (tmp_path / "out/index.json").write_text(json.dumps(before))
    write("oci", tmp_path / "out", image, store, attributes)
    write("oci", tmp_path / "out", image, store, attributes)
    after = json.loads((tmp_path / "out/index.json").read_bytes())
    assert after["manifests"][:2] == before["manifests"]
    assert len(after["manifests"]) == 3
    for tag in ("old", "1"):
        ask("skopeo", "inspect", f"oci:{tmp_path}/out:{tag}")


@needs_root
def test_a_directory_of_something_else_is_not_made_a_layout(
    tmp_path: Path, image: LocalImage, store: Store
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").touch()
    with pytest.raises(ExportError, match="neither empty nor an OCI layout"):
        write("oci", tmp_path / "out", image, store, ("tar", "false"))
    assert os.listdir(tmp_path / "out") == ["mine"]


@needs_root
@pytest.mark.parametrize("kind", ["oci", "docker", "tar", "local"])
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, store: Store, kind: str) -> None:
    image = built(store, lambda root: Path(root, "big").write_bytes(noise(1 << 20)))
    write(kind, tmp_path / "fits", image, store)
    (tmp_path / "there").mkdir()
    with (
        files_of_at_most(1 << 19),
        pytest.raises((ExportError, StoreError), match="no space") as caught,
    ):
        write(kind, tmp_path / "there/out", image, store)
    # A plain layer is made in the store first, which has the same limit here.
    assert caught.value.code == ("store.no-space" if kind == "docker" else "export.no-space")
    assert os.listdir(tmp_path / "there") == []


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@needs_root
@pytest.mark.parametrize("tar", ["true", "false"])
def test_a_damaged_blob_is_not_handed_on(tmp_path: Path, store: Store, tar: str) -> None:
    sample = sample_image()
    image = pulled(store, sample)
    path = Path(store.blobs.path(sample.manifest.layers[0].digest))
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    (tmp_path / "there").mkdir()
    with pytest.raises(StoreError, match="damaged"):
        write("oci", tmp_path / "there/out", image, store, ("tar", tar))
    assert os.listdir(tmp_path / "there") == []


@needs_root
def test_names_may_be_given_with_the_output(
    tmp_path: Path, image: LocalImage, store: Store
) -> None:
    write("oci", tmp_path / "out", image, store, ("tar", "false"), ("name", "x:1,y:2"))
    index = json.loads((tmp_path / "out/index.json").read_bytes())
    found = [each["annotations"]["io.containerd.image.name"] for each in index["manifests"]]
    assert found == ["docker.io/library/x:1", "docker.io/library/y:2"]


@needs_root
def test_standard_output_takes_an_archive(
    capfdbinary: pytest.CaptureFixture[bytes], image: LocalImage, store: Store
) -> None:
    write("tar", "-", image, store)
    with tarfile.open(fileobj=io.BytesIO(capfdbinary.readouterr().out)) as archive:
        assert "bin/su" in archive.getnames()


@needs_root
@pytest.mark.parametrize("tar", ["true", "false"])
def test_an_interrupted_export_leaves_nothing(
    tmp_path: Path, image: LocalImage, store: Store, tar: str
) -> None:
    (tmp_path / "there").mkdir()
    dest = str(tmp_path / "there/out")
    what = requested("oci", dest, (("tar", tar),))
    with pytest.raises(Cancelled):
        write_output(what, [packed(image)], (), store, cancelled=lambda: True)
    assert os.listdir(tmp_path / "there") == []


@needs_root
def test_layers_that_live_elsewhere_are_passed_on_like_any_other_or_not_at_all(
    tmp_path: Path, store: Store
) -> None:
    sample = sample_image()
    foreign = msgspec.structs.replace(
        sample.manifest.layers[0], media_type=OCI_FOREIGN_LAYER + "+gzip"
    )
    manifest = build_manifest(sample.manifest.config, [foreign])
    image = pulled(store, msgspec.structs.replace(sample, manifest=manifest))
    on_top = built(store, tree, base=image)
    write("oci", tmp_path / "out", on_top, store, ("tar", "false"))
    index = json.loads((tmp_path / "out/index.json").read_bytes())
    digest = index["manifests"][0]["digest"].replace(":", "/")
    layers = json.loads((tmp_path / "out/blobs" / digest).read_bytes())["layers"]
    assert layers[0]["mediaType"] == OCI_LAYER_GZIP
    assert layers[0]["digest"] == foreign.digest
    with pytest.raises(UsageError, match="prefer-nondist-layers"):
        write("oci", tmp_path / "x", on_top, store, ("prefer-nondist-layers", "true"))
    write("oci", tmp_path / "y", built(store, tree), store, ("prefer-nondist-layers", "true"))
