"""Older indexes are brought up to date, newer ones refused; a kept one of each version says which there were."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from builder.errors import StoreError
from builder.store import schema
from builder.store.cache import CacheIndex
from builder.store.db import Database
from builder.store.images import ImageIndex
from builder.store.layers import LayerIndex

STORES = Path(__file__).parents[2] / "fixtures" / "stores"
OLDER = range(1, schema.VERSION)


def kept_index(version: int, place: Path) -> Path:
    """Write the kept index of a version."""
    path = place / "index.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((STORES / f"index-{version}.sql").read_text())
    return path


def tables(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return the columns of every table, as SQLite describes them but for their order."""
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {
            name: sorted(row[1:] for row in connection.execute(f"PRAGMA table_info({name})"))
            for (name,) in names
        }


@pytest.mark.parametrize("version", OLDER)
def test_an_older_index_gets_the_tables_of_a_new_one(version: int, tmp_path: Path) -> None:
    path = kept_index(version, tmp_path)
    Database(str(path)).close()
    (tmp_path / "new").mkdir()
    Database(str(tmp_path / "new/index.db")).close()
    assert tables(path) == tables(tmp_path / "new/index.db")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)


@pytest.mark.parametrize("version", OLDER)
def test_what_an_older_index_knew_is_still_known(version: int, tmp_path: Path) -> None:
    path = kept_index(version, tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        records = connection.execute("SELECT key, base, diff_id, used FROM records").fetchall()
    db = Database(str(path))
    cache, layers = CacheIndex(db), LayerIndex(db, str(tmp_path))
    assert len(records) == 3
    for key, base, diff_id, used in records:
        found = cache.find(key, base)
        assert found is not None
        assert found[0] == diff_id
        (record,) = cache.lookup(key)
        assert (record.seconds, record.used) == (0.0, used)
        assert layers.get(diff_id) is not None
    named = {name.reference for name in ImageIndex(db).names()}
    assert named == {"docker.io/library/app:latest", "docker.io/library/box:latest"}
    db.close()


def test_a_use_is_remembered_and_not_written_again_within_the_hour(tmp_path: Path) -> None:
    db = Database(str(kept_index(1, tmp_path)))
    cache = CacheIndex(db)
    ((key, base),) = db.rows("SELECT key, base FROM records LIMIT 1")
    db.execute("UPDATE records SET used = 5")

    def used() -> float:
        (record,) = cache.lookup(str(key))
        return record.used

    cache.find(str(key), str(base))
    cache.remember_use()
    first = used()
    assert first > 5
    cache.find(str(key), str(base))
    cache.remember_use()
    assert used() == first
    db.close()


def test_a_newer_index_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = kept_index(1, tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    shutil.copy(path, tmp_path / "before")
    with pytest.raises(StoreError) as caught:
        Database(str(path))
    assert caught.value.code == "store.newer-schema"
    assert tables(path) == tables(tmp_path / "before")
