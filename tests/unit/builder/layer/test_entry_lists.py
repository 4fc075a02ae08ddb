from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import StoreError
from builder.layer.entries import EntriesWriter, read_entries, read_summary, write_entries
from builder.layer.entry import Entry, Kind, content_id
from builder.layer.order import EntrySorter

ENTRIES = [
    Entry(b"", Kind.DIRECTORY, 0o755),
    Entry(b"a", Kind.DIRECTORY, 0o755),
    Entry(b"a", Kind.OPAQUE),
    Entry(b"a/\xff", Kind.FILE, 0o644, 1, 2, -3, 4, b"", b"d" * 32, 0, 0, ((b"user.a", b"\0"),)),
    Entry(b"a-", Kind.SYMLINK, 0o777, link=b"\xfe"),
    Entry(b"b", Kind.WHITEOUT),
]


def many(count: int) -> Iterator[Entry]:
    for number in range(count):
        yield Entry(b"d/%07d" % number, Kind.FILE, 0o644, size=number, digest=b"d" * 32)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = str(tmp_path / "list")
    assert write_entries(path, ENTRIES) == (content_id(ENTRIES), 6)
    assert list(read_entries(path)) == ENTRIES
    assert read_summary(path) == (content_id(ENTRIES), 6)
    assert os.listdir(tmp_path) == ["list"]


def test_times_do_not_count_for_the_content_id(tmp_path: Path) -> None:
    one = write_entries(str(tmp_path / "1"), [Entry(b"a", Kind.FIFO, mtime=1)])
    two = write_entries(str(tmp_path / "2"), [Entry(b"a", Kind.FIFO, mtime=2)])
    other = write_entries(str(tmp_path / "3"), [Entry(b"a", Kind.FIFO, mode=1)])
    assert one == two != other


def test_an_empty_list(tmp_path: Path) -> None:
    path = str(tmp_path / "list")
    assert write_entries(path, []) == (content_id([]), 0)
    assert list(read_entries(path)) == []


@pytest.mark.parametrize(
    "pair",
    [
        (b"b", b"a"),
        (b"a", b"a"),
        (b"a-", b"a/b"),
        (b"a/b", b"a"),
    ],
)
def test_disorder_is_refused(tmp_path: Path, pair: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="out of order"):
        write_entries(str(tmp_path / "list"), [Entry(path, Kind.FILE) for path in pair])
    assert os.listdir(tmp_path) == []


def test_a_list_that_is_not_finished_has_no_name(tmp_path: Path) -> None:
    writer = EntriesWriter(str(tmp_path / "list"))
    writer.add(ENTRIES[0])
    assert os.listdir(tmp_path) == ["list.partial"]
    writer.abort()
    writer.abort()
    assert os.listdir(tmp_path) == []


def test_a_list_that_is_cut_off_anywhere_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "list"
    write_entries(str(path), ENTRIES)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(StoreError):
            list(read_entries(str(path)))
        with pytest.raises(StoreError):
            read_summary(str(path))


def test_other_versions_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "list"
    write_entries(str(path), ENTRIES)
    path.write_bytes(path.read_bytes().replace(b"entries 1", b"entries 2"))
    with pytest.raises(StoreError):
        list(read_entries(str(path)))


def test_long_lists_take_little_memory(tmp_path: Path) -> None:
    path = str(tmp_path / "list")
    tracemalloc.start()
    try:
        write_entries(path, many(20_000))
        assert sum(1 for _ in read_entries(path)) == 20_000
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("run_bytes", [1, 3000, 1 << 24])
def test_the_sorter_yields_the_same_whatever_fits_in_memory(tmp_path: Path, run_bytes: int) -> None:
    sorter = EntrySorter(str(tmp_path / "sort"), run_bytes=run_bytes)
    given = list(many(200))
    for entry in given[::-1]:
        sorter.add(entry)
    sorter.add(Entry(b"d", Kind.DIRECTORY, 0o700), implied=True)
    sorter.add(given[7])
    assert [entry for entry, implied in sorter.ordered() if not implied] == given
    sorter.close()
    assert os.listdir(tmp_path) == []


def test_a_hundred_thousand_entries_are_sorted_in_bounded_memory(tmp_path: Path) -> None:
    sorter = EntrySorter(str(tmp_path / "sort"), run_bytes=4 << 20)
    tracemalloc.start()
    try:
        for entry in many(100_000):
            sorter.add(entry)
        assert sum(1 for _ in sorter.ordered()) == 100_000
        assert tracemalloc.get_traced_memory()[1] < 12 << 20
    finally:
        tracemalloc.stop()
        sorter.close()
