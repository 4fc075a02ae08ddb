"""`save`, `load` and `import`: archives of many makers, good and bad."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import zstandard

from builder.engine.archives import import_tree, load, save
from builder.engine.catalogue import Catalogue, OfPlatform
from builder.errors import (
    Cancelled,
    DockerfileError,
    ImageError,
    LapstrakeError,
    LayerError,
    StoreError,
    UsageError,
)
from builder.export.manifest import Packed, manifest_of
from builder.export.outputs import write
from builder.export.requested import Archive
from builder.export.wanted import Wanted
from builder.oci.digest import Digest
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.store.root import Store
from tests.support.jobs import JobsHere
from tests.support.sample_closures import KINDS, write_layout
from tests.support.sample_image import SampleImage, noise, sample_image, tar
from tests.support.store_images import built, pulled

BOTTOM = tar({"bin/sh": b"#!", "etc/passwd": b"root:x:0:0"})
TOP = tar({"app": b"app", "etc/.wh.passwd": b""})

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts nothing, but gives files away")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "store"), JobsHere()) as opened:
        yield opened


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "other"), JobsHere()) as opened:
        yield opened


def imported(store: Store, data: bytes, *changes: str, name: str | None = "base") -> str:
    return import_tree(store, io.BytesIO(data), name, changes, "")


def archive(
    files: Mapping[str, bytes | dict | list], links: Mapping[str, str] | None = None
) -> io.BytesIO:
    """Return a tar of files, documents as JSON, and symlinks."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as writer:
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            writer.addfile(member)
        for name, content in files.items():
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            writer.addfile(member, io.BytesIO(data))
    return io.BytesIO(out.getvalue())


def tar_of(member: tarfile.TarInfo) -> bytes:
    """Return a tar of a file and one member more, which has no data."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as writer:
        writer.addfile(tarfile.TarInfo("bin/a"))
        writer.addfile(member)
    return out.getvalue()


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def config_of(*layers: bytes) -> bytes:
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/app"]},
        "rootfs": {"type": "layers", "diff_ids": [sha256(layer) for layer in layers]},
    }
    return json.dumps(document).encode()


def saved_by_old_docker(*layers: bytes, tags: list[str] | None = None) -> dict[str, object]:
    """Return the files of an archive as Docker from 1.10 to 24 writes it."""
    config = config_of(*layers)
    name = sha256(config).removeprefix("sha256:")
    files: dict[str, object] = {}
    for number, layer in enumerate(layers):
        files[f"{number:064x}/VERSION"] = b"1.0"
        files[f"{number:064x}/json"] = {"id": f"{number:064x}"}
        files[f"{number:064x}/layer.tar"] = layer
    files[f"{name}.json"] = config
    files["manifest.json"] = [
        {
            "Config": f"{name}.json",
            "RepoTags": tags,
            "Layers": [f"{number:064x}/layer.tar" for number in range(len(layers))],
        }
    ]
    files["repositories"] = {}
    return files


def blob(data: bytes) -> tuple[str, bytes]:
    return f"blobs/sha256/{hashlib.sha256(data).hexdigest()}", data


def layout_of(sample: SampleImage, *descriptors: dict[str, object]) -> dict[str, object]:
    """Return the files of an OCI layout; without descriptors its index lists the image, unnamed."""
    files: dict[str, object] = dict(blob(data) for data in sample.blobs.values())
    files.update([blob(sample.manifest.raw)])
    index = descriptors or (descriptor_of(sample),)
    files["index.json"] = {"schemaVersion": 2, "manifests": list(index)}
    files["oci-layout"] = {"imageLayoutVersion": "1.0.0"}
    return files


def descriptor_of(sample: SampleImage, **more: object) -> dict[str, object]:
    return {**sample.manifest.descriptor().document(), **more}


def contents(store: Store, image_id: str) -> set[str]:
    """Return the paths of the regular files in an image."""
    image = Catalogue(store).open(image_id)
    with io.BytesIO() as out:
        path = f"{store.root}/tmp/out.tar"
        packed = Packed(id=image.id, config=image.config, state=image.state)
        write(Archive(dest=path), [packed], (), store)
        out.write(Path(path).read_bytes())
        out.seek(0)
        with tarfile.open(fileobj=out) as reader:
            return {member.name for member in reader if member.isfile()}


# --- import


@pytest.mark.parametrize(
    "compress",
    [
        bytes,
        gzip.compress,
        bz2.compress,
        lzma.compress,
        zstandard.ZstdCompressor().compress,
        lambda data: gzip.compress(data[:700]) + gzip.compress(data[700:]) + bytes(512),
        lambda data: bz2.compress(data[:700]) + bz2.compress(data[700:]),
    ],
    ids=["plain", "gzip", "bzip2", "xz", "zstd", "gzip members", "bzip2 members"],
)
def test_an_imported_tar_is_kept_byte_for_byte(
    store: Store, compress: Callable[[bytes], bytes]
) -> None:
    image = Catalogue(store).open(imported(store, compress(BOTTOM)))
    assert image.config.diff_ids == (sha256(BOTTOM),)
    (form,) = store.layers.blobs(sha256(BOTTOM))
    assert Path(store.blobs.path(Digest(form.digest))).read_bytes() == BOTTOM
    assert image.config.history[0].comment == "Imported from -"
    assert Catalogue(store).find("base:latest")[0] == image.id


@needs_root
def test_an_imported_image_can_be_unpacked_and_is_compressed_when_sent(store: Store) -> None:
    image = Catalogue(store).open(imported(store, BOTTOM))
    assert contents(store, image.id) == {"bin/sh", "etc/passwd"}
    packed = Packed(id=image.id, config=image.config, state=image.state)
    manifest = manifest_of(packed, Wanted(), store)
    data = Path(store.blobs.path(manifest.layers[0].digest)).read_bytes()
    assert gzip.decompress(data) == BOTTOM


def test_changes_make_the_configuration(store: Store) -> None:
    image_id = imported(
        store,
        BOTTOM,
        'CMD ["sh"]',
        "ENV A=1 B=2",
        "ENV C=$A",
        "EXPOSE 80",
        "LABEL l=m",
        "ENTRYPOINT run me",
        "USER app",
        "VOLUME /data",
        "WORKDIR /srv",
        "STOPSIGNAL SIGINT",
        "ONBUILD RUN make",
        "HEALTHCHECK --interval=5s CMD true",
    )
    config = Catalogue(store).open(image_id).config.config
    assert config.cmd == ("sh",)
    assert config.env[1:] == ("A=1", "B=2", "C=1")
    assert config.exposed_ports == ("80/tcp",)
    assert config.labels == (("l", "m"),)
    assert config.entrypoint == ("/bin/sh", "-c", "run me")
    assert (config.user, config.working_dir, config.stop_signal) == ("app", "/srv", "SIGINT")
    assert config.volumes == ("/data",)
    assert config.on_build == ("RUN make",)
    assert config.healthcheck is not None
    assert config.healthcheck.test == ("CMD-SHELL", "true")


@pytest.mark.parametrize("change", ["RUN true", "FROM scratch", "COPY a b", "ARG A"])
def test_a_change_of_more_than_the_configuration_is_refused(store: Store, change: str) -> None:
    with pytest.raises(UsageError, match="cannot be a change"):
        imported(store, BOTTOM, change)
    assert store.images.all() == ()


def test_a_change_that_is_no_instruction_is_refused_with_its_words(store: Store) -> None:
    with pytest.raises(DockerfileError, match="unknown instruction `CDM`"):
        imported(store, BOTTOM, "CDM sh")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"no tar at all" * 100, "not a tar archive"),
        (BOTTOM[:300], "not a tar archive"),
        (BOTTOM[:1300], "cut off"),
        (gzip.compress(BOTTOM)[:-9], "cut off|not a tar archive"),
        (lzma.compress(BOTTOM)[:-9], "cut off|not a tar archive"),
        (bz2.compress(noise(1000)), "not a tar archive"),
        (b"BZh9 but no more", "not a tar archive"),
    ],
)
def test_what_is_no_tar_makes_no_image(store: Store, data: bytes, message: str) -> None:
    with pytest.raises((ImageError, LayerError), match=message):
        imported(store, data)
    assert store.images.all() == ()
    assert store.blobs.digests() == []


def test_a_tar_that_leads_out_of_the_image_is_refused(store: Store) -> None:
    with pytest.raises(LapstrakeError) as caught:
        imported(store, tar({"../etc/passwd": b"x"}))
    assert "leads out of it" in f"{caught.value.message} {caught.value.notes}"
    assert store.blobs.digests() == []


@pytest.mark.parametrize(
    ("name", "kind"), [("bin/b", tarfile.LNKTYPE), ("./", tarfile.SYMTYPE), (".wh..", b"0")]
)
def test_a_tar_that_can_never_be_unpacked_is_refused(store: Store, name: str, kind: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "missing"
    with pytest.raises(LayerError) as caught:
        imported(store, tar_of(member))
    assert caught.value.code == "layer.invalid"
    assert store.images.all() == ()
    assert store.blobs.digests() == []


def test_a_layer_that_came_unusable_is_named_for_what_is_wrong_with_it(store: Store) -> None:
    member = tarfile.TarInfo("bin/b")
    member.type, member.linkname = tarfile.LNKTYPE, "missing"
    state = pulled(store, sample_image(tar_of(member))).state
    for _ in range(2):
        with pytest.raises(LayerError, match="hard link to `missing`") as caught:
            store.snapshots.directories(state)
        assert caught.value.code == "layer.invalid"


def test_a_bad_name_is_refused_before_anything_is_read(store: Store) -> None:
    stream = io.BytesIO(BOTTOM)
    with pytest.raises(LapstrakeError):
        import_tree(store, stream, "UPPER", (), "")
    assert stream.tell() == 0


def test_importing_holds_little_in_memory(store: Store) -> None:
    import tracemalloc

    data = tar({"big": bytes(64 << 20)})
    tracemalloc.start()
    imported(store, data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


# --- save and load


@needs_root
def test_what_is_saved_is_loaded_with_its_names(store: Store, other: Store) -> None:
    image = built(
        store,
        lambda root: Path(root, "new").write_bytes(b"new"),
        base=pulled(store, sample_image(BOTTOM, TOP)),
    )
    catalogue = Catalogue(store)
    catalogue.name(Reference.parse("app:1"), image.id)
    catalogue.name(Reference.parse("app:2"), image.id)
    base = imported(store, BOTTOM)
    out = io.BytesIO()
    save(store, ("app:1", "base", "app:2", "app:1", image.id), out)
    out.seek(0)
    assert load(other, out) == ("app:1", "app:2", "base:latest")
    assert {each.id for each in other.images.all()} == {image.id, base}
    assert contents(other, image.id) == {"bin/sh", "app", "new"}
    again = io.BytesIO()
    save(other, ("app:1", "base", "app:2"), again)
    assert again.getvalue() == out.getvalue()


def documents(data: bytes) -> tuple[dict[str, object], list[dict[str, object]], set[str]]:
    """Return `index.json`, `manifest.json` and the names of all files in an archive."""
    with tarfile.open(fileobj=io.BytesIO(data)) as found:
        names = [each.name for each in found if each.isfile()]
        assert len(names) == len(set(names))
        read = [
            json.loads(found.extractfile(name).read()) for name in ("index.json", "manifest.json")
        ]  # type: ignore[union-attr]
    return read[0], read[1], set(names)


@pytest.mark.parametrize("kind", ["two platforms", "manifest list", "attestations", "nested index"])
def test_what_came_as_an_index_is_saved_as_it_came(
    store: Store, other: Store, tmp_path: Path, kind: str
) -> None:
    sample = KINDS[kind]()
    with tarfile.open(tmp_path / "in.tar", "w") as archived:
        archived.add(write_layout(tmp_path / "layout", sample, "docker.io/library/a:1"), ".")
    with (tmp_path / "in.tar").open("rb") as stream:
        assert load(store, stream) == ("a:1",)
    out = io.BytesIO()
    save(store, ("a:1",), out)
    index, docker, names = documents(out.getvalue())
    [entry] = index["manifests"]  # type: ignore[misc]
    assert entry["digest"] == sample.closure.top.descriptor().digest  # type: ignore[index]
    assert {f"blobs/{digest.replace(':', '/')}" for digest in sample.everything} < names
    assert [each["RepoTags"] for each in docker] == [["a:1"]]
    out.seek(0)
    assert load(other, out) == ("a:1",)
    again = io.BytesIO()
    save(other, ("a:1",), again)
    assert again.getvalue() == out.getvalue()
    one = io.BytesIO()
    save(other, ("a:1",), one, platform=Platform.parse("linux/amd64"))
    [entry] = documents(one.getvalue())[0]["manifests"]  # type: ignore[misc]
    assert "manifest.v" in entry["mediaType"]  # type: ignore[index]


@needs_root
def test_platforms_that_were_built_here_are_saved_under_an_index(
    store: Store, other: Store
) -> None:
    images = []
    for architecture in ("amd64", "arm64"):
        base = pulled(store, sample_image(BOTTOM, architecture=architecture))
        made = built(store, lambda root: Path(root, "new").write_bytes(b"new"), base=base)
        images.append(OfPlatform(platform=made.platform, image=made.id))
    Catalogue(store).name_platforms(Reference.parse("a:1"), images)
    out = io.BytesIO()
    save(store, ("a:1",), out)
    index, docker, _ = documents(out.getvalue())
    assert [each["mediaType"] for each in index["manifests"]] == [  # type: ignore[attr-defined]
        "application/vnd.oci.image.index.v1+json"
    ]
    assert len(docker) == 1
    out.seek(0)
    assert load(other, out) == ("a:1",)
    name = other.images.name("docker.io/library/a:1")
    assert name is not None
    assert {each.image for each in Catalogue(other).platforms(name)} == {
        each.image for each in images
    }


@needs_root
def test_a_layer_that_older_dockers_cannot_read_is_saved_plain_too(
    store: Store, tmp_path: Path
) -> None:
    sample = KINDS["zstd"]()
    with tarfile.open(tmp_path / "in.tar", "w") as archived:
        archived.add(write_layout(tmp_path / "layout", sample, "docker.io/library/a:1"), ".")
    with (tmp_path / "in.tar").open("rb") as stream:
        load(store, stream)
    out = io.BytesIO()
    save(store, ("a:1",), out)
    index, docker, names = documents(out.getvalue())
    [entry] = index["manifests"]  # type: ignore[misc]
    assert entry["digest"] == sample.closure.top.descriptor().digest  # type: ignore[index]
    [diff_id] = json.loads(sample.blobs[sample.closure.manifests[0].config.digest])["rootfs"]["diff_ids"]  # fmt: skip
    assert docker[0]["Layers"] == [f"blobs/{diff_id.replace(':', '/')}"]
    assert set(docker[0]["Layers"]) < names  # type: ignore[arg-type]


@needs_root
def test_an_image_saved_by_its_id_has_no_name(store: Store, other: Store) -> None:
    image = pulled(store, sample_image(BOTTOM))
    out = io.BytesIO()
    save(store, (image.id,), out)
    out.seek(0)
    assert load(other, out) == (image.id,)
    assert other.images.names() == ()


def test_nothing_is_written_for_a_name_that_is_not_there(store: Store) -> None:
    imported(store, BOTTOM)
    out = io.BytesIO()
    with pytest.raises(ImageError, match="No such image: bse"):
        save(store, ("base", "bse"), out)
    assert out.getvalue() == b""


@needs_root
def test_archives_of_old_dockers_are_loaded(store: Store) -> None:
    files = saved_by_old_docker(BOTTOM, TOP, tags=["app:1", "example.com/app:2"])
    assert load(store, archive(files)) == ("app:1", "example.com/app:2")
    image_id, _ = Catalogue(store).find("app:1")
    assert contents(store, image_id) == {"bin/sh", "app"}
    assert sum(1 for _ in store.blobs.digests()) == 3


@needs_root
def test_layers_that_are_links_to_other_layers_are_found(store: Store) -> None:
    files = saved_by_old_docker(BOTTOM, TOP, BOTTOM)
    del files[f"{2:064x}/layer.tar"]
    links = {f"{2:064x}/layer.tar": f"../{0:064x}/layer.tar"}
    (image_id,) = load(store, archive(files, links))
    assert contents(store, image_id) == {"bin/sh", "app", "etc/passwd"}


def test_links_in_a_circle_end(store: Store) -> None:
    files = saved_by_old_docker(BOTTOM)
    del files[f"{0:064x}/layer.tar"]
    with pytest.raises(ImageError, match="incomplete"):
        load(store, archive(files, {f"{0:064x}/layer.tar": "layer.tar"}))


@needs_root
@pytest.mark.parametrize("compress", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_archives_with_compressed_layers_are_loaded(
    store: Store, compress: Callable[[bytes], bytes]
) -> None:
    config = config_of(BOTTOM)
    files = {
        "layer-1.tar.gz": compress(BOTTOM),
        sha256(config): config,
        "manifest.json": [
            {"Config": sha256(config), "RepoTags": ["a:b"], "Layers": ["layer-1.tar.gz"]}
        ],
    }
    assert load(store, archive(files)) == ("a:b",)
    assert contents(store, sha256(config)) == {"bin/sh", "etc/passwd"}


@needs_root
@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_archives_that_skopeo_wrote_are_loaded(
    tmp_path: Path, store: Store, other: Store, form: str
) -> None:
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed")
    image = pulled(store, sample_image(BOTTOM, TOP))
    with (tmp_path / "ours.tar").open("wb") as out:
        save(store, (image.id,), out)
    target = f"{form}:{tmp_path}/theirs.tar:example.com/app:1"
    subprocess.run(
        ["skopeo", "copy", "-q", f"docker-archive:{tmp_path}/ours.tar", target], check=True
    )
    with (tmp_path / "theirs.tar").open("rb") as stream:
        assert load(other, stream) == ("example.com/app:1",)
    image_id, _ = Catalogue(other).find("example.com/app:1")
    assert contents(other, image_id) == {"bin/sh", "app"}


def test_a_layout_keeps_its_manifest(store: Store) -> None:
    sample = sample_image(BOTTOM, TOP)
    named = descriptor_of(sample, annotations={"io.containerd.image.name": "docker.io/library/a:1"})
    assert load(store, archive(layout_of(sample, named))) == ("a:1",)
    image = Catalogue(store).open(str(sample.manifest.config.digest))
    packed = Packed(id=image.id, config=image.config, state=image.state)
    manifest = manifest_of(packed, Wanted(), store)
    assert manifest.raw == sample.manifest.raw


def test_a_tag_alone_is_no_name(store: Store) -> None:
    sample = sample_image(BOTTOM)
    tagged = descriptor_of(sample, annotations={"org.opencontainers.image.ref.name": "latest"})
    assert load(store, archive(layout_of(sample, tagged))) == (str(sample.manifest.config.digest),)


def test_names_that_only_docker_wrote_are_taken_too(store: Store) -> None:
    sample = sample_image(BOTTOM)
    files = layout_of(sample)
    config = f"blobs/sha256/{sample.manifest.config.digest.hex}"
    files["manifest.json"] = [{"Config": config, "RepoTags": ["a:1"], "Layers": []}]
    assert load(store, archive(files)) == ("a:1",)


def of_two_platforms(name: str) -> tuple[SampleImage, SampleImage, dict[str, object]]:
    """Return an image of this platform, one of another, and a layout that lists both under a name."""
    mine, foreign = sample_image(BOTTOM), sample_image(TOP, architecture="s390x")
    index = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [
                descriptor_of(foreign, platform={"os": "linux", "architecture": "s390x"}),
                descriptor_of(mine, platform={"os": "linux", "architecture": "amd64"}),
            ],
        }
    ).encode()
    files = layout_of(mine, {
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "digest": sha256(index),
        "size": len(index),
        "annotations": {"org.opencontainers.image.ref.name": name},
    })  # fmt: skip
    return mine, foreign, files | dict([blob(index)])


def ids(*samples: SampleImage) -> set[str]:
    return {str(sample.manifest.config.digest) for sample in samples}


def test_of_several_platforms_those_that_are_whole_are_loaded(store: Store) -> None:
    mine, foreign, files = of_two_platforms("example.com/a:1")
    assert load(store, archive(files)) == ("example.com/a:1",)
    assert {each.id for each in store.images.all()} == ids(mine)
    whole = files | layout_of(foreign) | {"index.json": files["index.json"]}
    assert load(store, archive(whole)) == ("example.com/a:1",)
    assert {each.id for each in store.images.all()} == ids(mine, foreign)
    found, _ = Catalogue(store).find("example.com/a:1", Platform.parse("linux/s390x"))
    assert {found} == ids(foreign)


def test_one_of_several_platforms_is_loaded_if_asked_for(store: Store) -> None:
    _, foreign, files = of_two_platforms("example.com/a:1")
    whole = files | layout_of(foreign) | {"index.json": files["index.json"]}
    wanted = Platform.parse("linux/s390x")
    assert load(store, archive(whole), platform=wanted) == ("example.com/a:1",)
    assert {each.id for each in store.images.all()} == ids(foreign)
    with pytest.raises(ImageError, match="no image for linux/arm64"):
        load(store, archive(whole), platform=Platform.parse("linux/arm64"))


def test_the_index_of_what_was_loaded_is_kept_with_what_it_leads_to(store: Store) -> None:
    mine, foreign, files = of_two_platforms("example.com/a:1")
    load(store, archive(files | layout_of(foreign) | {"index.json": files["index.json"]}))
    name = store.images.name("example.com/a:1")
    assert name is not None
    assert name.digest is not None
    listed = json.loads(store.blobs.read(Digest(name.digest)))["manifests"]
    assert [each["digest"] for each in listed] == [
        str(each.manifest.descriptor().digest) for each in (foreign, mine)
    ]


@pytest.mark.parametrize(
    "compress", [gzip.compress, bz2.compress, lzma.compress, zstandard.ZstdCompressor().compress]
)
def test_compressed_archives_are_loaded(store: Store, compress: Callable[[bytes], bytes]) -> None:
    data = archive(saved_by_old_docker(BOTTOM, tags=["a:1"])).getvalue()
    assert load(store, io.BytesIO(compress(data))) == ("a:1",)


# --- bad archives


def broken(name: str) -> io.BytesIO:
    """Return an archive that is wrong in one way."""
    files = saved_by_old_docker(BOTTOM, TOP, tags=["a:1"])
    (config_name,) = [
        each for each in files if "/" not in each and each.endswith(".json") and len(each) == 69
    ]
    first = f"{0:064x}/layer.tar"
    sample = sample_image(BOTTOM)
    layout = layout_of(sample)
    layer = f"blobs/sha256/{sample.manifest.layers[0].digest.hex}"
    match name:
        case "another layer":
            files[first] = TOP
        case "no layer":
            del files[first]
        case "no config":
            del files[config_name]
        case "a layer too many":
            files["manifest.json"][0]["Layers"].append(first)  # type: ignore[index]
        case "a layer named endlessly":
            files["manifest.json"][0]["Layers"] = [first] * 200_000  # type: ignore[index]
        case "too many images":
            files["manifest.json"] *= 1_001  # type: ignore[operator]
        case "a bad name":
            files["manifest.json"][0]["RepoTags"] = ["UP:1"]  # type: ignore[index]
        case "a list of nonsense":
            files["manifest.json"] = b'{"a":'
        case "a deep list":
            files["manifest.json"] = b"[" * 100_000
        case "a config of nonsense":
            files[config_name] = b"null"
        case "the oldest format":
            del files["manifest.json"]
        case "a root file system":
            return io.BytesIO(BOTTOM)
        case "no archive":
            return io.BytesIO(b"hello" * 1000)
        case "nothing":
            return io.BytesIO(b"")
        case "a blob of another digest":
            layout[layer] = gzip.compress(TOP)
            return archive(layout)
        case "a layout without a blob":
            del layout[layer]
            return archive(layout)
        case "a layout of no image":
            layout["index.json"] = {"schemaVersion": 2, "manifests": []}
            return archive(layout)
        case "an index that is none":
            layout["index.json"] = {"schemaVersion": 2}
            return archive(layout)
        case "half an archive":
            return io.BytesIO(archive(files).getvalue()[:4000])
        case "a large document":
            files["manifest.json"] = bytes(17 << 20)
    return archive(files)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("another layer", "not the one that its configuration lists"),
        ("no layer", "incomplete"),
        ("no config", "incomplete"),
        ("a layer too many", "3 layers, but its configuration lists 2"),
        ("a layer named endlessly", "200000 layers, but its configuration lists 2"),
        ("too many images", "lists more than 1000 images"),
        ("a bad name", "must be lowercase"),
        ("a list of nonsense", "malformed"),
        ("a deep list", "malformed"),
        ("a config of nonsense", "malformed"),
        ("the oldest format", "before 1.10"),
        ("a root file system", "holds no images"),
        ("no archive", "not an archive of images"),
        ("nothing", "holds no images"),
        ("a blob of another digest", "not what it should be|promised"),
        ("a layout without a blob", "incomplete"),
        ("a layout of no image", "holds no image"),
        ("an index that is none", "neither a manifest nor an index"),
        ("half an archive", "damaged"),
        ("a large document", "larger than"),
    ],
)
def test_a_bad_archive_is_refused_and_adds_no_image(store: Store, name: str, message: str) -> None:
    with pytest.raises(LapstrakeError, match=message):
        load(store, broken(name))
    assert store.images.all() == ()
    assert store.images.names() == ()


@needs_root
def test_a_compressed_layer_that_is_not_the_listed_one_is_refused_when_unpacked(
    store: Store,
) -> None:
    config = config_of(BOTTOM)
    files = {
        "1.tar.gz": gzip.compress(TOP),
        "c.json": config,
        "manifest.json": [{"Config": "c.json", "RepoTags": None, "Layers": ["1.tar.gz"]}],
    }
    (image_id,) = load(store, archive(files))
    with pytest.raises(StoreError):
        contents(store, image_id)


def test_names_of_an_archive_become_no_paths(tmp_path: Path, store: Store) -> None:
    files = saved_by_old_docker(BOTTOM, tags=["a:1"])
    files["../../escaped.tar"] = TOP
    files["/absolute.json"] = b"{}"
    load(store, archive(files, {"link.tar": "/etc"}))
    assert sorted(os.listdir(tmp_path)) == ["store"]


def test_an_interrupted_import_or_load_leaves_nothing(store: Store) -> None:
    asked: list[bool] = []

    def after_a_while() -> bool:
        asked.append(True)
        return len(asked) > 3

    data = tar({"big": noise(2 << 20)})
    with pytest.raises(Cancelled):
        import_tree(store, io.BytesIO(data), None, (), "", cancelled=after_a_while)
    with pytest.raises(Cancelled):
        load(store, archive(saved_by_old_docker(data)), cancelled=after_a_while)
    assert store.blobs.digests() == []
    assert store.images.all() == ()


def test_an_interrupted_save_stops(store: Store) -> None:
    imported(store, BOTTOM)
    with pytest.raises(Cancelled):
        save(store, ("base",), io.BytesIO(), cancelled=lambda: True)
