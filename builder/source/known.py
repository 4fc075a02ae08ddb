"""The digests of a context's files, remembered with what `lstat` said of them.

One file per context, made of one record per directory. A record is believed for a name whose mode, size,
times and inode number are all the same, and never if the file was younger than the clock's grain when it
was read: it might have changed again in the same tick.
"""

from __future__ import annotations

import os
import time

import msgspec

VERSION = 3
GRAIN_NANOSECONDS = 1_000_000_000
"""One second: the coarsest time stamps in use where contexts lie (some network file systems)."""

KnownItem = list[object]
"""[name, mode, size, mtime, ctime, inode, data], or [name] where the ignore rules hide the name.

Of a directory only the name and mode are kept; its size is 1 where the rules hide it, but not all below it.
"""


class KnownDirectory(msgspec.Struct, array_like=True):
    """What was read of one directory: its items by name, sorted, and the digest of its listing.

    `hidden_mode` is the directory's own mode where the ignore rules hide it, but not all below it; then it is
    part of the digest. `holds` tells whether anything in it was selected.
    """

    digest: bytes
    items: list[KnownItem]
    files: int
    size: int
    hidden_mode: int = 0
    holds: bool = True


class _Document(msgspec.Struct, array_like=True):
    version: int
    rules: str
    directories: dict[str, KnownDirectory]
    files: dict[str, KnownItem]


class KnownFiles:
    """The remembered records of one context; `rules` identifies the ignore rules they were made with.

    `old` and `new` are records of directories by path, before and now; `files` are the items of files that a
    copy names themselves, by path.
    """

    def __init__(self, path: str, rules: str) -> None:
        self._path = path
        self._rules = rules
        self.old: dict[str, KnownDirectory] = {}
        self.new: dict[str, KnownDirectory] = {}
        self.files: dict[str, KnownItem] = {}
        self.changed = False
        self.found = self._load()

    def remember(self, path: str, item: KnownItem) -> None:
        """Remember a file that is named itself; it may have been known before."""
        if self.files.get(path) != item:
            self.files[path] = item
            self.changed = True

    def _load(self) -> bool:
        try:
            with open(self._path, "rb") as file:
                document = msgspec.msgpack.decode(file.read(), type=_Document)
        except (OSError, msgspec.MsgspecError):
            return False
        if document.version != VERSION or document.rules != self._rules:
            return False
        self.old = document.directories
        self.files = document.files
        return True

    def save(self) -> None:
        """Write what was learned, at once or not at all; losing it costs only time."""
        if not self.changed and self.new.keys() == self.old.keys():
            return
        temporary = f"{self._path}.{os.getpid()}.{time.monotonic_ns()}"
        encoded = self._encoded({**self.old, **self.new})
        try:
            with open(temporary, "wb") as file:
                file.write(encoded)
            os.rename(temporary, self._path)
        except OSError:
            if os.path.exists(temporary):
                os.unlink(temporary)

    def _encoded(self, directories: dict[str, KnownDirectory]) -> bytes:
        try:
            document = _Document(VERSION, self._rules, directories, self.files)
            return msgspec.msgpack.encode(document)
        except UnicodeEncodeError:
            # Names that are not UTF-8 are rare, and what they are in is read each time.
            kept = {path: each for path, each in directories.items() if _is_text(path, each.items)}
            files = {path: item for path, item in self.files.items() if _is_text(path, [item])}
            return msgspec.msgpack.encode(_Document(VERSION, self._rules, kept, files))


def _is_text(path: str, items: list[KnownItem]) -> bool:
    try:
        msgspec.msgpack.encode((path, [item[0] for item in items]))
    except UnicodeEncodeError:
        return False
    return True


def trusted(item: KnownItem, read_at: int) -> bool:
    """Tell whether a file read at `read_at` (nanoseconds since the epoch) was old enough to be believed."""
    mtime, ctime = item[3], item[4]
    assert isinstance(mtime, int)
    assert isinstance(ctime, int)
    return max(mtime, ctime) + GRAIN_NANOSECONDS < read_at
