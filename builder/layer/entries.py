r"""The entry list of a layer on disk: streamed in and out, never held whole.

lapstrake entries 1\n
u32 length · msgpack array of up to 512 entries      repeated, in the order of `entry.sort_key`
u32 0 · msgpack [count, content id]                  the end; a file without it is cut off
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator

import msgspec

from builder.errors import StoreError
from builder.layer.entry import CONTENT_ID_PREFIX, Entry, Kind, identity, sort_key

MAGIC = b"lapstrake entries 1\n"
_BATCH_ENTRIES = 512
_BATCH_XATTRS = 1 << 20
_FRAME_LIMIT = 64 << 20

_ENCODER = msgspec.msgpack.Encoder()
_BATCH = msgspec.msgpack.Decoder(list[Entry])
_END = msgspec.msgpack.Decoder(tuple[int, str])


class EntriesWriter:
    """Writes entries in order and computes their content id on the way.

    The file appears under its name only with `close()`; until then it is `PATH.partial`.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = open(path + ".partial", "wb")  # noqa: SIM115 - lives as long as the writer
        self._file.write(MAGIC)
        self._digest = hashlib.sha256(CONTENT_ID_PREFIX)
        self._batch: list[Entry] = []
        self._xattrs = 0
        self._last: tuple[bytes, bool] | None = None
        self.count = 0

    def add(self, entry: Entry) -> None:
        """Add the next entry.

        Raises: ValueError: it does not come after the entry before it.
        """
        position = (sort_key(entry.path), entry.kind is Kind.OPAQUE)
        if self._last is not None and position <= self._last:
            raise ValueError(f"{entry.path!r} is out of order")
        self._last = position
        self._batch.append(entry)
        if entry.xattrs:
            self._xattrs += sum(len(name) + len(value) for name, value in entry.xattrs)
        if len(self._batch) >= _BATCH_ENTRIES or self._xattrs >= _BATCH_XATTRS:
            self._flush()

    def _flush(self) -> None:
        frame = _ENCODER.encode(self._batch)
        self._file.write(len(frame).to_bytes(4, "little"))
        self._file.write(frame)
        self._digest.update(b"".join(map(identity, self._batch)))
        self.count += len(self._batch)
        self._batch.clear()
        self._xattrs = 0

    def close(self) -> tuple[str, int]:
        """End the list and give the file its name.

        Returns: the content id and the number of entries.
        """
        if self._batch:
            self._flush()
        content_id = self._digest.hexdigest()
        self._file.write(bytes(4) + _ENCODER.encode((self.count, content_id)))
        self._file.close()
        os.rename(self._path + ".partial", self._path)
        return content_id, self.count

    def abort(self) -> None:
        """Give up: nothing is left on disk. May be called after `close`, without effect."""
        if not self._file.closed:
            self._file.close()
            os.unlink(self._path + ".partial")


def write_entries(path: str, entries: Iterable[Entry]) -> tuple[str, int]:
    """Write a whole list, which is in order.

    Returns: the content id and the number of entries.
    """
    writer = EntriesWriter(path)
    try:
        for entry in entries:
            writer.add(entry)
        return writer.close()
    finally:
        writer.abort()


def read_entries(path: str) -> Iterator[Entry]:
    """Yield the entries of a list in order, a few hundred in memory at a time.

    Raises: StoreError: the file is not such a list or is cut off.
    """
    with open(path, "rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise corrupt(path)
        seen = 0
        while True:
            length = frame_length(file.read(4), path)
            if length == 0:
                break
            try:
                batch = _BATCH.decode(file.read(length))
            except msgspec.MsgspecError as error:
                raise corrupt(path) from error
            seen += len(batch)
            yield from batch
        if _end(file.read(256), path)[0] != seen:
            raise corrupt(path)


def read_summary(path: str) -> tuple[str, int]:
    """Return the content id and number of entries that a list ends with.

    Raises: StoreError: the file is not such a list or is cut off.
    """
    with open(path, "rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise corrupt(path)
        while length := frame_length(file.read(4), path):
            file.seek(length, os.SEEK_CUR)
        count, content_id = _end(file.read(256), path)
        return content_id, count


def frame_length(head: bytes, path: str) -> int:
    """Return how many bytes a frame has whose head was read, 0 behind the last one.

    Raises: StoreError: the list is cut off here, or is none.
    """
    length = int.from_bytes(head, "little")
    if len(head) < 4 or length > _FRAME_LIMIT:
        raise corrupt(path)
    return length


def _end(data: bytes, path: str) -> tuple[int, str]:
    try:
        return _END.decode(data)
    except msgspec.MsgspecError as error:
        raise corrupt(path) from error


def corrupt(path: str) -> StoreError:
    """Return what to say of a file that is no entry list, or is cut off."""
    return StoreError(
        f"the entry list `{path}` is damaged",
        hint="remove the image that it belongs to and pull or build it again",
    )
