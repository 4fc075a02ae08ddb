"""The entry list of a layer, looked into at any place, a few frames of it in memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

import msgspec

from builder.layer.entries import MAGIC, corrupt, frame_length
from builder.layer.entry import Entry, sort_key

_FRAMES_HELD = 4

_RAW = msgspec.msgpack.Decoder(list[msgspec.Raw])
_ENTRY = msgspec.msgpack.Decoder(Entry)
_BATCH = msgspec.msgpack.Decoder(list[Entry])


class EntryList:
    """A list on disk, by its host path, open until `close`.

    Raises: StoreError: the file is not such a list or is cut off. OSError: it is not there.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = open(path, "rb")  # noqa: SIM115 - lives as long as the list
        self._firsts: list[bytes] = []
        self._places: list[tuple[int, int]] = []
        self._held: dict[int, list[Entry]] = {}
        self._named: dict[int, dict[bytes, tuple[Entry, ...]]] = {}
        try:
            self._survey()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _survey(self) -> None:
        """Note where each frame begins, and with what."""
        if self._file.read(len(MAGIC)) != MAGIC:
            raise corrupt(self._path)
        while length := frame_length(self._file.read(4), self._path):
            place = self._file.tell()
            frame = self._file.read(length)
            try:
                first = _ENTRY.decode(_RAW.decode(frame)[0])
            except (msgspec.MsgspecError, IndexError) as error:
                raise corrupt(self._path) from error
            self._firsts.append(sort_key(first.path))
            self._places.append((place, length))

    def find(self, path: bytes) -> tuple[Entry, ...]:
        """Return the entries of a path: none, one, or two when the second is OPAQUE."""
        key = sort_key(path)
        number = bisect_right(self._firsts, key) - 1
        if number < 0:
            return ()
        found = self._by_name(number).get(path, ())
        if number and self._firsts[number] == key:
            # It may be the mark of a directory that the frame before this one ends with.
            return (*self._by_name(number - 1).get(path, ()), *found)
        return found

    def entries(self) -> Iterator[Entry]:
        """Yield all entries, in order."""
        for number in range(len(self._places)):
            yield from self._read(number)

    def below(self, path: bytes) -> Iterator[Entry]:
        """Yield what lies below a directory, in order."""
        key = sort_key(path)
        prefix = key + b"\0" if path else b""
        for number in range(max(0, bisect_right(self._firsts, key) - 1), len(self._places)):
            for entry in self._read(number):
                other = sort_key(entry.path)
                if other.startswith(prefix):
                    if other != key:
                        yield entry
                elif other > prefix:
                    return

    def _by_name(self, number: int) -> dict[bytes, tuple[Entry, ...]]:
        found = self._named.get(number)
        if found is None:
            found = {}
            for entry in self._read(number):
                found[entry.path] = (*found.get(entry.path, ()), entry)
            if len(self._named) >= _FRAMES_HELD:
                del self._named[next(iter(self._named))]
            self._named[number] = found
        return found

    def _read(self, number: int) -> list[Entry]:
        found = self._held.get(number)
        if found is None:
            place, length = self._places[number]
            self._file.seek(place)
            try:
                found = _BATCH.decode(self._file.read(length))
            except msgspec.MsgspecError as error:
                raise corrupt(self._path) from error
            if len(self._held) >= _FRAMES_HELD:
                del self._held[next(iter(self._held))]
            self._held[number] = found
        return found
