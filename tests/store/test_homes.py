"""Where blobs were seen is remembered, as long as they are here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.oci.digest import Digest
from builder.store.db import Database
from builder.store.homes import Homes

A, B = Digest.of(b"a"), Digest.of(b"b")


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[Homes]:
    db = Database(str(tmp_path / "index.db"))
    yield Homes(db)
    db.close()


def test_another_repository_of_the_same_registry_is_found(homes: Homes) -> None:
    homes.remember([A, B], "ghcr.io", "base")
    assert homes.repository(A, "ghcr.io", "app") == "base"
    assert homes.repository(A, "quay.io", "app") is None
    assert homes.repository(A, "ghcr.io", "base") is None


def test_the_last_one_counts(homes: Homes) -> None:
    homes.remember([A], "ghcr.io", "first")
    homes.remember([A], "ghcr.io", "second")
    assert homes.repository(A, "ghcr.io", "app") == "second"
    homes.remember([A], "ghcr.io", "first")
    assert homes.repository(A, "ghcr.io", "app") == "first"


def test_blobs_that_are_gone_are_forgotten(homes: Homes) -> None:
    homes.remember([A, B], "ghcr.io", "base")
    homes.forget_others(frozenset({B}))
    assert homes.repository(A, "ghcr.io", "app") is None
    assert homes.repository(B, "ghcr.io", "app") == "base"
