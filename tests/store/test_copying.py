"""Whatever has a manifest goes to any place and comes back byte for byte; what a place cannot hold is refused by name."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest

from builder.engine import shelf
from builder.engine.archives import load
from builder.engine.catalogue import Catalogue
from builder.engine.copying import Access, CopyRequest, CopyResult, Whole, copy, parse_end
from builder.engine.ends import InDockerArchive, InLayout, InRegistry, InStore
from builder.engine.sources import Choice
from builder.errors import (
    Cancelled,
    ExportError,
    ImageError,
    LapstrakeError,
    StoreError,
    UsageError,
)
from builder.events import Discard
from builder.oci.digest import Digest
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.registry import backoff
from builder.registry.client import RegistryClient
from builder.registry.transport import HttpTransport, Options
from builder.settings import Settings
from builder.store.gc import collect
from builder.store.pruning import Pruning
from builder.store.root import Store
from tests.support import registry as faults
from tests.support.docker_registry import docker_registry
from tests.support.jobs import JobsHere
from tests.support.registry import Registry, hostile_registry
from tests.support.sample_closures import KINDS, Sample, read_layout, two_platforms, write_layout
from tests.support.sample_image import noise, sample_image, tar
from tests.support.store_images import pulled

ARM, AMD = Platform.parse("linux/arm64"), Platform.parse("linux/amd64")
NOT_FOR_DOCKER = {"artifact", "a subject", "foreign layer"}
# Plain layers are how archives are written, not how images are kept.
NOT_IN_STORE = {*NOT_FOR_DOCKER, "plain", "a layer twice", "sha512"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "store"), JobsHere()) as opened:
        yield opened


@pytest.fixture
def registry() -> Iterator[Registry]:
    with hostile_registry() as running:
        yield running


def client() -> RegistryClient:
    options = Options(read_timeout=5.0, connect_timeout=2.0)
    return RegistryClient(HttpTransport(options, wait=lambda *_: None))


def nobody() -> NoReturn:
    raise AssertionError("a registry was asked")


def copied(
    store: Store,
    source: object,
    destination: object,
    choice: Choice = Whole.ALL,
    *,
    cancelled: bool = False,
    **more: object,
) -> CopyResult:
    request = CopyRequest(
        source=parse_end(str(source)),
        destination=parse_end(str(destination)),
        choice=choice,
        **more,  # type: ignore[arg-type]
    )
    remote = any(isinstance(end, InRegistry) for end in (request.source, request.destination))
    made = client if remote else nobody
    return copy(
        request,
        store=store,
        read_from=made,
        write_to=made,
        events=Discard(),
        cancelled=lambda: cancelled,
    )


def round_trip(store: Store, root: Path, sample: Sample, *places: str) -> None:
    """Copy a sample from a layout through places to a layout, and see that it is the same."""
    previous = f"oci:{write_layout(root / 'from', sample)}:it"
    for place in (*places, f"oci:{root / 'to'}:it"):
        copied(store, previous, place)
        previous = place
    digest, blobs = read_layout(root / "to")
    assert digest == sample.closure.top.descriptor().digest
    assert blobs == sample.everything


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["oci", "oci-archive", "dir"])
def test_anything_comes_back_from_a_layout_an_archive_and_a_directory(
    tmp_path: Path, store: Store, kind: str, place: str
) -> None:
    round_trip(store, tmp_path, KINDS[kind](), f"{place}:{tmp_path / 'place'}")


@pytest.mark.parametrize("kind", KINDS)
def test_anything_comes_back_from_a_registry(
    tmp_path: Path, store: Store, registry: Registry, kind: str
) -> None:
    one, other = (f"docker://{registry.host}/{name}" for name in ("one:1", "two:2"))
    round_trip(store, tmp_path, KINDS[kind](), one, other)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in NOT_FOR_DOCKER])
def test_images_come_back_from_an_archive_for_docker(
    tmp_path: Path, store: Store, kind: str
) -> None:
    round_trip(store, tmp_path, KINDS[kind](), f"docker-archive:{tmp_path / 'place'}")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in NOT_IN_STORE])
def test_images_come_back_from_the_store(tmp_path: Path, store: Store, kind: str) -> None:
    round_trip(store, tmp_path, KINDS[kind](), "store:example.com/kept:1")


def test_what_is_no_image_is_not_kept_in_the_store(tmp_path: Path, store: Store) -> None:
    layout = write_layout(tmp_path / "from", KINDS["artifact"]())
    with pytest.raises(ImageError, match="no image in it") as caught:
        copied(store, f"oci:{layout}", "kept:1")
    assert caught.value.notes == ("it holds: `application/vnd.example.sbom`",)
    with pytest.raises(ImageError, match="no image in it that Docker could load"):
        copied(store, f"oci:{layout}", f"docker-archive:{tmp_path / 'out'}")
    assert not (tmp_path / "out").exists()


def test_an_image_whose_layer_is_elsewhere_is_not_kept_in_the_store(
    tmp_path: Path, store: Store
) -> None:
    layout = write_layout(tmp_path / "from", KINDS["foreign layer"]())
    with pytest.raises(ImageError, match="incomplete"):
        copied(store, f"oci:{layout}", "kept:1")
    with pytest.raises(ImageError, match="kept elsewhere"):
        copied(store, f"oci:{layout}", f"docker-archive:{tmp_path / 'out'}")
    assert store.images.all() == ()


def test_one_platform_is_the_manifest_of_that_platform(tmp_path: Path, store: Store) -> None:
    sample = two_platforms()
    layout = write_layout(tmp_path / "from", sample)
    result = copied(store, f"oci:{layout}", f"oci:{tmp_path / 'to'}", ARM)
    digest, blobs = read_layout(tmp_path / "to")
    arm = sample.closure.manifests[1]
    assert result.digest == digest == arm.descriptor().digest
    assert len(blobs) == 4
    with pytest.raises(ImageError, match="no image for linux/s390x") as caught:
        copied(store, f"oci:{layout}", f"oci:{tmp_path / 'to'}", Platform.parse("linux/s390x"))
    assert caught.value.notes == ("it has: linux/amd64, linux/arm64",)


def test_the_index_alone_goes_where_its_images_are(
    store: Store, tmp_path: Path, registry: Registry
) -> None:
    sample = two_platforms()
    layout = write_layout(tmp_path / "from", sample)
    for platform in (AMD, ARM):
        copied(
            store,
            f"oci:{layout}",
            f"docker://{registry.host}/app:{platform.architecture}",
            platform,
        )
    copied(store, f"oci:{layout}", f"docker://{registry.host}/app:all", Whole.INDEX_ONLY)
    assert registry.manifests["app", "all"][1] == sample.closure.top.raw


def test_a_name_of_several_platforms_is_kept_and_chosen_from(tmp_path: Path, store: Store) -> None:
    sample = two_platforms()
    copied(store, f"oci:{write_layout(tmp_path / 'from', sample)}", "kept:1")
    ids = [str(each.config.digest) for each in sample.closure.manifests]
    found = [Catalogue(store).find("kept:1", platform)[0] for platform in (AMD, ARM)]
    assert found == ids
    result = copied(store, "kept:1", f"oci:{tmp_path / 'to'}", ARM)
    assert result.digest == sample.closure.manifests[1].descriptor().digest
    with pytest.raises(ImageError, match="for linux/s390x"):
        copied(store, "kept:1", f"oci:{tmp_path / 'to'}", Platform.parse("linux/s390x"))


def test_blobs_of_a_neighbouring_repository_are_mounted_and_not_fetched(
    store: Store, tmp_path: Path, registry: Registry
) -> None:
    sample = two_platforms()
    one, other = (f"docker://{registry.host}/{name}" for name in ("one:1", "two:2"))
    copied(store, f"oci:{write_layout(tmp_path / 'from', sample)}", one)
    registry.requests.clear()
    copied(store, one, other)
    assert not [
        each for each in registry.requests if each.method == "GET" and "/blobs/" in each.path
    ]
    registry.requests.clear()
    copied(store, one, other)
    assert not [each for each in registry.requests if "/blobs/" in each.path]
    assert store.blobs.digests() == []


def test_further_tags_are_given(tmp_path: Path, store: Store, registry: Registry) -> None:
    layout = write_layout(tmp_path / "from", KINDS["oci"]())
    names = (Reference.parse(f"{registry.host}/app:two"),)
    copied(store, f"oci:{layout}", f"docker://{registry.host}/app:one", tags=names)
    assert {tag for _, tag in registry.manifests if ":" not in tag} == {"one", "two"}
    names = (Reference.parse("app:two"),)
    copied(store, f"oci:{layout}", f"docker-archive:{tmp_path / 'out'}:app:one", tags=names)
    with (tmp_path / "out").open("rb") as stream:
        assert load(store, stream) == ("app:one", "app:two")


def test_a_layout_keeps_what_it_has(tmp_path: Path, store: Store) -> None:
    one = write_layout(tmp_path / "one", KINDS["oci"]())
    other = write_layout(tmp_path / "other", KINDS["zstd"]())
    copied(store, f"oci:{one}", f"oci:{tmp_path / 'to'}:one")
    copied(store, f"oci:{other}", f"oci:{tmp_path / 'to'}:other")
    copied(store, f"oci:{other}", f"oci:{tmp_path / 'to'}:one")
    index = json.loads((tmp_path / "to/index.json").read_text())
    digest = KINDS["zstd"]().closure.top.descriptor().digest
    assert [each["digest"] for each in index["manifests"]] == [digest, digest]
    assert sorted(os.listdir(tmp_path / "to")) == ["blobs", "index.json", "oci-layout"]
    with pytest.raises(ImageError, match="has no image of that name"):
        copied(store, f"oci:{tmp_path / 'to'}:three", f"oci:{tmp_path / 'x'}")


def test_an_old_archive_gets_a_manifest_unless_digests_are_to_be_preserved(
    tmp_path: Path, store: Store
) -> None:
    layer = tar({"old": b"1"})
    sample = sample_image(layer)
    config = sample.blobs[sample.manifest.config.digest]
    for name, data in (("c.json", config), ("1/layer.tar", layer), ("manifest.json", json.dumps(
        [{"Config": "c.json", "RepoTags": ["old:1"], "Layers": ["1/layer.tar"]}]).encode())):  # fmt: skip
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    subprocess.run(["tar", "-czf", "old.tgz", "-C", "tree", "."], cwd=tmp_path, check=True)
    old = f"docker-archive:{tmp_path / 'old.tgz'}"
    with pytest.raises(ImageError, match="no manifest whose digest could be preserved"):
        copied(store, old, f"oci:{tmp_path / 'to'}", exact=True)
    assert copied(store, f"{old}:old:1", f"oci:{tmp_path / 'to'}").made
    digest, blobs = read_layout(tmp_path / "to")
    [described] = json.loads(blobs[digest])["layers"]
    assert described["mediaType"].endswith("tar+gzip")
    assert json.loads(blobs[digest])["config"]["digest"] == sample.manifest.config.digest
    with pytest.raises(ImageError, match="no image of that name"):
        copied(store, f"{old}:new:1", f"oci:{tmp_path / 'to'}")


# --- what other programs write and read


@pytest.mark.parametrize("kind", ["oci", "schema 2", "zstd", "two platforms", "manifest list"])
def test_skopeo_and_we_understand_each_other(tmp_path: Path, store: Store, kind: str) -> None:
    sample = KINDS[kind]()
    layout = write_layout(tmp_path / "from", sample)
    everything = ["--all"] if "platforms" in kind or "list" in kind else []
    keep = ["--preserve-digests"]

    def skopeo(*words: object) -> None:
        subprocess.run(
            ["skopeo", "--insecure-policy", "copy", "-q", *everything, *keep, *map(str, words)],
            check=True,
            capture_output=True,
        )

    # Skopeo keeps Docker's manifests in its directories alone.
    ours = "dir" if kind in ("schema 2", "manifest list") else "oci-archive"
    copied(store, f"oci:{layout}:it", f"{ours}:{tmp_path / 'ours'}")
    skopeo(f"{ours}:{tmp_path / 'ours'}", f"dir:{tmp_path / 'theirs'}")
    copied(store, f"dir:{tmp_path / 'theirs'}", f"dir:{tmp_path / 'again'}")
    skopeo(f"dir:{tmp_path / 'again'}", f"dir:{tmp_path / 'last'}")
    copied(store, f"dir:{tmp_path / 'last'}", f"oci:{tmp_path / 'to'}")
    digest, blobs = read_layout(tmp_path / "to")
    assert digest == sample.closure.top.descriptor().digest
    assert blobs == sample.everything


def test_skopeo_reads_our_archive_for_docker(tmp_path: Path, store: Store) -> None:
    sample = KINDS["two platforms"]()
    copied(
        store,
        f"oci:{write_layout(tmp_path / 'from', sample)}",
        f"docker-archive:{tmp_path / 'out'}:app:1",
    )
    found = subprocess.run(
        ["skopeo", "inspect", "--config", "--raw", f"docker-archive:{tmp_path / 'out'}:app:1"],
        check=True,
        capture_output=True,
    )
    here = next(
        each
        for each in sample.closure.manifests
        if sample.blobs[each.config.digest] == found.stdout
    )
    assert here is sample.closure.manifests[0]


def test_umoci_unpacks_our_layout(tmp_path: Path, store: Store) -> None:
    layout = write_layout(tmp_path / "from", KINDS["oci"]())
    copied(store, f"oci:{layout}:it", f"oci:{tmp_path / 'to'}:it")
    subprocess.run(
        ["umoci", "unpack", "--rootless", "--image", f"{tmp_path / 'to'}:it", tmp_path / "bundle"],
        check=True,
        capture_output=True,
    )
    assert (tmp_path / "bundle/rootfs/hello").read_bytes() == b"hello\n"


@pytest.mark.parametrize(
    "kind", ["schema 2", "two platforms", "attestations", "artifact", "nested index"]
)
def test_a_real_registry_takes_and_gives_anything(tmp_path: Path, store: Store, kind: str) -> None:
    directory = tmp_path / "registry"
    directory.mkdir()
    with docker_registry(directory) as host:
        round_trip(store, tmp_path, KINDS[kind](), f"docker://{host}/a/b:1", f"docker://{host}/c:2")


# --- refusals and hostile places


def test_an_interrupted_copy_leaves_nothing(tmp_path: Path, store: Store) -> None:
    layout = write_layout(tmp_path / "from", KINDS["two platforms"]())
    for place in ("oci", "oci-archive", "docker-archive", "dir"):
        with pytest.raises(Cancelled):
            copied(store, f"oci:{layout}", f"{place}:{tmp_path / 'out'}", cancelled=True)
        assert sorted(os.listdir(tmp_path)) == ["from", "store"], place


@pytest.mark.parametrize("place", ["oci", "oci-archive", "docker-archive", "dir", "store"])
@pytest.mark.parametrize("how", ["other bytes", "short", "gone", "a fifo", "a directory", "long"])
def test_a_damaged_layout_is_not_copied(tmp_path: Path, store: Store, place: str, how: str) -> None:
    sample = KINDS["oci"]()
    layout = write_layout(tmp_path / "from", sample)
    manifest = sample.closure.manifests[0]
    path = layout / "blobs" / manifest.layers[0].digest.replace(":", "/")
    data = path.read_bytes()
    path.unlink()
    match how:
        case "other bytes":
            path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        case "short":
            path.write_bytes(data[:-1])
        case "long":
            path.write_bytes(data + b"x")
        case "a fifo":
            os.mkfifo(path)
        case "a directory":
            path.mkdir()
    out = "kept:1" if place == "store" else f"{place}:{tmp_path / 'out'}"
    with pytest.raises((StoreError, ImageError)) as caught:
        copied(store, f"oci:{layout}", out)
    assert manifest.layers[0].digest in " ".join((caught.value.message, *caught.value.notes))
    assert sorted(os.listdir(tmp_path)) == ["from", "store"]
    assert store.images.all() == ()


def deep(root: Path) -> None:
    raw = b'{"schemaVersion":2,"manifests":' + b"[" * 100_000
    (root / "index.json").write_bytes(raw)


def endless(root: Path) -> None:
    with (root / "index.json").open("wb") as file:
        file.truncate(1 << 30)


def many(root: Path) -> None:
    [entry] = json.loads((root / "index.json").read_text())["manifests"]
    document = {"schemaVersion": 2, "manifests": [entry] * 20_000}
    (root / "index.json").write_text(json.dumps(document))


def out_of_the_layout(root: Path) -> None:
    text = (root / "index.json").read_text()
    digest = json.loads(text)["manifests"][0]["digest"]
    (root / "index.json").write_text(text.replace(digest, "sha256:../../../../etc/passwd"))


def in_circles(root: Path) -> None:
    index = {"schemaVersion": 2, "manifests": []}
    for _ in range(6):
        raw = json.dumps(index).encode()
        digest = Digest.of(raw)
        (root / "blobs/sha256" / digest.hex).write_bytes(raw)
        entry = {
            "digest": digest,
            "size": len(raw),
            "mediaType": "application/vnd.oci.image.index.v1+json",
        }
        index = {"schemaVersion": 2, "manifests": [entry] * 30}
    (root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))


def old_schema(root: Path) -> None:
    raw = b'{"schemaVersion":1,"fsLayers":[]}'
    digest = Digest.of(raw)
    (root / "blobs/sha256" / digest.hex).write_bytes(raw)
    entry = {
        "digest": digest,
        "size": len(raw),
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
    }
    (root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (deep, "malformed"),
        (endless, "larger than"),
        (many, "lists more than|larger than"),
        (out_of_the_layout, "invalid digest"),
        (in_circles, "nested too deeply|more than 1000 documents"),
        (old_schema, "schema 1"),
        (lambda root: (root / "index.json").unlink(), "no OCI layout"),
        (lambda root: (root / "index.json").write_text("null"), "malformed"),
        (lambda root: (root / "index.json").write_text('{"schemaVersion":2,"manifests":[]}'), "has no image"),
    ],
)  # fmt: skip
def test_a_hostile_layout_is_refused_in_one_line(
    tmp_path: Path, store: Store, spoil: object, message: str
) -> None:
    layout = write_layout(tmp_path / "from", KINDS["oci"]())
    spoil(layout)  # type: ignore[operator]
    with pytest.raises(LapstrakeError, match=message):
        copied(store, f"oci:{layout}", f"dir:{tmp_path / 'out'}")


def test_links_and_names_of_an_archive_lead_nowhere(tmp_path: Path, store: Store) -> None:
    layout = write_layout(tmp_path / "from", KINDS["oci"]())
    with tarfile.open(tmp_path / "in.tar", "w") as archive:
        for name, target in (("blobs/sha256/" + "0" * 64, "/etc/passwd"), ("../../up", "x")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
        fifo = tarfile.TarInfo("index.json")
        fifo.type = tarfile.FIFOTYPE
        archive.addfile(fifo)
        archive.add(layout, arcname=".")
        archive.add(layout / "index.json", arcname="index.json")
    copied(store, f"oci-archive:{tmp_path / 'in.tar'}:it", f"dir:{tmp_path / 'out'}")
    assert sorted(os.listdir(tmp_path)) == ["from", "in.tar", "out", "store"]


def flat(store: Store, root: Path) -> Path:
    copied(
        store,
        f"oci:{write_layout(root / 'from', KINDS['two platforms']())}",
        f"dir:{root / 'flat'}",
    )
    return root / "flat"


def as_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def as_endless(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 30)


@pytest.mark.parametrize("name", ["manifest.json", "*.manifest.json"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (as_fifo, "no image at|lacks"),
        (Path.unlink, "no image at|lacks"),
        (as_endless, "larger than"),
        (lambda path: path.write_text("[]"), "malformed|not what its digest says"),
    ],
)
def test_a_hostile_directory_is_refused_in_one_line(
    tmp_path: Path, store: Store, name: str, spoil: Callable[[Path], object], message: str
) -> None:
    place = flat(store, tmp_path)
    spoil(next(place.glob(name)))
    with pytest.raises(LapstrakeError, match=message):
        copied(store, f"dir:{place}", f"oci:{tmp_path / 'out'}")
    assert not (tmp_path / "out").exists()


def test_an_archive_may_come_through_a_pipe(tmp_path: Path, store: Store) -> None:
    layout = write_layout(tmp_path / "from", KINDS["oci"]())
    copied(store, f"oci:{layout}:it", f"oci-archive:{tmp_path / 'in.tar'}:it")
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cp", "in.tar", "pipe"], cwd=tmp_path):
        copied(store, f"oci-archive:{tmp_path / 'pipe'}", f"oci:{tmp_path / 'to'}")
    assert read_layout(tmp_path / "to")[1] == KINDS["oci"]().everything
    with pytest.raises(ImageError, match="cannot be read: Is a directory"):
        copied(store, f"oci-archive:{tmp_path}", f"oci:{tmp_path / 'x'}")


def test_two_who_make_one_layout_wait_for_each_other(tmp_path: Path, store: Store) -> None:
    layout = write_layout(tmp_path / "from", KINDS["oci"]())
    names = [f"n{number}" for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: copied(store, f"oci:{layout}", f"oci:{tmp_path / 'to'}:{name}"), names))  # fmt: skip
    index = json.loads((tmp_path / "to/index.json").read_text())
    found = {
        each["annotations"]["org.opencontainers.image.ref.name"] for each in index["manifests"]
    }
    assert found == set(names)


COPY_KILLED = """
import os, signal, sys
from builder.engine import copying
from builder.engine.copying import CopyRequest, copy, parse_end
from builder.events import Discard
from builder.store.root import Store
from tests.support.jobs import JobsHere
def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)
copying._Metered.read = killed
with Store(sys.argv[1], JobsHere()) as store:
    request = CopyRequest(source=parse_end(sys.argv[2]), destination=parse_end(sys.argv[3]))
    copy(request, store=store, read_from=None, write_to=None, events=Discard())
"""


@pytest.mark.parametrize("place", ["oci", "dir", "oci-archive"])
@pytest.mark.parametrize("there", ["nothing", "empty", "an image"])
def test_a_copy_that_was_killed_is_made_by_the_next(
    tmp_path: Path, store: Store, place: str, there: str
) -> None:
    source, out = tmp_path / "from", tmp_path / "out"
    sample = KINDS["schema 2"]()
    write_layout(source, sample)
    if there == "an image":
        earlier = write_layout(tmp_path / "earlier", KINDS["oci"]())
        copied(store, f"oci:{earlier}:it", f"{place}:{out}")
    elif there == "empty" and place != "oci-archive":
        out.mkdir()
    ended = subprocess.run(
        [sys.executable, "-c", COPY_KILLED, str(tmp_path / "other"), f"oci:{source}:it", f"{place}:{out}"],
        check=False,
    )  # fmt: skip
    assert ended.returncode == -signal.SIGKILL
    copied(store, f"oci:{source}:it", f"{place}:{out}" + (":it" if place != "dir" else ""))
    copied(store, f"{place}:{out}" + (":it" if place != "dir" else ""), f"oci:{tmp_path / 'to'}:it")
    assert read_layout(tmp_path / "to")[1] == sample.everything
    known = {"from", "out", "store", "other", "to", "earlier"}
    assert set(os.listdir(tmp_path)) <= known
    if out.is_dir():
        names = set(os.listdir(out))
        assert not any(name.endswith(".partial") or name == "tmp" for name in names), names


def test_a_directory_of_other_things_is_not_written_to(tmp_path: Path, store: Store) -> None:
    layout = write_layout(tmp_path / "from", KINDS["oci"]())
    for place in ("dir", "oci"):
        with pytest.raises(ExportError, match="neither empty nor"):
            copied(store, f"oci:{layout}", f"{place}:{tmp_path}")


@pytest.mark.parametrize(
    ("source", "destination", "message"),
    [
        ("a", "b", "both ends are in the store"),
        ("a", "oci:", "lacks a path"),
        ("a", "containers-storage:b", "`containers-storage:` is not available"),
        ("a", "docker-daemon:b", "`docker-daemon:` is not available"),
        ("a", "docker:b", "`docker:` is not available"),
        ("a", "oci:x@sha256:" + "0" * 64, "a digest cannot be chosen"),
        ("oci:x", "a@sha256:" + "0" * 64, "a digest cannot be given"),
    ],
)
def test_ends_that_make_no_sense_are_refused(
    store: Store, source: str, destination: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        copied(store, source, destination)


def test_faults_of_a_registry_are_tried_again_if_asked_for(
    tmp_path: Path, store: Store, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "wait", lambda *_: None)
    layout = write_layout(tmp_path / "from", KINDS["oci"]())
    place = f"docker://{registry.host}/app:1"
    registry.fault("PUT", "/manifests/", faults.status(503), times=20)
    with pytest.raises(LapstrakeError):
        copied(store, f"oci:{layout}", place)
    copied(store, f"oci:{layout}", place, tries=10)
    assert ("app", "1") in registry.manifests


def test_ends_are_read_as_they_are_written() -> None:
    digest = "sha256:" + "0" * 64
    assert parse_end("oci:/a/b:reg.example:5000/x:1") == InLayout("/a/b", "reg.example:5000/x:1")
    assert parse_end(f"oci:/a@{digest}") == InLayout("/a", None, Digest(digest))
    assert parse_end("docker-archive:a.tar:x") == InDockerArchive("a.tar", Reference.parse("x"))
    assert parse_end("store:x") == parse_end("store:x") == InStore("x")
    assert parse_end("x:latest") == InStore("x:latest")
    for text in ("oci:/a/b:c", f"oci:/a@{digest}", "docker://reg.example/x:1", "dir:x"):
        assert str(parse_end(text)) == text


def test_credentials_are_for_one_registry_and_are_not_shown() -> None:
    access = Access(credentials=("ada", "s3cret"), verify=False)
    assert "s3cret" not in repr(access)
    settings = Settings(root="/r", docker_config="/c")
    end = parse_end("docker://reg.example:5000/x")
    changed = access.settings(settings, end)
    assert changed.insecure_registries == ("reg.example:5000",)
    assert list(msgspec.json.decode(changed.docker_auth_config or "")["auths"]) == [
        "reg.example:5000"
    ]
    assert access.settings(settings, parse_end("dir:x")) is settings


def test_a_pulled_image_that_is_copied_from_the_store_keeps_its_manifest(
    tmp_path: Path, store: Store
) -> None:
    image = pulled(store, sample_image(tar({"a": b"1"}), tar({"b": b"2"})))
    result = copied(store, image.id, f"oci:{tmp_path / 'to'}")
    stored = store.images.get(image.id)
    assert stored is not None
    assert result.digest == stored.manifest


@pytest.mark.parametrize("place", ["oci", "oci-archive", "docker-archive", "dir", "registry"])
def test_a_blob_that_is_damaged_in_the_store_is_passed_on_to_nobody(
    tmp_path: Path, store: Store, registry: Registry, place: str
) -> None:
    sample = sample_image(tar({"large": noise(3 << 20)}))
    image = pulled(store, sample)
    digest = sample.manifest.layers[0].digest
    path = Path(store.blobs.path(digest))
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    to = f"docker://{registry.host}/app:1" if place == "registry" else f"{place}:{tmp_path / 'out'}"
    with pytest.raises(StoreError, match="damaged on disk") as caught:
        copied(store, image.id, to)
    assert digest in caught.value.message
    assert not registry.manifests
    assert sorted(os.listdir(tmp_path)) == ["store"]
    assert not store.blobs.contains(digest)  # so that a good one can come


def test_what_is_sent_in_chunks_is_fetched_once(
    tmp_path: Path, store: Store, registry: Registry, other: Registry
) -> None:
    sample = sample_image(tar({"large": noise(4 << 20)}))
    registry.add("app", "1", sample)
    other.most = 1 << 20
    copied(store, f"docker://{registry.host}/app:1", f"docker://{other.host}/copy:2")
    digest = sample.manifest.layers[0].digest
    assert other.blobs["copy", digest] == sample.blobs[digest]
    asked = [seen for seen in registry.requests if digest in seen.path]
    assert len(asked) > 3
    offsets = [seen.headers.get("range") for seen in asked]
    assert len(set(offsets)) > 3, offsets


def test_a_copy_into_the_store_goes_on_where_it_was_interrupted(
    tmp_path: Path, store: Store, registry: Registry
) -> None:
    layer = tar({"large": noise(3 << 20)})
    sample = sample_image(layer)
    registry.add("app", "1", sample)
    digest = sample.manifest.layers[0].digest
    registry.fault("GET", f"/blobs/{digest}", faults.cut(1 << 20), times=1)
    registry.fault("GET", f"/blobs/{digest}", faults.status(404), times=1)
    with pytest.raises(LapstrakeError):
        copied(store, f"docker://{registry.host}/app:1", "kept:1")
    copied(store, f"docker://{registry.host}/app:1", "kept:1")
    asked = [each for each in registry.requests if digest in each.path and each.method == "GET"]
    assert asked[-1].headers["range"] != "bytes=0-"


@pytest.mark.parametrize("place", ["oci", "oci-archive", "docker-archive", "dir"])
def test_a_full_disk_is_told_by_the_destination_and_leaves_nothing(
    tmp_path: Path, store: Store, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = write_layout(tmp_path / "from", KINDS["two platforms"]())
    (tmp_path / "full").mkdir()
    real = os.write

    def full(fd: int, data: bytes) -> int:
        if os.readlink(f"/proc/self/fd/{fd}").startswith(f"{tmp_path}/full/"):
            raise OSError(errno.ENOSPC, "full")
        return real(fd, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(ExportError, match="no space left for") as caught:
        copied(store, f"oci:{layout}", f"{place}:{tmp_path / 'full/out'}")
    assert caught.value.code == "export.no-space"
    assert caught.value.notes == ("what was there before stays",)
    assert os.listdir(tmp_path / "full") == []


def test_a_copy_that_fails_leaves_a_layout_as_it_was(tmp_path: Path, store: Store) -> None:
    one = write_layout(tmp_path / "one", KINDS["oci"]())
    copied(store, f"oci:{one}", f"oci:{tmp_path / 'to'}:a")
    before = (tmp_path / "to/index.json").read_bytes()
    broken = write_layout(tmp_path / "two", KINDS["two platforms"]())
    next(
        path for path in (broken / "blobs/sha256").iterdir() if path.stat().st_size > 3000
    ).unlink()
    with pytest.raises(ImageError, match="lacks"):
        copied(store, f"oci:{broken}", f"oci:{tmp_path / 'to'}:b")
    assert (tmp_path / "to/index.json").read_bytes() == before
    assert sorted(os.listdir(tmp_path / "to")) == ["blobs", "index.json", "oci-layout"]


@pytest.fixture
def other() -> Iterator[Registry]:
    with hostile_registry() as running:
        yield running


def test_between_registries_nothing_is_kept_and_broken_connections_are_gone_on_with(
    store: Store, registry: Registry, other: Registry
) -> None:
    sample = sample_image(tar({"large": noise(3 << 20)}))
    registry.add("app", "1", sample)
    digest = sample.manifest.layers[0].digest
    registry.fault("GET", f"/blobs/{digest}", faults.cut(1 << 20), times=1)
    copied(store, f"docker://{registry.host}/app:1", f"docker://{other.host}/copy:2")
    assert other.manifests["copy", "2"][1] == sample.manifest.raw
    assert other.blobs["copy", digest] == sample.blobs[digest]
    assert store.blobs.digests() == []


@pytest.mark.parametrize("place", ["registry", "oci", "oci-archive", "dir", "store"])
def test_wrong_bytes_of_a_registry_are_passed_on_to_nobody(
    tmp_path: Path, store: Store, registry: Registry, other: Registry, place: str
) -> None:
    sample = sample_image(tar({"large": noise(3 << 20)}))
    registry.add("app", "1", sample)
    digest = sample.manifest.layers[0].digest
    data = sample.blobs[digest]
    registry.blobs["app", digest] = data[:-1] + bytes([data[-1] ^ 1])
    to = {"registry": f"docker://{other.host}/copy:2", "store": "kept:1"}
    with pytest.raises(LapstrakeError) as caught:
        copied(
            store, f"docker://{registry.host}/app:1", to.get(place, f"{place}:{tmp_path / 'out'}")
        )
    assert digest in " ".join((caught.value.message, *caught.value.notes))
    assert not other.manifests
    assert ("copy", digest) not in other.blobs
    assert sorted(os.listdir(tmp_path)) == ["store"]
    assert store.images.all() == ()


@pytest.mark.parametrize("kind", ["two platforms", "attestations", "nested index", "manifest list"])
def test_what_was_copied_into_the_store_outlives_prune_whole(
    tmp_path: Path, store: Store, kind: str
) -> None:
    sample = KINDS[kind]()
    copied(store, f"oci:{write_layout(tmp_path / 'from', sample)}", "kept:1")
    collect(store, Pruning())
    copied(store, "kept:1", f"oci:{tmp_path / 'to'}:it")
    assert read_layout(tmp_path / "to")[1] == sample.everything
    shelf.remove(store, ("kept:1",), force=False)
    collect(store, Pruning(everything=True))
    assert store.blobs.digests() == []
