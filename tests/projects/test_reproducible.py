"""The same inputs give the same image, whatever the machine; `make repro` tries more machines and projects."""

from __future__ import annotations

import json
import os
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import machines
from tests.support.busybox_base import find_busybox
from tests.support.machines import COMPRESSIONS, EPOCH, Ground, Machine
from tests.support.product import Product
from tests.support.unprivileged import CHECKOUT


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


def test_a_base_is_the_same_however_it_came(place: Product, ground: Path, registry: str) -> None:
    base, room = f"{registry}/base:1", ground / "reproducible-page"
    place.run("tag", "busybox", base)
    place.run("push", base)
    archive = room / "base-of-others.tar"
    (room / "on-a-base").write_text(f"FROM {base}\nRUN echo built > /built\n")
    digests = set()
    for name in ("pulled", "copied", "loaded"):
        other = Product(place.programs, place.root.parent / name, place.person)
        if name == "copied":
            other.run("copy", f"docker://{base}", f"oci-archive:{archive}:{base}")
        if name != "pulled":
            other.run("load", "-i", archive)
        if name == "copied":
            other.run("save", "-o", archive, base)
        output = f"type=oci,dest={room}/of-{name}.tar,rewrite-timestamp=true"
        command = Product(
            other.programs, other.root, other.person, ("env", f"SOURCE_DATE_EPOCH={EPOCH}")
        )
        command.run("build", "-q", "-f", room / "on-a-base", "-o", output, room)
        with tarfile.open(room / f"of-{name}.tar") as layout:
            index = layout.extractfile("index.json")
            assert index is not None
            digests.add(json.load(index)["manifests"][0]["digest"])
    assert len(digests) == 1


# The pages

BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    texts = [
        (CHECKOUT / "docs" / name).read_text() for name in ("reproducible.md", "provenance.md")
    ]
    blocks = [block for text in texts for block in BLOCK.findall(text)]
    return [line for block in blocks for line in block.splitlines()]


@pytest.fixture(scope="module")
def place(products: dict[str, Product], bases: dict[str, Path], ground: Path) -> Product:
    """A product with a project of somebody who may nothing."""
    assert "busybox" in bases
    if not products:
        pytest.skip("nobody can build here")
    product = products.get("rootless") or products["root"]
    context = ground / "reproducible-page"
    context.mkdir()
    (context / "Dockerfile").write_text(
        "FROM busybox\nRUN echo built > /built\nCOPY Dockerfile /\n"
    )
    os.chown(context, product.person.uid, product.person.gid)
    name = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], [*name, "commit", "-qm", "first"]):
        done = product.person.run(["git", *words], cwd=context)
        assert done.returncode == 0, done.stderr
    return product


@pytest.mark.parametrize("command", commands())
def test_each_command_of_the_pages_does_what_it_says(
    place: Product, command: str, ground: Path, registry: str
) -> None:
    environment = {
        "PATH": f"{place.programs}:/usr/bin:/bin",
        "LAPSTRAKE_ROOT": str(place.root),
        "LAPSTRAKE_ISOLATION": "auto",
    }
    done = place.person.run(
        ["sh", "-ec", command.replace("registry.example.com", registry)],
        cwd=ground / "reproducible-page",
        environment=environment,
    )
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
