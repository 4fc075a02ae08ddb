"""Digest what a copy selects, without copying: reads only files that changed since they were last read.

Runs behind the launcher. An unchanged context costs one `scandir` and one `lstat` per name.
"""

from __future__ import annotations

import os
import stat
import time
from operator import attrgetter

from builder.errors import ContextError
from builder.source.known import KnownDirectory, KnownFiles, KnownItem, trusted
from builder.source.listing import Item, kept_mode, listing_digest, tree_digest
from builder.source.tops import Top, Tree

PIECE = 1 << 20
_NEVER = -1


class Digester:
    """Digests selections of one tree; `files` and `bytes` count what was selected so far.

    With `owners`, owners, extended attributes and hard links count: a copy from a stage or image keeps them,
    one from a context does not.
    """

    def __init__(self, tree: Tree, *, owners: bool, known: KnownFiles | None = None) -> None:
        self._tree = tree
        self._owners = owners
        self._known = known
        self._links: dict[tuple[int, int], list[str]] = {}
        self.files = 0
        self.bytes = 0

    def top(self, top: Top) -> tuple[str, bytes]:
        """Return (name, digest) of one top, as `contents_digest` takes them; a directory has no name."""
        if top.is_directory:
            return "", self._directory(top.real)
        directory, _, name = top.real.rpartition("/")
        fd = self._tree.open_directory(directory)
        try:
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            item: KnownItem = [name, *_status_key(status), None]
            self._fill(fd, item, self._known_item(directory, name))
            kept = self._item(fd, item, status)
        finally:
            os.close(fd)
        self.files += 1
        self.bytes += status.st_size
        return top.name, listing_digest([("", *kept[1:])])

    def _known_item(self, directory: str, name: str) -> KnownItem | None:
        record = self._known.old.get(directory) if self._known is not None else None
        for item in record.items if record is not None else ():
            if item[0] == name:
                return item
        return None

    def _directory(self, real: str) -> bytes:
        listings: list[tuple[str, bytes]] = []
        self._links.clear()
        pending = [""]
        while pending:
            relative = pending.pop()
            path = _join(real, relative)
            fd = self._tree.open_directory(path)
            try:
                record, below = self._listing(fd, path, relative)
            finally:
                os.close(fd)
            listings.append((relative, record.digest))
            self.files += record.files
            self.bytes += record.size
            pending.extend(_join(relative, name) for name in below)
        groups = [tuple(names) for names in self._links.values() if len(names) > 1]
        return tree_digest(listings, groups)

    def _listing(self, fd: int, path: str, relative: str) -> tuple[KnownDirectory, list[str]]:
        """Return the record of one directory, and the names of the directories in it."""
        old = self._known.old.get(path) if self._known is not None else None
        previous = {item[0]: item for item in old.items} if old is not None else {}
        with os.scandir(fd) as entries:
            found = sorted(entries, key=attrgetter("name"))
        same = old is not None
        items: list[KnownItem] = []
        statuses: list[os.stat_result | None] = []
        below: list[str] = []
        for entry in found:
            name = entry.name
            before = previous.get(name)
            if self._hidden(path, entry, before):
                same = same and before is not None
                items.append([name])
                statuses.append(None)
                continue
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISSOCK(status.st_mode):
                continue
            if stat.S_ISDIR(status.st_mode):
                below.append(name)
            key = _status_key(status)
            if before is not None and before[1:6] == key:
                items.append(before)
            else:
                same = False
                items.append([name, *key, None])
            statuses.append(status)
        if old is None or not same or len(items) != len(old.items):
            record = self._digest(fd, relative, items, statuses, previous)
            if self._known is not None:
                self._known.changed = True
        else:
            record = old
        if self._known is not None:
            self._known.new[path] = record
        return record, below

    def _hidden(self, path: str, entry: os.DirEntry[str], before: KnownItem | None) -> bool:
        """Tell whether the ignore rules hide a name and all below it."""
        if before is not None:
            return len(before) == 1
        rules = self._tree.rules
        if rules is None:
            return False
        full = _join(path, entry.name)
        if not rules.match(full).ignored:
            return False
        return not entry.is_dir(follow_symlinks=False) or rules.prunable(full)

    def _digest(
        self,
        fd: int,
        relative: str,
        items: list[KnownItem],
        statuses: list[os.stat_result | None],
        previous: dict[object, KnownItem],
    ) -> KnownDirectory:
        kept: list[Item] = []
        files = size = 0
        for item, status in zip(items, statuses, strict=True):
            if status is None:
                continue
            self._fill(fd, item, previous.get(item[0]))
            kept.append(self._item(fd, item, status))
            if stat.S_ISDIR(status.st_mode):
                continue
            files += 1
            size += status.st_size
            if self._owners and status.st_nlink > 1:
                name = _join(relative, str(item[0]))
                self._links.setdefault((status.st_dev, status.st_ino), []).append(name)
        return KnownDirectory(listing_digest(kept), items, files, size)

    def _fill(self, fd: int, item: KnownItem, before: KnownItem | None) -> None:
        """Complete an item with its data, from what is known or by reading."""
        if item[6] is not None:
            return
        if before is not None and len(before) > 1 and before[1:6] == item[1:6]:
            item[6] = before[6]
            return
        read_at = time.time_ns()
        item[6] = _data(fd, str(item[0]), int(str(item[1])))
        if (
            self._known is not None
            and stat.S_ISREG(int(str(item[1])))
            and not trusted(item, read_at)
        ):
            item[3] = _NEVER

    def _item(self, fd: int, item: KnownItem, status: os.stat_result) -> Item:
        data = item[6]
        assert isinstance(data, bytes)
        mode = kept_mode(status.st_mode)
        if not self._owners:
            return (str(item[0]), mode, 0, 0, data, ())
        xattrs = kept_xattrs(fd, str(item[0]), status.st_mode)
        return (str(item[0]), mode, status.st_uid, status.st_gid, data, xattrs)


def kept_xattrs(dir_fd: int, name: str, mode: int) -> tuple[tuple[str, bytes], ...]:
    """Return the extended attributes that a copy from a stage keeps: `user.*` and file capabilities.

    Those of overlayfs itself never count. Links have none.
    """
    if stat.S_ISLNK(mode) or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        return ()
    path = f"/proc/self/fd/{dir_fd}/{name}"
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return ()
    kept = [
        each
        for each in names
        if each == "security.capability"
        or (each.startswith("user.") and not each.startswith("user.overlay."))
    ]
    return tuple((each, os.getxattr(path, each, follow_symlinks=False)) for each in sorted(kept))


def _status_key(status: os.stat_result) -> list[object]:
    mode = status.st_mode
    if stat.S_ISDIR(mode):
        return [mode, 0, 0, 0, 0]
    return [mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _join(directory: str, name: str) -> str:
    if not directory or not name:
        return directory or name
    return f"{directory}/{name}"


def _data(dir_fd: int, name: str, mode: int) -> bytes:
    if stat.S_ISREG(mode):
        return file_digest(dir_fd, name)
    if stat.S_ISLNK(mode):
        return os.fsencode(os.readlink(name, dir_fd=dir_fd))
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        return str(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_rdev).encode()
    return b""


def open_file(dir_fd: int, name: str) -> int:
    """Open a regular file for reading; a FIFO or link put in its place is refused, never waited for."""
    try:
        fd = os.open(
            name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd
        )
    except OSError as error:
        raise ContextError(
            f"`{name}` cannot be read: {os.strerror(error.errno or 0)}", code="context.unreadable"
        ) from error
    return fd


def file_digest(dir_fd: int, name: str) -> bytes:
    """Return the SHA-256 of a regular file, raw."""
    from hashlib import sha256  # loaded only where there is a file to read

    fd = open_file(dir_fd, name)
    try:
        piece = os.read(fd, PIECE)
        digest = sha256(piece)
        while len(piece) == PIECE:
            piece = os.read(fd, PIECE)
            digest.update(piece)
        return digest.digest()
    finally:
        os.close(fd)
