"""Layers are unpacked while they arrive, and nothing that was made of wrong bytes is ever used."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from builder.engine.arriving import Unpacking, unpacking
from builder.engine.catalogue import Catalogue
from builder.errors import LayerError, RegistryError, StoreError
from builder.events import Warned
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.document import config_bytes
from builder.oci.manifest import build_manifest
from builder.oci.mediatypes import OCI_CONFIG
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.registry.client import RegistryClient
from builder.registry.pulling import fetch
from builder.store.layers import State
from builder.store.overlay import OverlaySnapshotter
from builder.store.root import Store
from builder.store.trees import CopyingSnapshotter
from tests.registry.conftest import Recorder
from tests.support import registry as faults
from tests.support.jobs import JobsHere
from tests.support.registry import Registry
from tests.support.sample_image import SampleImage, noise, sample_image, tar

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="jobs without walls need root")

AMD64 = Platform.parse("linux/amd64")


def sticky(files: dict[str, bytes]) -> bytes:
    """Return a tar of files and of a `tmp` for everybody."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        directory = tarfile.TarInfo("tmp")
        directory.type, directory.mode = tarfile.DIRTYPE, 0o1777
        archive.addfile(directory)
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


IMAGE = sample_image(sticky({"base": noise(500_000)}), tar({"tmp/own": b"1", "etc/x": b"2"}))


class Pulling:
    """A store, and pulls into it that unpack."""

    def __init__(self, root: Path, client: RegistryClient, registry: Registry) -> None:
        self.jobs = JobsHere()
        self.store = Store(str(root), self.jobs)
        self.events = Recorder()
        self.work: Unpacking | None = None
        self._client = client
        self._reference = Reference.parse(f"{registry.host}/team/app:1")

    def __call__(self) -> State:
        """Pull as the engine does, and return the state."""
        resolved = self._client.resolve(self._reference, AMD64)
        with unpacking(self.store, resolved.manifest, resolved.config, self.events, 1) as self.work:
            pulled = fetch(
                self._client,
                self._reference,
                resolved,
                self.store.blobs,
                self.events,
                1,
                arrivals=self.work.arrivals,
            )
        catalogue = Catalogue(self.store)
        return catalogue.open(catalogue.register_pulled(pulled.manifest, pulled.config)).state

    @property
    def error(self) -> BaseException | None:
        """What ended the unpacking."""
        assert self.work is not None
        return self.work.error

    def directories(self) -> int:
        """Return how many directory forms are recorded."""
        return len(self.store.layers.all_directories())


@pytest.fixture
def pulling(
    tmp_path: Path, client: RegistryClient, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pulling]:
    given = Pulling(tmp_path / "store", client, registry)
    monkeypatch.setattr(given.store.snapshots, "_chosen", OverlaySnapshotter(given.store.snapshots))
    yield given
    given.store.close()


def test_the_directories_are_there_when_the_pull_ends(pulling: Pulling, registry: Registry) -> None:
    registry.add("team/app", "1", IMAGE)
    state = pulling()
    assert pulling.error is None
    assert pulling.directories() == 2
    pulling.jobs.called.clear()
    upper, lower = pulling.store.snapshots.directories(state)
    assert pulling.jobs.called == []
    assert Path(lower, "base").read_bytes() == noise(500_000)
    # A parent that a layer does not list has the attributes that it has below.
    assert Path(upper, "tmp").stat().st_mode & 0o7777 == 0o1777
    assert [layer.entries for layer in state.layers] == [2, 2]


def test_a_layer_is_unpacked_while_it_comes(
    pulling: Pulling, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = threading.Event()
    layer = IMAGE.manifest.layers[0]

    def act(handler: faults.Handler) -> bool:
        data = IMAGE.blobs[layer.digest]
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[:200_000])
        # Not a byte more before the first of them are being unpacked.
        assert began.wait(20)
        handler.wfile.write(data[200_000:])
        return True

    call = JobsHere.call

    def called(jobs: JobsHere, function: str, *given: object, **more: object) -> object:
        if "apply_layer" in function:
            began.set()
        return call(jobs, function, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(JobsHere, "call", called)
    registry.add("team/app", "1", IMAGE)
    registry.fault("GET", layer.digest, act)
    pulling()
    assert pulling.directories() == 2


def test_what_is_here_already_is_unpacked_from_here(pulling: Pulling, registry: Registry) -> None:
    registry.add("team/app", "1", IMAGE)
    for descriptor in IMAGE.manifest.layers:
        pulling.store.blobs.add(IMAGE.blobs[descriptor.digest], media_type="")
    pulling()
    assert pulling.directories() == 2
    assert registry.count("GET", IMAGE.manifest.layers[0].digest) == 0


def test_a_second_pull_unpacks_nothing(pulling: Pulling, registry: Registry) -> None:
    registry.add("team/app", "1", IMAGE)
    pulling()
    pulling.jobs.called.clear()
    pulling()
    assert pulling.jobs.called == []


def test_nothing_is_kept_of_a_blob_that_is_wrong(pulling: Pulling, registry: Registry) -> None:
    """The bytes are a fine layer, even the right one, but not those of the blob."""
    registry.add("team/app", "1", IMAGE)
    layer = IMAGE.manifest.layers[0]
    other = gzip.compress(gzip.decompress(IMAGE.blobs[layer.digest]), 9, mtime=7)
    padded = other + b"\0" * (layer.size - len(other)) if len(other) < layer.size else other
    registry.fault("GET", layer.digest, faults.body(padded[: layer.size]), times=-1)
    with pytest.raises(StoreError, match="is not what it should be"):
        pulling()
    assert pulling.directories() == 0
    assert os.listdir(f"{pulling.store.root}/active") == []


def test_a_blob_that_comes_wrong_at_first_is_unpacked_when_it_is_right(
    pulling: Pulling, registry: Registry
) -> None:
    registry.add("team/app", "1", IMAGE)
    layer = IMAGE.manifest.layers[0]
    registry.fault("GET", layer.digest, faults.body(b"?" * layer.size))
    state = pulling()
    assert pulling.error is None
    assert pulling.directories() == 2
    assert Path(pulling.store.snapshots.directories(state)[1], "base").stat().st_size == 500_000
    assert os.listdir(f"{pulling.store.root}/active") == []


def lying(image: SampleImage) -> SampleImage:
    """Return an image whose configuration lists other diff ids."""
    others = tuple(f"sha256:{number:064x}" for number, _ in enumerate(image.manifest.layers))
    config = msgspec.structs.replace(image.config, diff_ids=others)
    raw = config_bytes(config)
    descriptor = Descriptor(media_type=OCI_CONFIG, digest=Digest.of(raw), size=len(raw))
    return SampleImage(
        manifest=build_manifest(descriptor, image.manifest.layers),
        config=config,
        blobs={**image.blobs, descriptor.digest: raw},
    )


def test_a_layer_with_another_diff_id_is_not_believed(pulling: Pulling, registry: Registry) -> None:
    registry.add("team/app", "1", lying(IMAGE))
    with pytest.raises(StoreError, match="a layer unpacks to") as caught:
        pulling()
    assert "do not belong together" in caught.value.notes[0]
    assert pulling.directories() == 0


def test_a_blob_that_is_no_layer_leaves_nothing(pulling: Pulling, registry: Registry) -> None:
    image = sample_image(noise(300_000))
    registry.add("team/app", "1", image)
    with pytest.raises(LayerError):
        pulling()
    assert pulling.directories() == 0
    assert os.listdir(f"{pulling.store.root}/active") == []


def test_an_image_that_only_this_host_cannot_unpack_is_told_of(
    pulling: Pulling, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unpack(*_: object) -> None:
        raise LayerError("it belongs to nobody", code="layer.foreign-owner")

    registry.add("team/app", "1", IMAGE)
    monkeypatch.setattr(pulling.store.snapshots, "unpack", unpack)
    pulling()
    (warned,) = [each for each in pulling.events.events if isinstance(each, Warned)]
    assert warned.diagnostic.notes[0] == "the image is pulled, but cannot be unpacked here"


def test_a_download_that_fails_ends_the_unpacking(pulling: Pulling, registry: Registry) -> None:
    registry.add("team/app", "1", IMAGE)
    layer = IMAGE.manifest.layers[0]
    registry.fault("GET", layer.digest, faults.cut(100_000))
    registry.fault("GET", layer.digest, faults.status(404), times=-1)
    with pytest.raises(RegistryError, match="not found"):
        pulling()
    assert pulling.directories() == 0
    assert os.listdir(f"{pulling.store.root}/active") == []


def test_a_layer_that_occurs_twice_is_fetched_once(pulling: Pulling, registry: Registry) -> None:
    layer = sticky({"base": noise(50_000)})
    image = sample_image(layer, tar({"x": b""}), layer)
    registry.add("team/app", "1", image)
    state = pulling()
    assert pulling.error is None
    assert registry.count("GET", image.manifest.layers[0].digest) == 1
    assert len(pulling.store.snapshots.directories(state)) == 2


def test_where_nothing_can_be_stacked_the_tree_of_the_state_is_made(
    pulling: Pulling, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots = pulling.store.snapshots
    monkeypatch.setattr(snapshots, "_chosen", CopyingSnapshotter(snapshots))
    registry.add("team/app", "1", IMAGE)
    state = pulling()
    assert pulling.error is None
    pulling.jobs.called.clear()
    (tree,) = snapshots.directories(state)
    assert pulling.jobs.called == []
    assert Path(tree, "base").stat().st_size == 500_000
    assert Path(tree, "etc/x").read_bytes() == b"2"
    assert Path(tree, "tmp").stat().st_mode & 0o7777 == 0o1777


def test_a_tree_holds_nothing_of_a_blob_that_came_wrong_at_first(
    pulling: Pulling, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots = pulling.store.snapshots
    monkeypatch.setattr(snapshots, "_chosen", CopyingSnapshotter(snapshots))
    registry.add("team/app", "1", IMAGE)
    layer = IMAGE.manifest.layers[1]
    evil = gzip.compress(tar({"evil": noise(layer.size * 2)}), 0)[: layer.size]
    registry.fault("GET", layer.digest, faults.body(evil))
    state = pulling()
    (tree,) = snapshots.directories(state)
    assert sorted(os.listdir(tree)) == ["base", "etc", "tmp"]
