"""A launcher behind the walls of whoever runs the tests, and busybox root file systems."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runtime.errors import Unsupported
from runtime.launch import Launcher
from tests.sandbox.harness import Sandbox, walls
from tests.support.hosts import MASKED
from tests.support.rootfs import BUSYBOX, make_rootfs
from tests.support.unprivileged import missing_for_rootless

collect_ignore = (
    [] if os.environ.get("LAPSTRAKE_TEST_HOST") == MASKED.name else ["test_hidden_proc.py"]
)


@pytest.fixture(scope="session")
def launcher() -> Iterator[Launcher]:
    """A launcher that may run jobs of the tests."""
    if not BUSYBOX.exists():
        pytest.skip("busybox is not installed (package busybox-static)")
    if os.geteuid() != 0 and (reason := missing_for_rootless()):
        pytest.skip(reason)
    one = Launcher.spawn(("tests.sandbox.jobs.",))
    try:
        one.open(walls())
    except Unsupported as error:
        one.close()
        pytest.skip(error.message)
    yield one
    one.close()


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root file system that has all that mounts need."""
    return make_rootfs(tmp_path_factory.mktemp("image") / "complete")


@pytest.fixture(scope="session")
def bare_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root file system without /proc, /sys, /dev, /etc/resolv.conf."""
    return make_rootfs(tmp_path_factory.mktemp("image") / "bare", complete=False)


@pytest.fixture
def sandbox(launcher: Launcher, image: Path, tmp_path: Path) -> Sandbox:
    """Commands over the complete image."""
    return Sandbox(launcher, tmp_path, image)


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Wait up to five seconds for something to become true."""

    def wait(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 5
        while not condition():
            assert time.monotonic() < end, "it did not happen within five seconds"
            time.sleep(0.01)

    return wait
