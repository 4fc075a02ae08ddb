"""One pass over new content that yields everything a layer is known by: diff id, content id, entry list."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import TracebackType

from builder.layer.entries import EntriesWriter
from builder.layer.entry import Entry, Kind
from builder.layer.pack import TarWriter, write_fully
from builder.layer.scanned import LayerScan


class LayerWriter:
    """Takes entries in order and writes the entry list and, if asked, the tar stream.

    Use it as a context manager: leaving it without `close()` removes what was written. `write` gets the tar's
    bytes in pieces, or None to hash only. `implied` may be set before `close`, see `LayerScan`.
    """

    def __init__(
        self, entries_path: str, *, write: Callable[[bytes], object] | None = None
    ) -> None:
        self.tar = TarWriter(write)
        self.entries = EntriesWriter(entries_path)
        self.implied = False
        self._data = 0

    def __enter__(self) -> LayerWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.entries.abort()

    def add(self, entry: Entry) -> None:
        """Add anything but a regular file with data."""
        self.tar.add_header(entry)
        self.entries.add(entry)

    def add_file(self, entry: Entry, fd: int, *, copy_to: int | None = None) -> Entry:
        """Add a regular file, read once from `fd`; its digest is computed here.

        Returns: the entry with its digest.
        Raises: LayerError: the file is not as long as the entry says (code `layer.changed`).
        """
        digest = self.tar.add_file(entry, fd, copy_to=copy_to)
        self._data += entry.size
        complete = Entry(
            entry.path,
            Kind.FILE,
            entry.mode,
            entry.uid,
            entry.gid,
            entry.mtime,
            entry.size,
            b"",
            digest,
            0,
            0,
            entry.xattrs,
        )
        self.entries.add(complete)
        return complete

    def close(self) -> LayerScan:
        """End both streams; the entry list has its name from now on."""
        diff_id, size = self.tar.close()
        content_id, count = self.entries.close()
        return LayerScan(
            diff_id=diff_id,
            size=size,
            content_id=content_id,
            count=count,
            data=self._data,
            implied=self.implied,
        )


@contextmanager
def writing(path: str) -> Iterator[Callable[[bytes], object]]:
    """Give a function that appends bytes to the new file `path`."""
    with open(path, "wb", buffering=0) as file:
        yield partial(write_fully, file.fileno())


def remove_if_there(path: str) -> None:
    """Remove a file that may not exist."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
