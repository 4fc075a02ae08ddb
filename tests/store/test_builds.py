"""What builds leave on the disk."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import msgspec
import pytest

from builder.errors import BuildError
from builder.store import builds
from builder.store.builds import DONE, KILLED, RUNNING, About, Builds


def recorded(store: Builds, *events: bytes, **facts: object) -> str:
    log = store.new()
    for event in events:
        log.add(event)
    log.finish(
        msgspec.structs.replace(About(id=log.id, started=log.started, outcome=DONE), **facts)
    )
    return log.id


def test_a_build_is_found_by_either_end_of_its_id_and_the_newest_without_one(
    tmp_path: Path,
) -> None:
    store = Builds(str(tmp_path))
    first = recorded(store, names=("a",))
    time.sleep(0.002)
    second = recorded(store, names=("b",))
    assert [about.id for about in store.all()] == [second, first]
    assert store.find().id == second
    assert store.find(first[-12:]).names == ("a",)
    assert store.find(second).names == ("b",)


def test_what_is_not_there_or_not_one_is_refused(tmp_path: Path) -> None:
    store = Builds(str(tmp_path))
    with pytest.raises(BuildError, match="no build yet"):
        store.find()
    one, two = recorded(store), recorded(store)
    assert one[:6] == two[:6]
    with pytest.raises(BuildError, match="several"):
        store.find(one[:6])
    with pytest.raises(BuildError, match="no build `zz`"):
        store.find("zz")


def test_events_come_back_as_they_were_and_half_a_one_is_left_out(tmp_path: Path) -> None:
    store = Builds(str(tmp_path))
    build_id = recorded(store, b"one", b"x" * 200_000, b"three")
    assert list(store.events(build_id)) == [b"one", b"x" * 200_000, b"three"]
    path = tmp_path / f"builds/{build_id}.log"
    path.write_bytes(path.read_bytes()[:-2])
    assert list(store.events(build_id)) == [b"one", b"x" * 200_000]


def test_a_build_that_was_killed_is_known_by_its_lock(tmp_path: Path) -> None:
    store = Builds(str(tmp_path))
    log = store.new()
    log.write(About(id=log.id, started=log.started))
    assert store.find().outcome == RUNNING
    os.close(log._file)
    assert store.find().outcome == KILLED


def test_nothing_is_written_before_something_is_known(tmp_path: Path) -> None:
    log = Builds(str(tmp_path)).new()
    log.add(b"event")
    assert list(tmp_path.iterdir()) == []


def test_the_oldest_go_when_there_are_too_many_or_their_time_has_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Builds(str(tmp_path))
    monkeypatch.setattr(builds, "MOST", 3)
    for _ in range(5):
        recorded(store)
        time.sleep(0.002)
    assert len(store.all()) == 3
    monkeypatch.setattr(builds, "OLDEST", 0.0)
    time.sleep(0.01)
    recorded(store)
    assert len(store.all()) == 1


def test_the_oldest_go_when_logs_are_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Builds(str(tmp_path))
    monkeypatch.setattr(builds, "LARGEST", 3 << 20)
    for _ in range(4):
        newest = recorded(store, b"x" * (2 << 20))
        time.sleep(0.002)
    assert [about.id for about in store.all()] == [newest]


def test_files_that_are_not_ours_do_no_harm(tmp_path: Path) -> None:
    store = Builds(str(tmp_path))
    recorded(store)
    (tmp_path / "builds/note.json").write_text("{")
    (tmp_path / f"builds/{'0' * 24}.json").write_text("{")
    assert len(store.all()) == 1


def test_a_log_on_a_full_disk_never_ends_in_half_an_event_and_goes_on_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Builds(str(tmp_path))
    log = store.new()
    about = About(id=log.id, started=log.started)
    log.add(b"first")
    log.write(about)

    def full(file: int, pieces: list[bytes]) -> int:
        os.write(file, b"".join(pieces)[:6])
        raise OSError(errno.ENOSPC, "full")

    log.add(b"second")
    with monkeypatch.context() as patched, pytest.raises(OSError, match="full"):
        patched.setattr(builds.os, "writev", full)
        log.write(about)
    assert list(store.events(log.id)) == [b"first"]
    log.add(b"third")
    log.finish(about)
    assert list(store.events(log.id)) == [b"first", b"second", b"third"]
