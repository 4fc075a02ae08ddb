"""Takes down each wall in turn and sees that its test notices."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sandbox.escape.switches import ASKED, Defence, defences
from tests.support.unprivileged import CHECKOUT

HERE = Path(__file__).parent.relative_to(CHECKOUT)
DEFENCES = defences()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs_root,
    pytest.mark.skipif(os.geteuid() != 0, reason="optional: once, as root, is enough"),
]


@pytest.mark.parametrize("defence", DEFENCES, ids=lambda defence: defence.name)
def test_a_wall_that_is_taken_down_is_missed(defence: Defence, tmp_path: Path) -> None:
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short"),
            *(f"--basetemp={tmp_path}/t", f"{HERE}/{defence.test}"),
        ],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, ASKED: defence.name},
    )
    summary = ran.stdout.splitlines()[-1] if ran.stdout else ran.stderr
    assert ran.returncode == 1, ran.stdout
    assert summary.startswith("1 failed"), ran.stdout
    # What failed is what the test claims, not the set-up.
    assert "\nE   assert" in ran.stdout or "AssertionError" in ran.stdout or "DID NOT" in ran.stdout


def test_the_list_names_each_once() -> None:
    assert len({defence.name for defence in DEFENCES}) == len(DEFENCES)
    assert len({defence.off for defence in DEFENCES}) == len(DEFENCES)
