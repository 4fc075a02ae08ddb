"""What is not lapstrake's own in a store's directory: refused at first, and never removed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.engine import shelf
from builder.errors import StoreError
from builder.store.ours import ROOMS
from builder.store.pruning import Pruning
from builder.store.root import Store
from tests.support.jobs import JobsHere


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


@pytest.mark.parametrize("room", [*ROOMS, "downloads", "blobs", "blobs/sha256", "other"])
def test_a_directory_with_other_things_in_it_becomes_no_store(tmp_path: Path, room: str) -> None:
    (tmp_path / room).mkdir(parents=True)
    (tmp_path / room / "mine").write_text("")
    before = files(tmp_path)
    with pytest.raises(StoreError, match="is not empty and is no lapstrake store") as caught:
        Store(str(tmp_path), JobsHere())
    assert caught.value.code == "store.unusable"
    assert caught.value.hint is not None
    assert files(tmp_path) == before


@pytest.mark.parametrize("name", ["mine", ".hidden", "store.json.bak", "reserve"])
def test_a_directory_with_one_other_file_becomes_no_store(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    with pytest.raises(StoreError, match="is no lapstrake store"):
        Store(str(tmp_path), JobsHere())
    assert files(tmp_path) == {name}


def test_a_link_to_an_empty_directory_is_something_else(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "root/layers").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="is no lapstrake store"):
        Store(str(tmp_path / "root"), JobsHere())


def test_a_store_killed_while_it_was_made_opens(tmp_path: Path) -> None:
    for count in range(len(ROOMS) + 1):
        root = tmp_path / str(count)
        root.mkdir()
        (root / "lock").write_text("")
        for room in ROOMS[:count]:
            (root / room).mkdir()
        if count == len(ROOMS):
            (root / "tmp/header-4711").write_text("{")
        Store(str(root), JobsHere()).close()
        assert os.listdir(root / "tmp") == []
        Store(str(root), JobsHere()).close()


def test_a_fresh_file_system_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    Store(str(tmp_path), JobsHere()).close()


def test_odd_things_in_a_store_are_neither_swept_nor_pruned(tmp_path: Path) -> None:
    Store(str(tmp_path), JobsHere()).close()
    (tmp_path / "downloads").mkdir()
    hexes = {"entries": 64, "contexts": 64}
    for room in (*ROOMS, "downloads"):
        (tmp_path / room / "mine").write_text("")
        (tmp_path / room / "mine.1.2").write_text("")
        (tmp_path / room / "directory").mkdir()
        # The right name, but the wrong kind of thing.
        odd = tmp_path / room / ("0" * hexes.get(room, 24))
        odd.mkdir() if room in hexes else odd.write_text("")
    (tmp_path / "tmp/blob-mine").write_text("")
    (tmp_path / "tmp/header-mine").write_text("")
    (tmp_path / "scratch" / ("1" * 24)).mkdir()  # what makes the sweep look at the other rooms
    before = files(tmp_path)
    with Store(str(tmp_path), JobsHere()) as store:
        shelf.prune(store, Pruning(everything=True))
    assert before - files(tmp_path) == {"scratch/" + "1" * 24}
