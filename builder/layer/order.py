"""Entries as a stream gives them → entries in order, one per path, in bounded memory.

What is collected is sorted in memory up to a size, then written out as a sorted run; the runs are merged at
the end. A record is `sort key · 0 0 · sequence number · flag · entry`, so that records sort as bytes, and
those of one path stand together, the last given last.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import msgspec

from builder.layer.entry import Entry, Kind, sort_key
from builder.layer.writer import remove_if_there

_RUN_BYTES = 24 << 20
_OVERHEAD = 60  # a bytes object and its place in the list
_READ = 1 << 16

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode


class EntrySorter:
    """Collects entries, then yields them once, in order; `path` names the runs it may write."""

    def __init__(self, path: str, *, run_bytes: int = _RUN_BYTES) -> None:
        self._path = path
        self._run_bytes = run_bytes
        self._records: list[bytes] = []
        self._held = 0
        self._runs: list[str] = []
        self._sequence = 0
        self._removed: dict[bytes, int] = {}

    def add(self, entry: Entry, *, implied: bool = False) -> None:
        """Add an entry; an `implied` directory is one that the stream did not list."""
        self._sequence += 1
        record = b"%b\0\0%b%c%b" % (
            sort_key(entry.path),
            self._sequence.to_bytes(5, "big"),
            implied,
            _encode(entry),
        )
        self._records.append(record)
        self._held += len(record) + _OVERHEAD
        if self._held >= self._run_bytes:
            self._spill()

    def remove_below(self, path: bytes) -> None:
        """Drop the entries below a directory that were added so far: it was replaced."""
        self._removed[path] = self._sequence

    def _spill(self) -> None:
        self._records.sort()
        path = f"{self._path}.run{len(self._runs)}"
        self._runs.append(path)
        with open(path, "wb") as file:
            for record in self._records:
                file.write(len(record).to_bytes(4, "little"))
                file.write(record)
        self._records = []
        self._held = 0

    def close(self) -> None:
        """Remove the runs."""
        while self._runs:
            remove_if_there(self._runs.pop())

    def ordered(self) -> Iterator[tuple[Entry, bool]]:
        """Yield each path's entry, and an OPAQUE one after it where there is one, with its `implied` flag.

        The last entry given for a path counts; a listed directory counts before an implied one.
        """
        group: list[bytes] = []
        key = b""
        opaque: set[bytes] = set()
        for record in self._merged():
            end = record.index(b"\0\0")
            if group and record[:end] != key:
                yield from self._settle(group, len(key), opaque)
                group = []
            key = record[:end]
            group.append(record)
        if group:
            yield from self._settle(group, len(key), opaque)

    def _merged(self) -> Iterator[bytes]:
        self._records.sort()
        if not self._runs:
            return iter(self._records)
        return heapq.merge(*map(_read_run, self._runs), self._records)

    def _settle(
        self, group: list[bytes], end: int, opaque: set[bytes]
    ) -> Iterator[tuple[Entry, bool]]:
        listed: Entry | None = None
        implied: Entry | None = None
        marks: set[Kind] = set()
        for record in group:
            entry = _decode(memoryview(record)[end + 8 :])
            if self._removed and self._is_removed(entry.path, record[end + 2 : end + 7]):
                continue
            if entry.kind >= Kind.WHITEOUT:
                marks.add(entry.kind)
            elif record[end + 7]:
                implied = entry
            else:
                listed = entry
        found = listed or implied
        if found is not None:
            yield found, listed is None
            if marks and found.kind is Kind.DIRECTORY:
                # A directory beside the whiteout of its name is new: nothing shows through it.
                opaque.add(found.path)
                yield Entry(found.path, Kind.OPAQUE), False
        elif Kind.WHITEOUT in marks:
            path = _decode(memoryview(group[-1])[end + 8 :]).path
            if path.rpartition(b"/")[0] not in opaque:
                yield Entry(path, Kind.WHITEOUT), False

    def _is_removed(self, path: bytes, sequence: bytes) -> bool:
        number = int.from_bytes(sequence, "big")
        while path:
            path = path.rpartition(b"/")[0]
            if number <= self._removed.get(path, 0):
                return True
        return False


def _read_run(path: str) -> Iterator[bytes]:
    with open(path, "rb", buffering=_READ) as file:
        while head := file.read(4):
            yield file.read(int.from_bytes(head, "little"))
