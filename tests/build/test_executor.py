"""The same builds once more, with every step executed by a process that gets plain data only."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from builder.errors import Cancelled
from builder.settings import PROCESS
from tests.build.workshop import Workshop, workshop_in

MODULES = (
    *("test_run.py", "test_copy.py", "test_cache.py", "test_mounts.py", "test_secrets.py"),
    *("test_stages.py", "test_scheduling.py", "test_add.py"),
)


@pytest.mark.parametrize(
    "module",
    [
        pytest.param(name, marks=() if name == "test_stages.py" else pytest.mark.slow)
        for name in MODULES
    ],
)
def test_builds_pass_the_same_tests(module: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"),
            *(f"--basetemp={tmp_path}/t", str(Path(__file__).parent / module)),
        ],
        env={**os.environ, "LAPSTRAKE_EXECUTOR": PROCESS},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]


def workers(root: Path) -> list[str]:
    """Return the processes that execute steps and were given this store."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
                maps = os.listdir(entry / "fd")
                held = [os.readlink(f"{entry}/fd/{each}") for each in maps]
            except OSError:
                continue
            if b"builder.solve.worker" in command and any(str(root) in each for each in held):
                found.append(entry.name)
    return found


def test_a_cancelled_build_ends_at_once_and_leaves_no_worker(tmp_path: Path, context: Path) -> None:
    with workshop_in(tmp_path, executor=PROCESS) as shop:
        began = time.monotonic()
        threading.Timer(1.5, shop.engine.cancellation.cancel).start()
        error = shop.refused(context, "RUN sleep 60")
        assert isinstance(error, Cancelled)
        assert time.monotonic() - began < 20
        assert _soon_empty(lambda: workers(shop.root))


def test_an_error_comes_back_with_its_place_and_what_was_said(
    tmp_path: Path, context: Path
) -> None:
    with workshop_in(tmp_path, executor=PROCESS) as shop:
        error = shop.refused(context, "RUN true\nRUN echo said; exit 7")
        assert error.code == "build.run-failed"
        assert error.span is not None
        assert error.span.line == 3
        assert error.notes == ("last output:\nsaid",)
        missing = shop.refused(context, "COPY --from=base /nothing /x")
        assert missing.code == "context.missing-source"


def _soon_empty(look: object) -> bool:
    assert callable(look)
    for _ in range(100):
        if not look():
            return True
        time.sleep(0.05)
    return False


def test_nothing_of_a_worker_is_left_when_a_build_has_ended(tmp_path: Path, context: Path) -> None:
    shop: Workshop
    with workshop_in(tmp_path, executor=PROCESS) as shop:
        built = shop.build(context, "RUN echo x >/x && ls /proc/self/fd | wc -l")
        assert int(built.watch.output()) <= 6
        assert shop.leftovers() == []
        assert _soon_empty(lambda: workers(shop.root))
