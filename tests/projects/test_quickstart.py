"""`make quickstart` does what the README says: builds, runs, builds again from the cache."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.unprivileged import CHECKOUT, public_directory

pytestmark = pytest.mark.needs_network


def test_the_quickstart_builds_runs_and_builds_again_from_the_cache() -> None:
    if Path(sys.executable).parent != CHECKOUT / ".venv" / "bin":
        pytest.skip("optional: the quickstart uses .venv, and the tests run in another environment")
    with public_directory("lapstrake-quickstart-") as place:
        done = subprocess.run(
            [CHECKOUT / ".ci/quickstart"],
            env={**os.environ, "QUICKSTART_DIR": str(place)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
    assert done.returncode == 0, done.stdout
    first, _, rest = done.stdout.partition("== Run it")
    assert "CACHED" not in first
    assert "Hello, World!\n" in rest
    assert "Halló, Reykjavík!\n" in rest
    again = rest.partition("== Build it again")[2]
    assert re.search(r"all \d+ steps were cached", again)
