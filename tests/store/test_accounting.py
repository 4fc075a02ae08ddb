"""What takes the room in a store: every block once, by kind, image, step, project and cache mount."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.engine import shelf
from builder.store.accounting import Account, account
from builder.store.layers import State
from builder.store.pruning import Pruning
from tests.store.test_shelf import Shelf
from tests.support.sample_image import sample_image

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="jobs without walls need root")

BIG = 300_000


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Shelf]:
    """An empty store."""
    one = Shelf(tmp_path / "store")
    yield one
    one.store.close()


def disk(root: Path) -> int:
    """Return the bytes of all blocks below a directory, as `du` counts them."""
    found = [root.lstat(), *(path.lstat() for path in root.rglob("*"))]
    return sum({status.st_ino: status.st_blocks * 512 for status in found}.values())


def settle(root: Path) -> None:
    """Wait for what is removed beside other work."""
    for _ in range(200):
        if not list(root.glob("scratch/*/*.work")):
            return
        time.sleep(0.02)
    raise AssertionError("work directories stay")


def by_kind(found: Account) -> dict[str, tuple[int, int]]:
    """Return bytes and what can be reclaimed of every kind."""
    return {each.kind: (each.bytes, each.reclaimable) for each in found.kinds}


def blocks(*paths: Path) -> int:
    """Return the bytes of the blocks of trees."""
    return sum(disk(path) for path in paths)


def test_the_kinds_add_up_to_what_the_disk_holds(kept: Shelf) -> None:
    base = kept.catalogue.open(kept.pull(sample_image(), "base", index=True)).state
    kept.store.snapshots.directories(base)
    app = kept.step(base, "a", {"f": "x" * BIG})
    kept.built(app, "app")
    kept.step(base, "b", {"g": "y" * BIG})
    mount = kept.root / "mounts" / ("a" * 24)
    (mount / "fs").mkdir(parents=True)
    (mount / "fs/big").write_text("x" * BIG)
    download = kept.root / "downloads/http" / ("b" * 40)
    download.mkdir(parents=True)
    (download / "file").write_text("x" * BIG)
    (kept.root / "contexts" / ("c" * 64)).write_text("x" * BIG)
    (kept.root / "odd").write_text("nobody knows what this is")
    settle(kept.root)
    found = account(kept.store)
    assert found.bytes == disk(kept.root)
    assert sum(each.bytes for each in found.kinds) == found.bytes
    kinds = by_kind(found)
    assert kinds["cache mounts"] == (blocks(mount), blocks(mount))
    assert kinds["downloads"] == (blocks(download), blocks(download))
    assert kinds["contexts"][1] == 0
    assert kinds["steps"][0] == kinds["steps"][1] > BIG
    assert kinds["images"][1] == 0


def test_what_images_share_counts_once_and_is_told(kept: Shelf) -> None:
    shared = kept.step(State(), "below", {"f": "x" * BIG})
    one = kept.built(kept.step(shared, "one", {"g": "y" * BIG}), "one")
    other = kept.built(shared, "other")
    found = account(kept.store)
    images = {each.id: each for each in found.images}
    assert images[one].names == ("one:latest",)
    assert images[one].shared == images[other].shared > BIG
    assert images[one].unique > BIG > images[other].unique > 0  # its configuration
    assert by_kind(found)["images"][0] == images[one].bytes + images[other].unique
    assert sorted(each.images for each in found.steps) == [1, 2]


def test_steps_say_what_they_were_whose_and_what_they_took(kept: Shelf) -> None:
    kept.store.cache.project = "/src/app"
    state = kept.step(State(), "a", {"f": "x" * BIG})
    kept.store.db.execute("UPDATE records SET seconds = 3, used = 5")
    kept.store.cache.project = "/src/other"
    kept.step(state, "b", {"g": "y"})
    found = account(kept.store)
    first = found.steps[0]
    assert (first.project, first.seconds, first.used, first.images) == ("/src/app", 3, 5, 0)
    assert [(each.project, each.steps) for each in found.projects] == [
        ("/src/app", 1),
        ("/src/other", 1),
    ]


def test_directories_are_measured_once(kept: Shelf) -> None:
    kept.step(State(), "a", {"f": "x" * BIG})
    settle(kept.root)
    account(kept.store)
    kept.jobs.called.clear()
    before = kept.store.db.rows("SELECT bytes FROM directories")
    assert before[0][0] != -1
    assert account(kept.store).bytes == disk(kept.root)
    assert kept.store.db.rows("SELECT bytes FROM directories") == before


def test_what_prune_gives_back_is_what_was_said(kept: Shelf) -> None:
    base = kept.catalogue.open(kept.pull(sample_image(), "base")).state
    kept.built(kept.step(base, "a", {"f": "x" * BIG}))
    kept.step(base, "b", {"g": "y" * BIG})
    before = account(kept.store)
    kept.prune()
    after = account(kept.store)
    promised = sum(each.reclaimable for each in before.kinds)
    assert promised > BIG
    assert parts(before) - parts(after) == promised


def test_documents_of_removed_images_are_said_to_be_given_back(kept: Shelf) -> None:
    kept.pull(sample_image(), "base")
    shelf.remove(kept.store, ("base",), force=False)
    promised = sum(each.reclaimable for each in account(kept.store).kinds)
    assert shelf.prune(kept.store, Pruning(), dry=True).bytes == promised
    assert shelf.prune(kept.store, Pruning()).bytes == promised > 0


def test_a_layer_that_no_record_leads_to_any_more_is_said_to_be_given_back(kept: Shelf) -> None:
    base = kept.catalogue.open(kept.pull(sample_image(), "base")).state
    kept.step(base, "a", {"f": "x" * BIG})
    again = kept.step(base, "a", {"f": "y" * BIG})
    before = account(kept.store)
    number, reclaimable = by_kind(before)["steps"]
    assert number == reclaimable > 2 * BIG
    assert [each.layer for each in before.steps] == [again.layers[-1].diff_id]
    kept.prune()
    assert parts(before) - parts(account(kept.store)) == reclaimable


def parts(found: Account) -> int:
    """Return the bytes of all but the index and the directories of the store itself."""
    return sum(each.bytes for each in found.kinds if each.kind != "rest")
