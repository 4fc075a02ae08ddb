"""Builds inside a container as Docker starts it by default, and where that lets namespaces through."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.busybox_base import find_busybox
from tests.support.docker_bundle import Profile, run_in_container


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory on another file system than the machine's root, which is the container's image."""
    if os.geteuid() != 0:
        pytest.skip("containers are run by runc as root")
    if shutil.which("runc") is None:
        pytest.skip("runc is not installed")
    with tempfile.TemporaryDirectory(prefix="lapstrake-tests-", dir="/dev/shm") as name:
        yield Path(name)


@pytest.mark.parametrize(
    ("profile", "walls", "said"),
    [
        (Profile.DEFAULT, "chroot", "steps run without walls"),
        (Profile.NAMESPACES, "auto", "Built "),
    ],
)
def test_a_store_on_the_container_s_own_file_system_serves(
    place: Path, profile: Profile, walls: str, said: str
) -> None:
    context = place / "context"
    context.mkdir()
    busybox = find_busybox()
    assert busybox is not None
    shutil.copy(busybox, context / "busybox")
    (context / "Dockerfile").write_text(
        'FROM scratch\nCOPY busybox /bin/sh\nRUN ["/bin/sh", "-c", "echo made > /made"]\n'
        "RUN while read word; do echo it was $word; done < /made\n"
    )
    program = Path(sys.executable).parent / "lapstrake"
    done = run_in_container(
        Path("/"),
        [str(program), "--root", "/store", "build", "--progress=plain", "/src"],
        place / "container",
        profile=profile,
        environment={"LAPSTRAKE_ISOLATION": walls, "HOME": "/root"},
        volumes={"/src": context},
    )
    assert done.returncode == 0, done.stderr
    assert "it was made" in done.stderr
    assert said in done.stderr
