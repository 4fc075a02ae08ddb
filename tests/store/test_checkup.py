"""`store check`: every kind of damage is found, and mended where something whole is left."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from builder.errors import StoreError
from builder.store.checkup import Checkup, check
from builder.store.layers import State
from builder.store.root import Store
from tests.store.test_shelf import Shelf, files_of
from tests.support.jobs import JobsHere
from tests.support.sample_image import sample_image

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="jobs without walls need root")


class Filled:
    """A store with a pulled image that has been unpacked, and an image built above it."""

    def __init__(self, root: Path) -> None:
        self.shelf = Shelf(root)
        self.root = root
        self.base = self.shelf.pull(sample_image(), "base")
        state = self.shelf.catalogue.open(self.base).state
        self.shelf.store.snapshots.directories(state)
        self.state = self.shelf.step(state, "a", {"f": "text " * 1000})
        self.app = self.shelf.built(self.state, "app")

    @property
    def pulled(self) -> str:
        """The diff id of the lowest layer."""
        return self.state.layers[0].diff_id

    @property
    def made(self) -> str:
        """The diff id of the layer that the step gave."""
        return self.state.layers[-1].diff_id

    def directory(self, diff_id: str) -> Path:
        """Return the directory form of a layer."""
        (name,) = self.shelf.store.layers.directory_names(diff_id)
        return self.root / "layers" / name

    def entries(self, diff_id: str) -> Path:
        """Return the entry list of a layer."""
        return Path(self.shelf.store.layers.entries_path(diff_id))

    def blob(self, digest: str) -> Path:
        """Return where a blob is."""
        return self.root / "blobs/sha256" / digest.partition(":")[2]

    def blob_of(self, diff_id: str) -> Path:
        """Return the blob of a layer."""
        return self.blob(self.shelf.store.layers.blobs(diff_id)[0].digest)

    def check(self, *, repair: bool = False) -> Checkup:
        """Check the store."""
        return check(self.shelf.store, repair=repair)

    def reopen(self) -> None:
        """Let another process have the store."""
        self.shelf.store.close()
        self.shelf = Shelf(self.root)

    def kinds(self) -> list[str]:
        """Return what the problems are of, in their order."""
        return [each.kind for each in self.check().problems]


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Filled]:
    """A store with two images."""
    one = Filled(tmp_path / "store")
    yield one
    one.shelf.store.close()


def spoil(path: Path) -> None:
    """Change one byte in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def test_a_store_in_order_has_no_problems(filled: Filled) -> None:
    found = filled.check()
    assert found.problems == ()
    assert found.whole
    assert found.checked["layers"] == len(filled.state.layers)
    assert found.checked["images"] == found.checked["names"] == 2
    assert found.checked["records"] == 1


def file_changed(filled: Filled) -> None:
    spoil(filled.directory(filled.made) / "fs/f")


def file_gone(filled: Filled) -> None:
    (filled.directory(filled.made) / "fs/f").unlink()


def mode_changed(filled: Filled) -> None:
    (filled.directory(filled.made) / "fs/f").chmod(0o600)


def time_changed(filled: Filled) -> None:
    os.utime(filled.directory(filled.made) / "fs/f", (5, 5))


def directory_gone(filled: Filled) -> None:
    shutil.rmtree(filled.directory(filled.made))


def list_spoiled(filled: Filled) -> None:
    spoil(filled.entries(filled.made))


def list_gone(filled: Filled) -> None:
    filled.entries(filled.made).unlink()


def base_directory_spoiled(filled: Filled) -> None:
    spoil(next(each for each in filled.directory(filled.pulled).rglob("*") if each.is_file()))


def base_list_cut(filled: Filled) -> None:
    path = filled.entries(filled.pulled)
    os.truncate(path, path.stat().st_size // 2)


def config_spoiled(filled: Filled) -> None:
    spoil(filled.blob(filled.app))


def config_gone(filled: Filled) -> None:
    filled.blob(filled.app).unlink()


def record_spoiled(filled: Filled) -> None:
    filled.shelf.store.db.execute("UPDATE records SET parts = x'ff'")


def name_of_nothing(filled: Filled) -> None:
    filled.shelf.store.db.execute("DELETE FROM images WHERE id = ?", (filled.app,))


def lost_directory(filled: Filled) -> None:
    (filled.root / "layers" / ("a" * 24) / "fs").mkdir(parents=True)


def lost_list(filled: Filled) -> None:
    (filled.root / "entries" / ("a" * 64)).write_text("x")


def left_by_a_step(filled: Filled) -> None:
    (filled.root / "active" / ("a" * 24) / "fs").mkdir(parents=True)


LAST = ["directory", "layer", "record", "image"]
DAMAGES: dict[Callable[[Filled], None], list[str]] = {
    file_changed: LAST,
    file_gone: LAST,
    mode_changed: LAST,
    time_changed: LAST,
    directory_gone: LAST,
    list_spoiled: ["entry list", *LAST],
    list_gone: ["entry list", *LAST],
    base_directory_spoiled: ["directory"],
    base_list_cut: ["entry list", "directory"],
    config_spoiled: ["blob", "image"],
    config_gone: ["image"],
    record_spoiled: ["record"],
    name_of_nothing: ["name"],
    lost_directory: ["leftover"],
    lost_list: ["leftover"],
    left_by_a_step: ["leftover"],
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda each: each.__name__)
def test_damage_is_found_then_mended_and_what_is_whole_stays(
    damage: Callable[[Filled], None], filled: Filled
) -> None:
    damage(filled)
    assert filled.kinds() == DAMAGES[damage]
    assert filled.kinds() == DAMAGES[damage]  # a look changes nothing
    mended = filled.check(repair=True)
    assert [each.kind for each in mended.problems] == DAMAGES[damage]
    assert mended.whole
    assert filled.check().problems == ()
    filled.reopen()
    base = filled.shelf.catalogue.open(filled.base)
    assert files_of(filled.shelf, base.state)
    assert os.listdir(filled.root / "active") == []


def test_an_image_whose_blob_is_damaged_is_to_be_pulled_again(filled: Filled) -> None:
    spoil(filled.blob_of(filled.pulled))
    assert filled.kinds() == ["blob", "image", "image"]
    mended = filled.check(repair=True)
    assert {each.name: each.mend for each in mended.problems[1:]} == {
        filled.base: "removed, to be pulled again",
        filled.app: "",
    }
    assert not mended.whole
    assert filled.kinds() == ["image"]
    assert filled.shelf.pull(sample_image(), "base") == filled.base
    assert filled.check().whole  # what was built above it, too


def test_after_the_repair_of_a_layer_its_step_is_executed_again(filled: Filled) -> None:
    file_changed(filled)
    filled.check(repair=True)
    assert filled.shelf.records() == []
    base = filled.shelf.catalogue.open(filled.base).state
    again = filled.shelf.step(base, "a", {"f": "text " * 1000})
    assert "f" in files_of(filled.shelf, again)
    assert filled.check().problems == ()


def test_a_store_that_others_use_is_looked_at_and_not_mended(filled: Filled) -> None:
    other = Store(str(filled.root), JobsHere())
    left_by_a_step(filled)
    assert filled.kinds() == []  # it may be theirs
    with pytest.raises(StoreError) as caught:
        filled.check(repair=True)
    assert caught.value.code == "store.busy"
    other.close()
    assert filled.kinds() == ["leftover"]


def test_an_index_that_lacks_rows_is_sorted_anew(filled: Filled) -> None:
    filled.shelf.store.close()
    with closing(sqlite3.connect(filled.root / "index.db", isolation_level=None)) as connection:
        where = "WHERE name = 'layers_by_content'"
        (row,) = connection.execute(f"SELECT * FROM sqlite_master {where}").fetchall()
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(f"DELETE FROM sqlite_master {where}")
    with closing(sqlite3.connect(filled.root / "index.db", isolation_level=None)) as connection:
        connection.execute("UPDATE layers SET content_id = content_id || 'x'")
        connection.execute("UPDATE layers SET content_id = rtrim(content_id, 'x')")
        connection.execute("INSERT INTO layers VALUES ('sha256:new', 'new', 0, 0, 0, '')")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", row)
    filled.shelf = Shelf(filled.root)
    assert set(filled.kinds()) == {"index"}
    assert filled.check(repair=True).whole
    assert filled.check().problems == ()
    assert len(filled.shelf.store.layers.by_content("new")) == 1


def test_an_empty_store_is_in_order(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "store")
    assert check(shelf.store).problems == ()
    assert shelf.step(State(), "a", {"f": "x"})
    shelf.store.close()
