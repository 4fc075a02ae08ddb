"""Selected objects as an ordered stream, for copying: each is read once, and digested on the way.

Whoever takes an object from the stream reads it (or not) before asking for the next one: descriptors are
only valid until then. A taken file's digest is put into the object, so that the selection's digest, the same
as `select` computes, is known at the end.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from enum import Enum

from builder.source.known import KnownDirectory, KnownFiles, KnownItem, trusted
from builder.source.listing import Item, kept_mode, listing_digest, own_item, tree_digest
from builder.source.select import file_digest, kept_xattrs
from builder.source.tops import Top, Tree, hides, missing

_NEVER = -1
MAX_OPEN = 200


class Origin(Enum):
    """Where an object is from, which decides how it meets what is there already.

    What an archive lists keeps its mode, and replaces what is of another kind. IMPLIED is a directory that an
    archive does not list.
    """

    TREE = 0
    ARCHIVE = 1
    IMPLIED = 2


class Object:
    """One selected object: `path` is where it goes, relative to the destination ("" is the top itself).

    `data` is the target of a link or the digest of a file, once known. `first` is the path of the name
    under which a hard-linked file was seen first, where links are kept. `owned` tells whether its owner is
    to be kept; `inline` is the content of a file that stands in the Dockerfile.
    """

    __slots__ = (
        "data",
        "dir_fd",
        "first",
        "inline",
        "name",
        "origin",
        "owned",
        "path",
        "status",
        "xattrs",
    )

    def __init__(self, path: bytes, dir_fd: int, name: str, status: os.stat_result) -> None:
        self.path = path
        self.dir_fd = dir_fd
        self.name = name
        self.status = status
        self.data: bytes | None = None
        self.first: bytes | None = None
        self.inline: bytes | None = None
        self.owned = False
        self.origin = Origin.TREE
        self.xattrs: tuple[tuple[str, bytes], ...] = ()

    def digest(self) -> bytes:
        """Return the data that counts, reading the file if nobody has."""
        if self.data is None:
            mode = self.status.st_mode
            if stat.S_ISREG(mode):
                self.data = file_digest(self.dir_fd, self.name)
            elif stat.S_ISLNK(mode):
                self.data = os.fsencode(os.readlink(self.name, dir_fd=self.dir_fd))
            elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                self.data = str(self.status.st_rdev).encode()
            else:
                self.data = b""
        return self.data


class _Frame:
    """A directory that the stream is in.

    One that the ignore rules hide, but not all below it, is `waiting` to be yielded before the first object
    in it that is kept. `holds` tells whether anything directly in it was kept; a hidden one that may not be read
    is `shut`.
    """

    __slots__ = (
        "fd",
        "holds",
        "items",
        "kept",
        "path",
        "pending",
        "real",
        "relative",
        "shut",
        "size",
        "waiting",
    )

    def __init__(self, real: str, relative: str, path: bytes, waiting: Object | None) -> None:
        self.real = real
        self.relative = relative
        self.path = path
        self.waiting = waiting
        self.holds = False
        self.shut = False
        self.fd = -1
        self.pending: list[os.DirEntry[str]] = []
        self.items: list[KnownItem] = []
        self.kept: list[Item] = []
        self.size = 0


class ObjectStream:
    """Streams one top; `digest()` is valid after the stream has ended."""

    def __init__(
        self, tree: Tree, top: Top, target: bytes, *, owners: bool, known: KnownFiles | None
    ) -> None:
        self._tree = tree
        self._top = top
        self._target = target
        self._owners = owners
        self._known = known
        self._links: dict[tuple[int, int], list[tuple[str, bytes]]] = {}
        self._listings: list[tuple[str, bytes]] = []
        self._file_digest = b""
        self.files = 0
        self.bytes = 0

    def digest(self) -> tuple[str, bytes]:
        """Return (name, digest) as `Digester.top` does."""
        if not self._top.is_directory:
            return self._top.name, self._file_digest
        groups = [
            tuple(name for name, _ in names) for names in self._links.values() if len(names) > 1
        ]
        return "", tree_digest(self._listings, groups)

    def __iter__(self) -> Iterator[Object]:
        return self._directory() if self._top.is_directory else self._file()

    def _file(self) -> Iterator[Object]:
        directory, _, name = self._top.real.rpartition("/")
        fd = self._tree.open_directory(directory)
        try:
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            status = self._tree.seen(self._top.real, status)
            found = Object(self._target, fd, name, status)
            if self._owners:
                found.owned = True
                found.xattrs = kept_xattrs(fd, name, status.st_mode)
            read_at = time.time_ns()
            yield found
            self._file_digest = listing_digest([("", *self._item(found)[1:])])
            if self._known is not None:
                self._known.remember(self._top.real, known_item(found, read_at))
            self.files += 1
            self.bytes += status.st_size
        finally:
            os.close(fd)

    def _directory(self) -> Iterator[Object]:
        stack = [self._enter(self._top.real, "", self._target, None)]
        try:
            while stack:
                frame = stack[-1]
                if not frame.pending:
                    self._close(stack.pop())
                    continue
                if frame.fd < 0:
                    frame.fd = self._tree.open_directory(frame.real)
                entry = frame.pending.pop()
                found = self._object(frame, entry)
                if found is None:
                    continue
                waiting = None
                if stat.S_ISDIR(found.status.st_mode) and self._tree.ignored(
                    _join(frame.real, entry.name)
                ):
                    waiting = found
                    frame.items.append([entry.name, found.status.st_mode, 1, 0, 0, 0, b""])
                else:
                    yield from self._due(stack)
                    yield found
                    self._count(frame, found)
                if stat.S_ISDIR(found.status.st_mode):
                    stack.append(
                        self._enter(
                            _join(frame.real, entry.name),
                            _join(frame.relative, entry.name),
                            found.path,
                            waiting,
                        )
                    )
                    self._spare(stack)
        finally:
            for frame in stack:
                if frame.fd >= 0:
                    os.close(frame.fd)
        if not self._listings:
            raise missing(self._tree, self._top.path)

    def _due(self, stack: list[_Frame]) -> Iterator[Object]:
        """Yield the directories above that waited for something to be kept in them."""
        for frame in stack:
            if frame.waiting is not None:
                yield frame.waiting
                frame.waiting = None

    def _spare(self, stack: list[_Frame]) -> None:
        """Close a directory far above, to stay below the limit of open files."""
        if len(stack) > MAX_OPEN and stack[-MAX_OPEN].fd >= 0:
            os.close(stack[-MAX_OPEN].fd)
            stack[-MAX_OPEN].fd = -1

    def _enter(self, real: str, relative: str, path: bytes, waiting: Object | None) -> _Frame:
        frame = _Frame(real, relative, path, waiting)
        fd = self._tree.open_unless_hidden(real)
        if fd is None:
            frame.shut = True
            return frame
        frame.fd = fd
        with os.scandir(frame.fd) as entries:
            # Sorted as bytes, the order of a layer; taken from the end.
            frame.pending = sorted(entries, key=_name_bytes, reverse=True)
        return frame

    def _object(self, frame: _Frame, entry: os.DirEntry[str]) -> Object | None:
        rules = self._tree.rules
        if rules is not None and hides(rules, _join(frame.real, entry.name), entry):
            frame.items.append([entry.name])
            return None
        status = os.stat(entry.name, dir_fd=frame.fd, follow_symlinks=False)
        status = self._tree.seen(_join(frame.real, entry.name), status)
        if stat.S_ISSOCK(status.st_mode):
            return None
        name = os.fsencode(entry.name)
        path = frame.path + b"/" + name if frame.path else name
        found = Object(path, frame.fd, entry.name, status)
        if self._owners:
            found.owned = True
            found.xattrs = kept_xattrs(frame.fd, entry.name, status.st_mode)
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            names = self._links.setdefault((status.st_dev, status.st_ino), [])
            if names:
                found.first = names[0][1]
            names.append((_join(frame.relative, entry.name), path))
        return found

    def _item(self, found: Object) -> Item:
        mode = kept_mode(found.status.st_mode)
        data = found.digest()
        if not self._owners:
            return (found.name, mode, 0, 0, data, ())
        return (found.name, mode, found.status.st_uid, found.status.st_gid, data, found.xattrs)

    def _count(self, frame: _Frame, found: Object) -> None:
        status = found.status
        mode = status.st_mode
        frame.holds = True
        frame.kept.append(self._item(found))
        if stat.S_ISDIR(mode):
            frame.items.append([found.name, mode, 0, 0, 0, 0, b""])
            return
        self.files += 1
        self.bytes += status.st_size
        frame.size += status.st_size
        if self._known is not None:
            frame.items.append(known_item(found, time.time_ns()))

    def _close(self, frame: _Frame) -> None:
        if frame.shut:
            return
        hidden_mode = 0
        if self._tree.ignored(frame.real):
            own = self._status(frame)
            hidden_mode = own.st_mode
            owner = (own.st_uid, own.st_gid) if self._owners else (0, 0)
            frame.kept.append(own_item(hidden_mode, *owner))
        if frame.fd >= 0:
            os.close(frame.fd)
        digest = listing_digest(frame.kept)
        if frame.waiting is None and (
            frame.relative or frame.holds or not hidden_mode or self._listings
        ):
            self._listings.append((frame.relative, digest))
        if self._known is not None:
            files = sum(
                1 for item in frame.items if len(item) > 1 and not stat.S_ISDIR(int(str(item[1])))
            )
            items = sorted(frame.items, key=lambda item: str(item[0]))
            self._known.new[frame.real] = KnownDirectory(
                digest, items, files, frame.size, hidden_mode, frame.holds
            )
            self._known.changed = True

    def _status(self, frame: _Frame) -> os.stat_result:
        if frame.fd < 0:
            frame.fd = self._tree.open_directory(frame.real)
        return self._tree.seen(frame.real, os.fstat(frame.fd))


def known_item(found: Object, read_at: int) -> KnownItem:
    """Return what to remember of an object whose data was read at `read_at`, nanoseconds since the epoch."""
    status = found.status
    item: KnownItem = [
        found.name,
        status.st_mode,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
        found.digest(),
    ]
    if stat.S_ISREG(status.st_mode) and not trusted(item, read_at):
        item[3] = _NEVER
    return item


def _name_bytes(entry: os.DirEntry[str]) -> bytes:
    return os.fsencode(entry.name)


def _join(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name
