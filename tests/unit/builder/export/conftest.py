from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.store.root import Store
from tests.support.jobs import JobsHere


@pytest.fixture
def jobs() -> JobsHere:
    return JobsHere()


@pytest.fixture
def store(tmp_path: Path, jobs: JobsHere) -> Iterator[Store]:
    with Store(str(tmp_path / "store"), jobs) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _root_only(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("needs_root") and os.geteuid() != 0:
        pytest.skip("mounts, and gives files away, which takes root")
