"""The upper directory of a finished overlay step → entry list, tar digest, content id, in one pass.

Each regular file is read once. Facts of overlayfs which this respects: whiteouts (character device 0:0) are
hard links of each other; every directory made over something deleted is opaque; a directory copied up only
because something below it changed keeps its attributes and time, and is not listed. A file or link copied up by
a command that gave it what it had, such as a second `chown -R`, is no change either: it is removed again.

Source: overlayfs.rst; OCI image-spec, layer.md, "Representing Changes".
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator

import msgspec

from builder.errors import LayerError
from builder.layer import attributes, owners
from builder.layer.entry import Entry, Kind
from builder.layer.lowers import Indices, Lowers
from builder.layer.scanned import LayerScan
from builder.layer.times import StepTimes
from builder.layer.tree import DIRECTORY, PATH_LIMIT
from builder.layer.writer import LayerWriter, remove_if_there, writing

_OPEN_LEVELS = 100
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_REPORT_EVERY = 1 << 23
_KINDS = {
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFCHR: Kind.CHARACTER,
    stat.S_IFBLK: Kind.BLOCK,
    stat.S_IFIFO: Kind.FIFO,
}

Report = Callable[[int], object]
"""Told from time to time how many bytes of the tar stream have gone by."""


def scan_upper(
    upper: str,
    lowers: tuple[str, ...],
    *,
    entries_path: str,
    write_tar: str | None = None,
    report: Report | None = None,
    since: int = 0,
    user: tuple[int, int] = (0, 0),
) -> LayerScan:
    """Record what the upper directory `upper` changes about the chain `lowers` (topmost first).

    Both are host paths and in the `userxattr` dialect. Overlayfs's own attributes (but opaque marks), and
    what a step left under their names, are removed from `upper`. Sockets are left out. The root itself is
    listed only if its mode, owner or attributes differ from the chain's. With `write_tar`, the tar stream is
    written to that path too. `entries_path` and `write_tar` appear only when complete.

    Times before `since`, in nanoseconds since the epoch, were set on purpose or come from below, so they are
    part of the content id; what the step itself wrote has the time that it happened to run. `user` is who it ran as,
    where its files do not tell.

    Raises: LayerError: a path is longer than 4095 bytes, or a file changed while it was read.
    """
    if write_tar is None:
        with LayerWriter(entries_path) as writer:
            return _Scan(writer, upper, lowers, report, since, user).run()
    unfinished = write_tar + ".partial"
    try:
        with (
            writing(unfinished) as write,
            LayerWriter(entries_path, write=write) as writer,
        ):
            result = _Scan(writer, upper, lowers, report, since, user).run()
        os.rename(unfinished, write_tar)
    except BaseException:
        remove_if_there(unfinished)
        raise
    return result


class _Level(msgspec.Struct):
    """A directory on the way down; `fd` is -1 while it is closed to save descriptors.

    `modified` is its time, in nanoseconds, which it gets back when something in it was `removed`.
    """

    path: bytes
    fd: int
    lowers: Indices
    items: Iterator[tuple[bytes, int]]
    modified: int
    removed: bool = False


_REGULAR, _BRANCH, _HIDDEN, _OTHER = range(4)


class _Scan:
    def __init__(
        self,
        writer: LayerWriter,
        upper: str,
        lowers: tuple[str, ...],
        report: Report | None,
        since: int,
        user: tuple[int, int],
    ) -> None:
        self._writer = writer
        self._upper = upper
        self._lowers = Lowers(lowers)
        self._report = report
        self._times = StepTimes(since)
        self._user = user
        self._reported = 0
        self._links: dict[tuple[int, int], bytes] = {}
        self._levels: list[_Level] = []
        self._root = -1

    def run(self) -> LayerScan:
        try:
            self._root = os.open(self._upper, DIRECTORY)
            self._enter(b"", os.dup(self._root), self._lowers.directory(b""))
            while self._levels:
                self._continue()
            return self._times.complete(self._writer.close())
        finally:
            for level in self._levels:
                if level.fd >= 0:
                    os.close(level.fd)
            if self._root >= 0:
                os.close(self._root)
            self._lowers.close()

    def _enter(self, path: bytes, fd: int, lowers: Indices) -> None:
        """Record the directory itself, then stand before its first item."""
        status = self._settled_directory(fd, path, lowers) if owners.recorded() else os.fstat(fd)
        names = attributes.names(fd)
        opaque = False
        if names:
            opaque = attributes.OPAQUE in names and os.getxattr(fd, attributes.OPAQUE) == b"y"
            attributes.strip_marks(fd, names, keep_opaque=opaque)
        self._record_directory(path, status, attributes.read(fd, names), lowers, opaque=opaque)
        if opaque:
            if lowers:
                self._writer.add(Entry(path, Kind.OPAQUE))
            lowers = ()
        prefix = path + b"/" if path else b""
        items, hidden = _list(fd)
        for name in hidden:
            self._writer.tar.add_header(Entry(prefix + name, Kind.WHITEOUT))
        self._levels.append(_Level(prefix, fd, lowers, iter(items), status.st_mtime_ns))
        if len(self._levels) > _OPEN_LEVELS:
            above = self._levels[-_OPEN_LEVELS]
            if above.fd >= 0:
                os.close(above.fd)
                above.fd = -1

    def _settled_directory(self, fd: int, path: bytes, lowers: Indices) -> os.stat_result:
        before = None
        if lowers or not path:
            below = self._lowers.status(lowers[0], path) if lowers else os.fstat(fd)
            before = (below.st_uid, below.st_gid)
        return owners.settled(os.fstat(fd), fd, user=self._user, before=before, replaced=False)

    def _settled_file(self, fd: int, path: bytes, names: list[str]) -> os.stat_result:
        status = os.fstat(fd)
        if not owners.recorded():
            return status
        before = None
        index = self._lowers.find(path)
        if index is not None:
            below = self._lowers.status(index, path)
            before = (below.st_uid, below.st_gid)
        # What was copied up to be changed has a mark of where it came from.
        replaced = attributes.ORIGIN not in names
        return owners.settled(status, fd, user=self._user, before=before, replaced=replaced)

    def _record_directory(
        self,
        path: bytes,
        status: os.stat_result,
        xattrs: attributes.Attributes,
        lowers: Indices,
        *,
        opaque: bool,
    ) -> None:
        if lowers:
            below = self._lowers.status(lowers[0], path)
            same = (
                below.st_mode == status.st_mode
                and below.st_uid == status.st_uid
                and below.st_gid == status.st_gid
                and (not path or below.st_mtime_ns == status.st_mtime_ns)
                and not (opaque and path)
                and self._lowers.attributes(lowers[0], path) == xattrs
            )
        else:
            # Nothing below: only a root as any extraction makes it goes without saying.
            same = not path and not _unlike_default(status, xattrs)
        if same:
            self._writer.implied |= path != b"" or _unlike_default(status, xattrs)
        else:
            self._writer.add(
                Entry(
                    path,
                    Kind.DIRECTORY,
                    status.st_mode & 0o7777,
                    status.st_uid,
                    status.st_gid,
                    self._times.of(path, status),
                    0,
                    b"",
                    b"",
                    0,
                    0,
                    xattrs,
                )
            )

    def _continue(self) -> None:
        """Go on in the innermost directory until it ends or a directory in it begins."""
        level = self._levels[-1]
        if level.fd < 0:
            level.fd = os.open(level.path.rstrip(b"/") or b".", DIRECTORY, dir_fd=self._root)
        fd, prefix = level.fd, level.path
        for name, what in level.items:
            path = prefix + name
            if len(path) > PATH_LIMIT:
                raise LayerError(f"a path of {len(path)} bytes is too long for a layer")
            if what == _REGULAR:
                self._add_file(path, name, level)
            elif what == _BRANCH:
                child = os.open(name, DIRECTORY, dir_fd=fd)
                self._enter(path, child, self._lowers.below(level.lowers, path))
                return
            elif what == _HIDDEN:
                self._writer.entries.add(Entry(path, Kind.WHITEOUT))
            else:
                self._add_other(path, name, level)
        if level.removed:
            os.utime(fd, ns=(level.modified, level.modified))
        os.close(fd)
        self._levels.pop()

    def _add_file(self, path: bytes, name: bytes, level: _Level) -> None:
        fd = os.open(name, _FILE, dir_fd=level.fd)
        try:
            names = attributes.names(fd)
            status = self._settled_file(fd, path, names)
            xattrs: attributes.Attributes = ()
            if names:
                attributes.strip_marks(fd, names)
                xattrs = attributes.read(fd, names)
            if status.st_nlink > 1:
                if self._add_link(path, status):
                    return
            elif self._lowers.show_file(level.lowers, path, fd, (status, xattrs)):
                self._remove(name, level)
                return
            entry = Entry(
                path,
                Kind.FILE,
                status.st_mode & 0o7777,
                status.st_uid,
                status.st_gid,
                self._times.of(path, status),
                status.st_size,
                b"",
                b"",
                0,
                0,
                xattrs,
            )
            self._writer.add_file(entry, fd)
        finally:
            os.close(fd)
        if self._report is not None and self._writer.tar.size - self._reported > _REPORT_EVERY:
            self._reported = self._writer.tar.size
            self._report(self._reported)

    def _remove(self, name: bytes, level: _Level) -> None:
        os.unlink(name, dir_fd=level.fd)
        level.removed = True

    def _add_link(self, path: bytes, status: os.stat_result) -> bool:
        """Record a further name of an inode seen before; its attributes are repeated, as tar readers expect."""
        inode = (status.st_dev, status.st_ino)
        first = self._links.setdefault(inode, path)
        if first == path:
            return False
        self._writer.add(
            Entry(
                path,
                Kind.HARDLINK,
                status.st_mode & 0o7777,
                status.st_uid,
                status.st_gid,
                self._times.of(path, status),
                0,
                first,
            )
        )
        return True

    def _add_other(self, path: bytes, name: bytes, level: _Level) -> None:
        """Record a link, device or FIFO. Their attributes are none of a layer's."""
        status = os.lstat(name, dir_fd=level.fd)
        if self._user != (0, 0) and self._lowers.find(path) is None:
            status = owners.with_owner(status, self._user)
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is None:  # a socket is nothing without the process that listens
            return
        if status.st_nlink > 1 and self._add_link(path, status):
            return
        target = os.readlink(name, dir_fd=level.fd) if kind is Kind.SYMLINK else b""
        if target and self._lowers.show_link(level.lowers, path, status, target):
            self._remove(name, level)
            return
        device = kind in (Kind.CHARACTER, Kind.BLOCK)
        self._writer.add(
            Entry(
                path,
                kind,
                status.st_mode & 0o7777,
                status.st_uid,
                status.st_gid,
                self._times.of(path, status),
                0,
                target,
                b"",
                os.major(status.st_rdev) if device else 0,
                os.minor(status.st_rdev) if device else 0,
            )
        )


def _unlike_default(status: os.stat_result, xattrs: attributes.Attributes) -> bool:
    """Tell whether a directory is unlike one that any extraction makes unasked."""
    return bool(xattrs) or (status.st_mode, status.st_uid, status.st_gid) != (0o40755, 0, 0)


def _list(fd: int) -> tuple[list[tuple[bytes, int]], list[bytes]]:
    """Return the items of a directory and, of these, the names of whiteouts, both sorted."""
    items: list[tuple[bytes, int]] = []
    hidden: list[bytes] = []
    encode = os.fsencode
    with os.scandir(fd) as found:
        for item in found:
            name = encode(item.name)
            if item.is_file(follow_symlinks=False):
                items.append((name, _REGULAR))
            elif item.is_dir(follow_symlinks=False):
                items.append((name, _BRANCH))
            elif item.is_symlink():
                items.append((name, _OTHER))
            else:
                status = os.lstat(name, dir_fd=fd)
                if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                    items.append((name, _HIDDEN))
                    hidden.append(name)
                else:
                    items.append((name, _OTHER))
    items.sort()
    hidden.sort()
    return items, hidden
