"""Lists, details, removal of images and of what nothing needs, in a real store; jobs run in this process."""

from __future__ import annotations

import gzip
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from builder.engine import listing, shelf
from builder.engine.catalogue import Catalogue, rfc3339
from builder.errors import ImageError, StoreError
from builder.graph.keys import CacheKey, KeyPart
from builder.oci.config import History, ImageConfig
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.document import config_bytes
from builder.oci.manifest import build_index, build_manifest
from builder.oci.mediatypes import OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP
from builder.oci.reference import Reference
from builder.store.layers import Layer, State
from builder.store.needs import selection_of
from builder.store.pruning import Pruning
from builder.store.root import Store
from tests.support.jobs import JobsHere
from tests.support.sample_image import SampleImage, noise, sample_image, tar

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="jobs without walls need root")

ROOMS = ("blobs/sha256", "entries", "layers", "active", "contexts")


class Shelf:
    """A store that fills as by builds and pulls."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.jobs = JobsHere()
        self.store = Store(str(root), self.jobs)
        self.catalogue = Catalogue(self.store)
        self._created = 0

    def pull(self, sample: SampleImage, *names: str, index: bool = False) -> str:
        """Store an image as a pull does; return its id."""
        for data in (*sample.blobs.values(), sample.manifest.raw):
            self.store.blobs.add(data, media_type="")
        digest = sample.manifest.descriptor().digest
        if index:
            above = build_index([sample.manifest.descriptor()])
            self.store.blobs.add(above.raw, media_type=above.media_type)
            digest = above.descriptor().digest
        image_id = self.catalogue.register_pulled(sample.manifest, sample.config)
        for name in names:
            self.catalogue.name(Reference.parse(name), image_id, str(digest))
        return image_id

    def step(
        self, base: State, key: str, files: Mapping[str, str], *, contents: str | None = None
    ) -> State:
        """Write files above a state, as a step does whose key is `key`; `contents` is what it copied."""
        with self.store.snapshots.prepare(base) as active:
            for name, text in files.items():
                path = Path(active.upper, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            layer = self.store.snapshots.commit(active)
        self.record(base, key, layer, contents=contents)
        return base.with_layer(layer)

    def record(self, base: State, key: str, layer: Layer, *, contents: str | None = None) -> None:
        """Record a step."""
        parts = (KeyPart("operation", key), *([KeyPart("contents", contents)] if contents else ()))
        self.store.cache.record(CacheKey(key, parts), base.id, layer.diff_id, ())

    def selected(self, state: State, contents: str) -> None:
        """Remember what a copy selected in a state."""
        self.store.cache.remember_selection(selection_of(state.id), f"of {contents}", contents)

    def built(self, state: State, *names: str) -> str:
        """Make an image of a state, as a build does; return its id."""
        self._created += 1
        config = ImageConfig(
            architecture="amd64",
            os="linux",
            created=rfc3339(1_700_000_000 + self._created),
            diff_ids=tuple(layer.diff_id for layer in state.layers),
            history=tuple(History(created_by="COPY") for _ in state.layers),
        )
        image_id = self.catalogue.add(config)
        for name in names:
            self.catalogue.name(Reference.parse(name), image_id)
        return image_id

    def prune(self, *, all_images: bool = False) -> tuple[str, ...]:
        """Prune, and check that the bytes given back are those that are gone."""
        before = self.bytes()
        result = shelf.prune(self.store, Pruning(everything=all_images))
        assert result.bytes == before - self.bytes()
        return result.removed

    def bytes(self) -> int:
        """Return the bytes of all blocks in the rooms of the store."""
        found = [path.lstat() for room in ROOMS for path in (self.root / room).rglob("*")]
        return sum({status.st_ino: status.st_blocks * 512 for status in found}.values())

    def left(self) -> list[str]:
        """Return the names in the rooms of the store."""
        return [f"{room}/{name}" for room in ROOMS for name in os.listdir(self.root / room)]

    def records(self) -> list[str]:
        """Return the keys on record."""
        return sorted(str(row[0]) for row in self.store.db.rows("SELECT key FROM records"))


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Shelf]:
    """An empty store."""
    one = Shelf(tmp_path / "store")
    yield one
    one.store.close()


def files_of(kept: Shelf, state: State) -> set[str]:
    """Return the files that a state's directory forms hold, made anew where they are missing."""
    found: set[str] = set()
    for directory in kept.store.snapshots.directories(state):
        found |= {str(path.relative_to(directory)) for path in Path(directory).rglob("*")}
    return found


def test_images_are_listed_with_all_names_the_newest_first(kept: Shelf) -> None:
    old = kept.pull(sample_image(), "alpine:3", "ghcr.io/me/alpine:3", index=True)
    state = kept.step(State(), "a", {"f": "x"})
    new = kept.built(state, "localhost:5000/app:1")
    nameless = kept.built(state)
    rows = listing.images(kept.store)
    assert [row.id for row in rows] == [old, nameless, new]
    assert rows[0].names == ("alpine:3", "ghcr.io/me/alpine:3")
    assert rows[0].digest == kept.store.images.names(old)[0].digest
    assert rows[0].digest is not None
    assert [row.names for row in rows[1:]] == [(), ("localhost:5000/app:1",)]
    assert rows[2].size == state.layers[0].size > 0


def test_a_size_is_that_of_the_files_as_soon_as_it_is_known(kept: Shelf) -> None:
    image_id = kept.pull(sample_image(tar({"f": bytes(1 << 20)})), "zeros")
    assert listing.images(kept.store)[0].size < 1 << 16
    kept.store.snapshots.directories(kept.catalogue.open(image_id).state)
    assert listing.images(kept.store)[0].size > 1 << 20
    assert shelf.inspect(kept.store, "zeros")["Size"] == listing.images(kept.store)[0].size


def test_an_image_with_a_damaged_configuration_is_listed_and_can_be_removed(kept: Shelf) -> None:
    image_id = kept.built(kept.step(State(), "a", {"f": "x"}), "app")
    Path(kept.store.blobs.path(Digest(image_id))).write_bytes(b"{}")
    with pytest.raises(StoreError):
        shelf.inspect(kept.store, "app")
    assert [row.id for row in listing.images(kept.store)] == [image_id]
    kept.prune()
    assert [row.id for row in listing.images(kept.store)] == [image_id]
    assert removed(kept, "app")[-1] == f"Deleted: {image_id}"


def test_history_gives_each_layers_size_to_the_line_that_made_it(kept: Shelf) -> None:
    config = ImageConfig(
        architecture="amd64",
        os="linux",
        diff_ids=tuple(
            str(kept.store.blobs.add(data, media_type=OCI_LAYER).digest)
            for data in (tar({"a": b"1"}), tar({"b": bytes(5000)}))
        ),
        history=(
            History(created_by="ADD a", created="2024-01-01T00:00:00Z"),
            History(created_by="ENV X=1", empty_layer=True),
            History(created_by="COPY b", comment="ours"),
            History(created_by="CMD x", empty_layer=True),
        ),
    )
    for diff_id, size in zip(config.diff_ids, (10240, 20480), strict=True):
        kept.store.layers.add(Layer(diff_id, diff_id[7:], size, 1, 0.0))
    image_id = kept.catalogue.add(config)
    kept.catalogue.name(Reference.parse("x"), image_id)
    rows = shelf.history(kept.store, "x")
    assert [(row.created_by, row.size) for row in rows] == [
        ("CMD x", 0),
        ("COPY b", 20480),
        ("ENV X=1", 0),
        ("ADD a", 10240),
    ]
    assert [row.id for row in rows] == [image_id, None, None, None]
    assert (rows[1].comment, rows[3].created) == ("ours", "2024-01-01T00:00:00Z")


def test_inspect_has_the_shape_of_docker(kept: Shelf) -> None:
    sample = sample_image(architecture="arm", variant="v6")
    image_id = kept.pull(sample, "alpine:3", "alpine:latest", "quay.io/a/b:1")
    digest = sample.manifest.descriptor().digest
    found = shelf.inspect(kept.store, image_id[7:19])
    assert found == {
        "Id": image_id,
        "RepoTags": ["alpine:3", "alpine:latest", "quay.io/a/b:1"],
        "RepoDigests": [f"alpine@{digest}", f"quay.io/a/b@{digest}"],
        "Parent": "",
        "Comment": "",
        "Created": "2024-01-01T00:00:00Z",
        "DockerVersion": "",
        "Author": "",
        "Config": {"Env": ["PATH=/bin"], "Cmd": ["/hello"]},
        "Architecture": "arm",
        "Variant": "v6",
        "Os": "linux",
        "Size": sample.manifest.layers[0].size,
        "RootFS": {"Type": "layers", "Layers": list(sample.config.diff_ids)},
        "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
        "Descriptor": {
            "mediaType": sample.manifest.media_type,
            "digest": str(digest),
            "size": len(sample.manifest.raw),
        },
    }


def test_a_name_by_digest_is_no_tag(kept: Shelf) -> None:
    sample = sample_image()
    digest = sample.manifest.descriptor().digest
    kept.pull(sample, f"alpine@{digest}")
    found = shelf.inspect(kept.store, f"alpine@{digest}")
    assert (found["RepoTags"], found["RepoDigests"]) == ([], [f"alpine@{digest}"])


def test_an_unknown_image_is_refused_with_the_nearest(kept: Shelf) -> None:
    kept.pull(sample_image(), "alpine:3")
    for ask in (shelf.inspect, shelf.history):
        with pytest.raises(ImageError, match="No such image: alpin:3") as caught:
            ask(kept.store, "alpin:3")
        assert "alpine:3" in (caught.value.hint or "")


def removed(kept: Shelf, *names: str, force: bool = False) -> tuple[str, ...]:
    """Remove images, all of which have to go."""
    result = shelf.remove(kept.store, names, force=force)
    assert result.errors == ()
    return result.removed


def test_an_image_goes_with_its_last_name(kept: Shelf) -> None:
    image_id = kept.pull(sample_image(), "a:1", "b:1")
    assert removed(kept, "a:1") == ("Untagged: a:1",)
    assert removed(kept, "b:1") == ("Untagged: b:1", f"Deleted: {image_id}")
    assert listing.images(kept.store) == ()


def test_an_id_takes_one_name_along_but_several_only_by_force(kept: Shelf) -> None:
    image_id = kept.pull(sample_image(), "a:1", "b:1")
    short = image_id[7:19]
    (error,) = shelf.remove(kept.store, (short,)).errors
    assert f"unable to delete {short} (must be forced)" in error.message
    assert error.code == "image.in-use"
    assert error.notes == ("a:1", "b:1")
    assert removed(kept, short, force=True) == (
        "Untagged: a:1",
        "Untagged: b:1",
        f"Deleted: {image_id}",
    )
    again = kept.pull(sample_image(), "a:1")
    assert removed(kept, again)[-1] == f"Deleted: {again}"


@pytest.mark.parametrize("force", [False, True])
def test_a_digest_takes_no_name_along(kept: Shelf, force: bool) -> None:
    sample = sample_image()
    kept.pull(sample, "a:1", "b:1")
    digest = sample.manifest.descriptor().digest
    assert removed(kept, f"a@{digest}", force=force) == (f"Untagged: a@{digest}",)
    left = shelf.inspect(kept.store, "a:1")
    assert (left["RepoTags"], left["RepoDigests"]) == (["a:1", "b:1"], [f"b@{digest}"])
    (error,) = shelf.remove(kept.store, (f"a@{digest}",)).errors
    assert error.message == f"No such image: a@{digest}"


def test_what_is_there_is_removed_if_another_is_not(kept: Shelf) -> None:
    kept.pull(sample_image(), "a:1")
    result = shelf.remove(kept.store, ("nowhere", "a:1", "b:1"))
    assert [error.message for error in result.errors] == [
        "No such image: nowhere",
        "No such image: b:1",
    ]
    assert result.removed[0] == "Untagged: a:1"
    assert listing.images(kept.store) == ()


def test_all_images_can_be_removed_at_once(kept: Shelf) -> None:
    kept.pull(sample_image(), "a:1", "b:1")
    kept.built(State())
    assert len(shelf.remove_all(kept.store).removed) == 4
    assert listing.images(kept.store) == ()


def test_force_does_not_guess(kept: Shelf) -> None:
    for number in range(40):
        kept.built(State(), f"a:{number}")
    first = {row.id[7:8] for row in listing.images(kept.store)}
    ids = [row.id for row in listing.images(kept.store)]
    shared = next(digit for digit in first if sum(each[7:8] == digit for each in ids) > 1)
    result = shelf.remove(kept.store, (shared,), force=True)
    assert "several image ids" in result.errors[0].message
    assert result.removed == ()


def test_removal_leaves_what_other_images_and_the_cache_need(kept: Shelf) -> None:
    below = kept.step(State(), "below", {"shared": "x"})
    above = kept.step(below, "above", {"own": "x"})
    kept.built(below, "base")
    kept.built(above, "app")
    shelf.remove(kept.store, ("base",), force=False)
    assert files_of(kept, kept.catalogue.open(kept.catalogue.find("app")[0]).state) == {
        "shared",
        "own",
    }
    shelf.remove(kept.store, ("app",), force=False)
    assert kept.records() == ["above", "below"]
    assert files_of(kept, above) == {"shared", "own"}


def test_prune_keeps_images_with_names_and_all_that_they_need(kept: Shelf) -> None:
    base = kept.pull(sample_image(), "base", index=True)
    state = kept.step(kept.catalogue.open(base).state, "run", {"made": "x"})
    kept.built(state, "app")
    kept.prune()
    assert kept.prune() == ()
    assert {name for row in listing.images(kept.store) for name in row.names} == {
        "base:latest",
        "app:latest",
    }
    assert kept.records() == ["run"]
    assert files_of(kept, state) == {"hello", "made"}
    for name in kept.store.images.names(base):
        assert kept.store.blobs.contains(Digest(name.digest or ""))


def test_prune_removes_images_without_names_and_their_layers(kept: Shelf) -> None:
    below = kept.step(State(), "below", {"shared": "x"})
    kept.built(below, "base")
    dangling = kept.built(kept.step(below, "old", {"big": "x" * 100_000}))
    lines = kept.prune()
    assert lines == (f"Deleted: {dangling}", "Deleted: 1 cache record", "Deleted: 1 layer")
    assert kept.records() == ["below"]
    assert files_of(kept, below) == {"shared"}


def test_prune_of_all_leaves_nothing(kept: Shelf) -> None:
    base = kept.pull(sample_image(), "base", index=True)
    app = kept.built(kept.step(kept.catalogue.open(base).state, "run", {"made": "x"}), "app")
    kept.store.cache.remember_parsed("d", b"x")
    (kept.root / "contexts" / ("a" * 64)).write_bytes(b"known files")
    lines = kept.prune(all_images=True)
    assert set(lines) == {
        "Untagged: base:latest",
        f"Deleted: {base}",
        "Untagged: app:latest",
        f"Deleted: {app}",
        "Deleted: 1 cache record",
        "Deleted: 2 layers",
    }
    assert kept.left() == []
    for table in ("images", "names", "layers", "directories", "blobs", "records", "parses"):
        assert kept.store.db.rows(f"SELECT * FROM {table}") == []


def test_prune_keeps_the_cache_of_the_stages_that_an_image_copies_from(kept: Shelf) -> None:
    base = kept.catalogue.open(kept.pull(sample_image(), "base")).state
    stage = kept.step(kept.step(base, "install", {"tool": "x"}), "compile", {"out": "v1"})
    other = kept.step(base, "unrelated", {"scrap": "x"})
    kept.selected(stage, "contents of out")
    kept.selected(other, "contents of scrap")
    kept.built(kept.step(State(), "copy", {"app": "v1"}, contents="contents of out"), "app")
    kept.prune()
    assert kept.records() == ["compile", "copy", "install"]
    assert files_of(kept, stage) == {"hello", "tool", "out"}
    assert kept.store.db.rows("SELECT contents FROM selections") == [("contents of out",)]


def test_of_two_stages_with_the_same_result_prune_keeps_the_newer(kept: Shelf) -> None:
    stages = []
    for version in ("old", "new"):
        stage = kept.step(State(), version, {"source": version})
        kept.selected(stage, "same")
        stages.append(stage)
    kept.built(kept.step(State(), "copy", {"app": "x"}, contents="same"), "app")
    kept.prune()
    assert kept.records() == ["copy", "new"]
    assert files_of(kept, stages[1]) == {"source"}


def test_prune_does_not_keep_what_a_layer_once_lay_upon(kept: Shelf) -> None:
    old = kept.step(State(), "old base", {"release": "1"})
    new = kept.step(State(), "new base", {"release": "2"})
    copied = kept.step(old, "copy", {"app": "x"}).layers[-1]
    kept.record(new, "copy", copied)
    kept.built(new.with_layer(copied), "app")
    kept.prune()
    assert kept.records() == ["copy", "copy", "new base"]


def test_prune_keeps_every_blob_that_a_manifest_lists(kept: Shelf) -> None:
    data = tar({"f": noise(5000)})
    one = sample_image(data)
    blob = gzip.compress(data, 9, mtime=7)
    config = ImageConfig(architecture="arm64", os="linux", diff_ids=one.config.diff_ids)
    blobs = {Digest.of(each): each for each in (blob, config_bytes(config))}
    layer, document = (
        Descriptor(media_type=media_type, digest=digest, size=len(blobs[digest]))
        for media_type, digest in zip((OCI_LAYER_GZIP, OCI_CONFIG), blobs, strict=True)
    )
    other = SampleImage(
        manifest=build_manifest(document, [layer]),
        config=config,
        blobs={str(digest): data for digest, data in blobs.items()},
    )
    kept.pull(one, "one")
    kept.pull(other, "other")
    assert kept.prune() == ()
    for each in (one, other):
        assert kept.store.blobs.contains(each.manifest.layers[0].digest)


def test_prune_removes_files_that_nothing_mentions(kept: Shelf) -> None:
    state = kept.step(State(), "a", {"f": "x"})
    kept.built(state, "app")
    before = sorted(kept.left())
    lost = "0123456789abcdef" + 8 * "0"
    for path in (
        f"layers/{lost}/fs/deep/file",
        f"active/{lost}/fs/file",
        f"entries/{64 * '0'}",
        f"contexts/{64 * '0'}.1.2",
    ):
        (kept.root / path).parent.mkdir(parents=True, exist_ok=True)
        (kept.root / path).write_text("x" * 10_000)
    os.link(kept.root / f"layers/{lost}/fs/deep/file", kept.root / f"layers/{lost}/fs/again")
    (kept.root / "blobs/sha256" / ("0" * 64)).write_text("x" * 10_000)
    kept.prune()
    assert sorted(kept.left()) == before


def test_a_prune_that_was_killed_is_finished_by_the_next(tmp_path: Path) -> None:
    for calls in range(1, 7):
        root = tmp_path / f"store{calls}"
        filled = Shelf(root)
        base = filled.step(State(), "below", {"shared": "x"})
        filled.built(base, "base")
        for number in range(2):
            filled.built(filled.step(base, f"old{number}", {"big": str(number) * 50_000}))
        filled.store.close()
        _killed_while_pruning(root, calls)
        again = Shelf(root)
        again.prune()
        assert [row.names for row in listing.images(again.store)] == [("base:latest",)]
        assert len(os.listdir(root / "layers")) == len(os.listdir(root / "entries")) == 1
        assert len(os.listdir(root / "blobs/sha256")) == 1
        assert files_of(again, base) == {"shared"}
        again.store.close()


def _killed_while_pruning(root: Path, calls: int) -> None:
    """Prune in another process, which is killed at its `calls`-th job, if there are as many."""
    pid = os.fork()
    if pid == 0:
        try:
            shelf.prune(Store(str(root), KilledAt(calls)), Pruning())
        finally:
            os._exit(0)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFEXITED(status) or os.WTERMSIG(status) == signal.SIGKILL


class KilledAt(JobsHere):
    """Kills its process instead of a job."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self._left = calls

    def call(self, function: str, arguments: object, **options: Any) -> object:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().call(function, arguments, **options)


def test_prune_leaves_alone_what_others_use(kept: Shelf) -> None:
    used = kept.step(State(), "a", {"f": "x"})
    kept.built(used, "app")
    kept.step(State(), "b", {"g": "y"})
    kept.store.close()
    one, other = Shelf(kept.root), Shelf(kept.root)
    image = other.catalogue.by_reference(Reference.parse("app"))
    assert image is not None
    assert one.prune(all_images=True) == ("Deleted: 1 cache record", "Deleted: 1 layer")
    assert files_of(other, image.state) == {"f"}
    assert one.records() == ["a"]
    other.store.close()
    assert one.prune(all_images=True) == (
        "Untagged: app:latest",
        f"Deleted: {image.id}",
        "Deleted: 1 cache record",
        "Deleted: 1 layer",
    )
    kept.store = one.store


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """A store with the image `base`, where another command prunes as soon as this one has found something."""
    one, other = Shelf(tmp_path / "store"), Shelf(tmp_path / "store")
    other.pull(sample_image(), "base")

    def then_pruned(look: Callable[..., Any]) -> Callable[..., Any]:
        def looked(*words: str) -> Any:
            found = look(*words)
            if found:
                shelf.prune(other.store, Pruning(everything=True))
            return found

        return looked

    for what in ("name", "starting_with", "names"):
        monkeypatch.setattr(one.store.images, what, then_pruned(getattr(one.store.images, what)))
    yield one
    one.store.close()
    other.store.close()


def test_a_name_that_goes_while_it_is_looked_up_is_gone(beside: Shelf) -> None:
    assert beside.catalogue.by_reference(Reference.parse("base")) is None


@pytest.mark.parametrize("by", ["base", "id"])
def test_an_image_that_goes_while_it_is_looked_up_is_not_found(beside: Shelf, by: str) -> None:
    (stored,) = beside.store.images.all()
    with pytest.raises(ImageError, match="No such image"):
        beside.catalogue.find(by if by == "base" else stored.id)
