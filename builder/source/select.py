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
from builder.source.listing import (
    Item,
    kept_listings,
    kept_mode,
    listing_digest,
    own_item,
    tree_digest,
)
from builder.source.tops import Top, Tree, hides, missing

PIECE = 1 << 20
_NEVER = -1


class Digester:
    """Digests selections of one tree; `files` and `bytes` count what was selected so far.

    With `owners`, owners and extended attributes count: a copy from a stage or image keeps them, one from a
    context does not.
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
            return "", self._directory(top.real, top.path)
        directory, _, name = top.real.rpartition("/")
        fd = self._tree.open_directory(directory)
        try:
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            status = self._tree.seen(top.real, status)
            item: KnownItem = [name, *_status_key(status), None]
            self._fill(fd, item, self._known_item(directory, name, top.real))
            kept = self._item(fd, item, status)
        finally:
            os.close(fd)
        if self._known is not None:
            self._known.remember(top.real, item)
        self.files += 1
        self.bytes += status.st_size
        return top.name, listing_digest([("", *kept[1:])])

    def _known_item(self, directory: str, name: str, real: str) -> KnownItem | None:
        if self._known is None:
            return None
        named = self._known.files.get(real)
        if named is not None:
            return named
        record = self._known.old.get(directory)
        for item in record.items if record is not None else ():
            if item[0] == name:
                return item
        return None

    def _directory(self, real: str, named: str) -> bytes:
        listings: list[tuple[str, bytes, bool]] = []
        self._links.clear()
        pending = [""]
        while pending:
            relative = pending.pop()
            path = _join(real, relative)
            fd = self._tree.open_unless_hidden(path)
            if fd is None:
                continue
            try:
                record, below = self._listing(fd, path, relative)
            finally:
                os.close(fd)
            only_for_below = record.hidden_mode != 0 and not record.holds
            listings.append((relative, record.digest, only_for_below))
            self.files += record.files
            self.bytes += record.size
            pending.extend(_join(relative, name) for name in below)
        groups = [tuple(names) for names in self._links.values() if len(names) > 1]
        kept = list(kept_listings(listings))
        if not kept:
            raise missing(self._tree, named)
        return tree_digest(kept, groups)

    def _listing(self, fd: int, path: str, relative: str) -> tuple[KnownDirectory, list[str]]:
        """Return the record of one directory, and the names of the directories in it."""
        old = self._known.old.get(path) if self._known is not None else None
        previous = {item[0]: item for item in old.items} if old is not None else {}
        with os.scandir(fd) as entries:
            found = sorted(entries, key=attrgetter("name"))
        hidden = self._tree.ignored(path) if old is None else old.hidden_mode != 0
        own = self._tree.seen(path, os.fstat(fd)) if hidden else None
        hidden_mode = own.st_mode if own is not None else 0
        same = old is not None and old.hidden_mode == hidden_mode
        items: list[KnownItem] = []
        statuses: list[os.stat_result | None] = []
        below: list[str] = []
        for entry in found:
            name = entry.name
            before = previous.get(name)
            if self._hidden(path, entry, before):
                same = same and before is not None and len(before) == 1
                items.append([name])
                statuses.append(None)
                continue
            status = self._tree.seen(_join(path, name), entry.stat(follow_symlinks=False))
            if stat.S_ISSOCK(status.st_mode):
                continue
            if stat.S_ISDIR(status.st_mode):
                below.append(name)
                key = self._directory_key(path, name, status.st_mode, before)
            else:
                key = _status_key(status)
                if status.st_nlink > 1:
                    names = self._links.setdefault((status.st_dev, status.st_ino), [])
                    names.append(_join(relative, name))
            if before is not None and before[1:6] == key:
                items.append(before)
            else:
                same = False
                items.append([name, *key, None])
            statuses.append(status)
        if old is None or not same or len(items) != len(old.items):
            record = self._digest(fd, items, statuses, previous, own)
            if self._known is not None:
                self._known.changed = True
        else:
            record = old
        if self._known is not None:
            self._known.new[path] = record
        return record, below

    def _hidden(self, path: str, entry: os.DirEntry[str], before: KnownItem | None) -> bool:
        """Tell whether the ignore rules hide a name and all below it."""
        rules = self._tree.rules
        if rules is None:
            return False
        if before is not None:
            is_directory = entry.is_dir(follow_symlinks=False)
            if len(before) > 1 and is_directory == stat.S_ISDIR(int(str(before[1]))):
                return False
            if len(before) == 1 and not is_directory:
                return True
        return hides(rules, _join(path, entry.name), entry)

    def _directory_key(
        self, path: str, name: str, mode: int, before: KnownItem | None
    ) -> list[object]:
        if self._tree.rules is None:
            hidden = 0
        elif before is not None and len(before) > 1 and stat.S_ISDIR(int(str(before[1]))):
            hidden = int(str(before[2]))
        else:
            hidden = int(self._tree.ignored(_join(path, name)))
        return [mode, hidden, 0, 0, 0]

    def _digest(
        self,
        fd: int,
        items: list[KnownItem],
        statuses: list[os.stat_result | None],
        previous: dict[object, KnownItem],
        own: os.stat_result | None,
    ) -> KnownDirectory:
        kept: list[Item] = []
        files = size = 0
        for item, status in zip(items, statuses, strict=True):
            if status is None:
                continue
            self._fill(fd, item, previous.get(item[0]))
            if stat.S_ISDIR(status.st_mode):
                if not item[2]:
                    kept.append(self._item(fd, item, status))
                continue
            kept.append(self._item(fd, item, status))
            files += 1
            size += status.st_size
        holds = bool(kept)
        hidden_mode = 0
        if own is not None:
            hidden_mode = own.st_mode
            owner = (own.st_uid, own.st_gid) if self._owners else (0, 0)
            kept.append(own_item(hidden_mode, *owner))
        return KnownDirectory(listing_digest(kept), items, files, size, hidden_mode, holds)

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

    Those of overlayfs itself, and our own, never count. Links have none.
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
        or (each.startswith("user.") and not each.startswith(("user.overlay.", "user.lapstrake.")))
    ]
    return tuple((each, os.getxattr(path, each, follow_symlinks=False)) for each in sorted(kept))


def _status_key(status: os.stat_result) -> list[object]:
    return [
        status.st_mode,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
    ]


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
