"""The same tests once more, as a user without privileges."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.support.unprivileged import missing_for_rootless, public_directory, unprivileged

ROOT = Path(__file__).parents[2]


@pytest.mark.needs_userns
@pytest.mark.parametrize("module", ["test_run", "test_walls", "test_jobs"])
def test_the_walls_hold_without_privileges(module: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("optional: these tests run without privileges already")
    if reason := missing_for_rootless():
        pytest.skip(reason)
    person = unprivileged()
    with public_directory("sandbox-", owner=person) as home:
        ran = person.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                f"--basetemp={home}/t",
                f"tests/sandbox/{module}.py",
            ],
            cwd=ROOT,
            environment={"HOME": str(home), "TMPDIR": str(home), "PYTHONDONTWRITEBYTECODE": "1"},
        )
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    assert "passed" in ran.stdout
    assert "skipped" not in ran.stdout
