"""The same tests once more on hosts that allow less, made by taking things away from root."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sandbox.harness import skipped_for_lack_of_something
from tests.support.hosts import MASKED, ONE_ID, WITHOUT_MOUNTS, Host
from tests.support.unprivileged import CHECKOUT

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.skipif(os.geteuid() != 0, reason="optional: taking things away needs root"),
]


def run_on(host: Host, ground: Path, *words: str) -> str:
    """Run tests of this folder on a host; return what pytest said."""
    # fmt: off
    done = subprocess.run(
        host.command(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rs", f"--basetemp={ground}/t", *words),
        cwd=CHECKOUT, capture_output=True, text=True, timeout=600,
        env={**os.environ, "LAPSTRAKE_TEST_WALLS": host.walls.value, "LAPSTRAKE_TEST_HOST": host.name},
    )
    # fmt: on
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "passed" in done.stdout
    assert not skipped_for_lack_of_something(done.stdout)
    return done.stdout


@pytest.mark.parametrize(
    "module", ["test_run.py", "test_walls.py", "test_jobs.py", "test_mounts.py", "escape"]
)
@pytest.mark.parametrize("host", [WITHOUT_MOUNTS], ids=lambda host: host.name)
def test_the_walls_hold_there(host: Host, module: str, tmp_path: Path) -> None:
    run_on(host, tmp_path, f"tests/sandbox/{module}")


def test_what_a_container_hides_stays_hidden(tmp_path: Path) -> None:
    run_on(MASKED, tmp_path, "tests/sandbox/test_hidden_proc.py")


def test_nothing_gets_out_with_one_id(tmp_path: Path) -> None:
    run_on(ONE_ID, tmp_path, "tests/sandbox/escape")


@pytest.mark.parametrize("module", ["test_run", "test_walls", "test_mounts", "test_plain_roots"])
def test_the_walls_hold_with_one_id(module: str, tmp_path: Path) -> None:
    several_ids = "users_are_found or numeric_name_in_passwd or owner_that_was_asked or owner_that_were_asked or other_users"
    run_on(ONE_ID, tmp_path, "-k", f"not ({several_ids})", f"tests/sandbox/{module}.py")


@pytest.mark.parametrize("host", [WITHOUT_MOUNTS, ONE_ID], ids=lambda host: host.name)
def test_attacks_are_contained_there(host: Host, tmp_path: Path) -> None:
    # One of them makes up its own walls, with several ids.
    run_on(host, tmp_path, "-k", "not control_groups_of_a_bound_sysfs", "tests/sandbox/escape")
