"""Real engines load what we write and we load what they write: Docker's, podman's and buildah's."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.engine.archives import load, save
from builder.engine.catalogue import Catalogue
from builder.store.root import Store
from tests.store.test_copying import NOT_FOR_DOCKER, copied
from tests.support.docker_engine import DockerEngine, docker_engine
from tests.support.jobs import JobsHere
from tests.support.sample_closures import KINDS, write_layout
from tests.support.unprivileged import public_directory

pytestmark = [pytest.mark.slow, pytest.mark.needs_root]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "store"), JobsHere()) as opened:
        yield opened


@pytest.fixture(scope="module")
def engine() -> Iterator[DockerEngine]:
    with public_directory("lapstrake-engine-") as directory, docker_engine(directory) as running:
        yield running


def config_ids(kind: str) -> set[str]:
    return {str(each.config.digest) for each in KINDS[kind]().closure.manifests}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in NOT_FOR_DOCKER])
def test_docker_loads_what_we_write(
    tmp_path: Path, store: Store, engine: DockerEngine, kind: str
) -> None:
    name = f"{kind.replace(' ', '-')}:1"
    layout = write_layout(tmp_path / "from", KINDS[kind]())
    copied(store, f"oci:{layout}", f"docker-archive:{tmp_path / 'out'}:{name}")
    loaded = engine.run("load", "-i", str(tmp_path / "out"))
    assert loaded.stdout.strip() == f"Loaded image: {name}", loaded.stderr
    found = engine.run("inspect", "--format", "{{.Id}}", name)
    assert found.stdout.strip() in config_ids(kind)
    with (tmp_path / "out").open("rb") as stream:
        assert load(store, stream) == (name,)
    with (tmp_path / "saved").open("wb") as stream:
        save(store, (name,), stream)
    assert engine.run("load", "-i", str(tmp_path / "saved")).returncode == 0


def test_we_load_what_docker_saves(tmp_path: Path, store: Store, engine: DockerEngine) -> None:
    for kind in ("oci", "two platforms"):
        layout = write_layout(tmp_path / kind, KINDS[kind]())
        out = tmp_path / f"{kind}.tar"
        copied(store, f"oci:{layout}", f"docker-archive:{out}:{kind.replace(' ', '-')}:2")
        assert engine.run("load", "-i", str(out)).returncode == 0
    saved = tmp_path / "saved.tar"
    assert engine.run("save", "-o", str(saved), "oci:2", "two-platforms:2").returncode == 0
    with saved.open("rb") as stream:
        assert set(load(store, stream)) == {"oci:2", "two-platforms:2"}
    assert Catalogue(store).find("oci:2")[0] in config_ids("oci")
    result = copied(store, f"docker-archive:{saved}:oci:2", f"oci:{tmp_path / 'to'}")
    assert result.made


class Podman:
    """podman and buildah with a storage of their own."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def run(self, *words: object, program: str = "podman") -> str:
        """Run a command; return what it says."""
        # fmt: off
        argv = [program, "--root", self._root / "root", "--runroot", self._root / "run",
                "--storage-driver", "vfs", *words]
        # fmt: on
        done = subprocess.run([*map(str, argv)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def podman() -> Iterator[Podman]:
    # Podman takes no long path for what it calls its run root.
    with public_directory("pod-") as directory:
        yield Podman(directory)


def test_podman_and_buildah_and_we_understand_each_other(
    tmp_path: Path, store: Store, podman: Podman
) -> None:
    layout = write_layout(tmp_path / "from", KINDS["two platforms"]())
    copied(store, f"oci:{layout}", f"docker-archive:{tmp_path / 'one'}:app:1")
    copied(store, f"oci:{layout}", f"oci-archive:{tmp_path / 'two'}:it")
    assert "app:1" in podman.run("load", "-i", tmp_path / "one")
    podman.run("pull", f"oci-archive:{tmp_path / 'two'}:it", program="buildah")
    for form in ("docker-archive", "oci-archive"):
        out = tmp_path / form
        podman.run("save", "--format", form, "-o", out, "app:1")
        with out.open("rb") as stream:
            assert load(store, stream) == ("app:1",)
        assert Catalogue(store).find("app:1")[0] in config_ids("two platforms")


def test_a_list_that_buildah_made_is_loaded_and_copied(
    tmp_path: Path, store: Store, podman: Podman
) -> None:
    layout = write_layout(tmp_path / "from", KINDS["two platforms"]())
    podman.run("manifest", "create", "made")
    podman.run("manifest", "add", "--all", "made", f"oci:{layout}:it")
    podman.run("manifest", "push", "--all", "made", f"oci-archive:{tmp_path / 'made.tar'}:made:1")
    with (tmp_path / "made.tar").open("rb") as stream:
        loaded = load(store, stream)
    images = {each.id for each in store.images.all()}
    assert images == config_ids("two platforms")
    assert loaded
    copied(store, f"oci-archive:{tmp_path / 'made.tar'}", f"oci:{tmp_path / 'to'}")
    index = json.loads((tmp_path / "to/index.json").read_text())
    assert (
        "index" in index["manifests"][0]["mediaType"]
        or "list" in index["manifests"][0]["mediaType"]
    )
