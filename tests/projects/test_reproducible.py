"""The same inputs give the same image, whatever the machine; `make repro` tries more machines and projects."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import machines
from tests.support.busybox_base import find_busybox
from tests.support.machines import COMPRESSIONS, EPOCH, Ground, Machine


@pytest.fixture(scope="module")
def at() -> Iterator[Ground]:
    if find_busybox() is None:
        pytest.skip("busybox-static is not installed")
    with machines.ground() as ground:
        yield ground


@pytest.fixture(scope="module")
def first(at: Ground) -> dict[str, str]:
    if not machines.usable(machines.FIRST):
        pytest.skip("other machines are stood in for by root")
    return machines.images(machines.FIRST, "every-step", at)


@pytest.mark.parametrize(
    "machine",
    [machines.CACHED, machines.ELSEWHERE, machines.CHROOT, machines.ROOTLESS],
    ids=lambda machine: machine.name,
)
def test_another_machine_comes_to_the_same_image(
    at: Ground, first: dict[str, str], machine: Machine
) -> None:
    if not machines.usable(machine):
        pytest.skip(f"`{machine.name}` is not possible here")
    found = machines.images(machine, "every-step", at)
    assert {key: found[key] for key in COMPRESSIONS} == {key: first[key] for key in COMPRESSIONS}


def test_only_times_that_say_something_are_kept(at: Ground, first: dict[str, str]) -> None:
    assert first
    archive = at.place / "first-every-step" / "uncompressed.tar"
    times = _times(archive)
    assert times["unpacked/old"] == 981_158_400
    assert times["unpacked/future"] == EPOCH
    assert {times[path] for path in ("run.txt", "added/a", "data/a", "last", "fifo")} == {EPOCH}
    assert times["out/old"] == 981_173_106


def _times(archive: Path) -> dict[str, int]:
    """Return the times in the layers above the base; the last one of a path counts."""
    found: dict[str, int] = {}
    with tarfile.open(archive) as layout:

        def blob(digest: str) -> object:
            stream = layout.extractfile(f"blobs/{digest.replace(':', '/')}")
            assert stream is not None
            return stream

        index = json.load(layout.extractfile("index.json"))  # type: ignore[arg-type]  # it is a file
        manifest = json.load(blob(index["manifests"][0]["digest"]))  # type: ignore[arg-type]  # likewise
        for layer in manifest["layers"][1:]:
            with tarfile.open(fileobj=blob(layer["digest"])) as tar:  # type: ignore[call-overload]  # likewise
                found |= {member.name: int(member.mtime) for member in tar}
    return found
