"""What every verb about images takes for an image: names, tags, digests, ids and beginnings of ids."""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import os
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from builder.cli.application import main
from builder.cli.invocation import Invocation
from builder.engine import Engine
from builder.engine.catalogue import Catalogue
from builder.oci.config import History, ImageConfig
from builder.oci.reference import Reference
from builder.settings import Settings
from builder.store.root import Store
from tests.support.file_server import File, serving_files
from tests.support.jobs import JobsHere
from tests.support.registry import Registry, hostile_registry
from tests.support.sample_image import SampleImage, sample_image, tar

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="jobs without walls need root")


class Desk:
    """The command line over a store with images; `run` returns the exit code and what was printed."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.store = Store(str(root), JobsHere())
        self.catalogue = Catalogue(self.store)
        self.capsys = capsys

    @contextmanager
    def open(self, settings: Settings, _launcher: object) -> Iterator[Engine]:
        behind: Any = SimpleNamespace(cancellation=SimpleNamespace(cancelled=False, cancel=None))
        yield Engine(settings, self.store, behind)

    def run(self, *words: str, code: int = 0) -> SimpleNamespace:
        found = main(list(words), Invocation(open_engine=self.open))
        captured = self.capsys.readouterr()
        assert found == code, captured.err
        return SimpleNamespace(out=captured.out, err=captured.err)

    def pull(self, sample: SampleImage, *names: str) -> str:
        """Store an image as a pull does; return its id."""
        for data in (*sample.blobs.values(), sample.manifest.raw):
            self.store.blobs.add(data, media_type="")
        image_id = self.catalogue.register_pulled(sample.manifest, sample.config)
        for name in names:
            digest = str(sample.manifest.descriptor().digest)
            self.catalogue.name(Reference.parse(name), image_id, digest)
        return image_id

    def build(self, name: str, author: str) -> str:
        """Store an image without layers, as a build does; return its id."""
        config = ImageConfig(
            architecture="amd64",
            os="linux",
            author=author,
            history=(History(created_by="CMD", empty_layer=True),),
        )
        image_id = self.catalogue.add(config)
        self.catalogue.name(Reference.parse(name), image_id)
        return image_id


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    found = Desk(tmp_path, capsys)
    yield found
    found.store.close()


SAMPLE = sample_image(tar({"a": b"1"}))
DIGEST = str(SAMPLE.manifest.descriptor().digest)
ID = str(SAMPLE.manifest.config.digest)
HEX = ID.removeprefix("sha256:")
SPELLINGS = (
    "box",
    "box:latest",
    "docker.io/library/box",
    "docker.io/box:latest",
    "index.docker.io/library/box:latest",
    f"box@{DIGEST}",
    f"box:latest@{DIGEST}",
    ID,
    HEX,
    HEX[:12],
    HEX[:6],
    f"sha256:{HEX[:9]}",
)
NONE = ("bx", "box:2", f"box@sha256:{'0' * 64}", f"other@{DIGEST}", "0" * 12, "sha256:" + "0" * 64)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_verb_takes_every_spelling(desk: Desk, spelling: str, tmp_path: Path) -> None:
    desk.pull(SAMPLE, "box")
    desk.build("other:1", "somebody")
    (found,) = json.loads(desk.run("inspect", spelling).out)
    assert found["Id"] == ID
    assert desk.run("history", "-q", "--no-trunc", spelling).err == ""
    desk.run("save", "-o", str(tmp_path / "saved.tar"), spelling)
    with tarfile.open(tmp_path / "saved.tar") as archive:
        stream = archive.extractfile("manifest.json")
        assert stream is not None
        (entry,) = json.load(stream)
    assert HEX in entry["Config"]
    desk.run("tag", spelling, "copy:1")
    assert desk.run("images", "-q", "--no-trunc", "copy").out == f"{ID}\n"
    assert desk.run("images", "-q", "--no-trunc", "-f", f"since={spelling}").out != f"{ID}\n"
    desk.run("rmi", "copy:1")
    if "@" in spelling:  # what it names goes, and that is no name: as with Docker, these stay
        assert desk.run("rmi", spelling).out.splitlines() == [f"Untagged: {spelling}"]
        spelling = "box"
    assert desk.run("rmi", spelling).out.splitlines() == ["Untagged: box:latest", f"Deleted: {ID}"]


@pytest.mark.parametrize("spelling", NONE)
def test_no_verb_takes_what_is_not_here(desk: Desk, spelling: str, tmp_path: Path) -> None:
    desk.pull(SAMPLE, "box")
    saving = ("save", "-o", str(tmp_path / "saved.tar"))
    for words in (("history",), saving, ("rmi",), ("image", "inspect")):
        assert f"No such image: {spelling}" in desk.run(*words, spelling, code=1).err
    assert "No such object" in desk.run("inspect", spelling, code=1).err
    assert f"No such image: {spelling}" in desk.run("tag", spelling, "copy", code=1).err
    assert os.listdir(tmp_path).count("saved.tar") == 0


def test_a_beginning_of_several_ids_is_refused(desk: Desk, tmp_path: Path) -> None:
    ids = [desk.build(f"a:{number}", str(number)) for number in range(40)]
    first = next(each[7] for each in ids if sum(other[7] == each[7] for other in ids) > 1)
    saving = ("save", "-o", str(tmp_path / "saved.tar"))
    for words in (("history",), ("inspect",), ("rmi", "-f"), saving):
        assert "several image ids" in desk.run(*words, first, code=1).err
    assert len(desk.run("images", "-q").out.splitlines()) == 40


def test_a_repository_alone_is_saved_with_all_its_tags(desk: Desk, tmp_path: Path) -> None:
    desk.build("app:1", "one")
    desk.build("app:2", "two")
    desk.build("team/app:3", "three")
    desk.run("save", "-o", str(tmp_path / "saved.tar"), "app")
    with tarfile.open(tmp_path / "saved.tar") as archive:
        stream = archive.extractfile("manifest.json")
        assert stream is not None
        found = sorted(tag for entry in json.load(stream) for tag in entry["RepoTags"])
    assert found == ["app:1", "app:2"]


@pytest.fixture
def registry() -> Iterator[Registry]:
    with hostile_registry() as running:
        yield running


def test_push_takes_names_alone(desk: Desk, registry: Registry) -> None:
    name = f"{registry.host}/box"
    desk.pull(SAMPLE, f"{name}:1", f"{name}:2")
    for spelling in (ID, HEX, HEX[:12], f"{name}@{DIGEST}"):
        desk.run("push", spelling, code=125 if "@" in spelling else 1)
    told = desk.run("push", f"{name}:1").out.splitlines()
    assert told[0] == f"The push refers to repository [{name}]"
    assert told[1].startswith(f"1: digest: {DIGEST} size: ")
    assert desk.run("push", "-a", name).out.splitlines()[1:] == [
        f"1: digest: {DIGEST} size: {len(SAMPLE.manifest.raw)}",
        f"2: digest: {DIGEST} size: {len(SAMPLE.manifest.raw)}",
    ]


def test_pull_says_whether_something_came(desk: Desk, registry: Registry) -> None:
    registry.add("box", "1", SAMPLE)
    registry.add("box", "2", sample_image(tar({"b": b"2"})))
    name = f"{registry.host}/box"
    assert desk.run("pull", f"{name}:1").out.splitlines() == [
        "1: Pulling from box",
        f"Digest: {DIGEST}",
        f"Status: Downloaded newer image for {name}:1",
        f"{name}:1",
    ]
    again = desk.run("pull", f"{name}:1").out.splitlines()
    assert again[2] == f"Status: Image is up to date for {name}:1"
    # Also where only the digest was not known any more.
    desk.run("rmi", f"{name}@{DIGEST}")
    again = desk.run("pull", f"{name}:1").out.splitlines()
    assert again[2] == f"Status: Image is up to date for {name}:1"
    by_digest = desk.run("pull", f"{name}@{DIGEST}").out.splitlines()
    assert by_digest[0] == f"{name}@{DIGEST}: Pulling from box"
    assert by_digest[-1] == f"{name}@{DIGEST}"
    everything = desk.run("pull", "-a", name).out.splitlines()
    assert [line for line in everything if line.startswith("Status")] == [
        f"Status: Image is up to date for {name}:1",
        f"Status: Downloaded newer image for {name}:2",
    ]
    assert len(desk.run("images", "--format", "{{.Tag}}", name).out.splitlines()) == 3


def test_names_of_images_do_not_reach_a_terminal_as_they_are(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.build("app:1", "\x1b]0;owned\x07\u202e")
    form = ("inspect", "-f", "{{.Author}}", "app:1")
    assert desk.run(*form).out == "\x1b]0;owned\x07\u202e\n"
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", terminal)
    desk.run(*form)
    desk.run("inspect", "app:1")
    assert "\x1b" not in terminal.getvalue()
    assert "\u202e" not in terminal.getvalue()
    assert terminal.getvalue().startswith("␛]0;owned␇\\u202e\n")


def test_an_image_is_imported_from_a_server(desk: Desk) -> None:
    with serving_files() as server:
        server.files["/rootfs.tar.xz"] = File(lzma.compress(tar({"a": b"1"})))
        url = server.url("/rootfs.tar.xz").replace("http://", "http://ada:secret@")
        desk.run("import", "--platform", "linux/arm64", "-c", "CMD x", url, "fetched:1")
        assert "does not exist" in desk.run("import", server.url("/none"), "x:1", code=1).err
    (found,) = json.loads(desk.run("inspect", "fetched:1").out)
    assert (found["Architecture"], found["Config"]["Cmd"]) == ("arm64", ["/bin/sh", "-c", "x"])
    assert "secret" not in json.dumps(found)
    assert "Imported from http://ada:" in found["Comment"]
    assert desk.run("images", "-q", "x").out == ""


def test_images_are_saved_to_a_directory(desk: Desk, tmp_path: Path) -> None:
    desk.pull(SAMPLE, "box:1")
    place = tmp_path / "layout"
    desk.run("save", "--format", "oci-dir", "-o", str(place), "box:1")
    index = json.loads((place / "index.json").read_bytes())
    (entry,) = index["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == "docker.io/library/box:1"
    for path in (place / "blobs/sha256").iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    desk.run("save", "--platform", "linux/s390x", "-o", str(tmp_path / "x.tar"), "box:1", code=1)
    assert not (tmp_path / "x.tar").exists()
