"""A plain tree before and after a step → entry list, tar, content id of what changed.

What `lstat` says of everything is written down before, and compared after: inode, kind, size, mode, owner, both times.
The time of the last status change gives away what changes all else back. Attributes of directories are read,
since their own times also tell of what only came and went in them.
"""

from __future__ import annotations

import os
import stat

import msgspec

from builder.errors import LayerError
from builder.layer import attributes, owners
from builder.layer.entry import Entry, Kind
from builder.layer.objects import KINDS
from builder.layer.scan import Report
from builder.layer.scanned import LayerScan
from builder.layer.times import StepTimes
from builder.layer.tree import DIRECTORY, PATH_LIMIT
from builder.layer.writer import LayerWriter, writing

DEEPEST = 400
"""How deep directories may be nested in a plain tree, each of which is held open on the way down."""

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_REPORT_EVERY = 1 << 23

Seen = tuple[int, int, int, int, int, int, int, int]
"""Inode, mode, size, owner, group, times of the last change of content and of status, device."""


class Known(msgspec.Struct, array_like=True):
    """A directory as it was: what was in it by name, and its own attributes."""

    own: Seen
    xattrs: attributes.Attributes
    items: dict[bytes, Seen]


def record(root: str, listing: str) -> int:
    """Write what is in the plain tree `root` to the file `listing`; host paths.

    Returns: the number of objects.
    Raises: LayerError: directories are nested too deeply.
    """
    found: dict[bytes, Known] = {}
    fd = os.open(root, DIRECTORY)
    try:
        _record(fd, b"", found, 0)
    finally:
        os.close(fd)
    with open(listing, "wb") as file:
        file.write(msgspec.msgpack.encode(found))
    return sum(len(known.items) for known in found.values())


def _record(fd: int, path: bytes, found: dict[bytes, Known], depth: int) -> None:
    check_depth(depth)
    items: dict[bytes, Seen] = {}
    own = seen(owners.seen(os.fstat(fd), fd))
    found[path] = Known(own, attributes.read(fd, attributes.names(fd)), items)
    prefix = path + b"/" if path else b""
    with os.scandir(fd) as entries:
        for entry in entries:
            name = os.fsencode(entry.name)
            items[name] = seen(owners.seen_at(entry.stat(follow_symlinks=False), fd, entry.name))
    for name, what in items.items():
        if stat.S_ISDIR(what[1]):
            below = os.open(name, DIRECTORY, dir_fd=fd)
            try:
                _record(below, prefix + name, found, depth + 1)
            finally:
                os.close(below)


def seen(status: os.stat_result) -> Seen:
    """Return what is compared of an object."""
    return (
        status.st_ino,
        status.st_mode,
        status.st_size,
        status.st_uid,
        status.st_gid,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_rdev,
    )


def compare(
    root: str,
    listing: str,
    *,
    entries_path: str,
    tar: str,
    since: int = 0,
    moved: frozenset[int] = frozenset(),
    user: tuple[int, int] = (0, 0),
    report: Report | None = None,
) -> LayerScan:
    """Write the layer of what changed in the tree `root` since `record` wrote `listing`, as a tar to `tar`; host paths.

    `moved` are inodes that were out of the step's reach meanwhile: their status changed by that alone. For `since`
    and `user` see `scan_upper`. Sockets are left out; the root itself is listed only if its mode, owner or attributes changed.

    Raises: LayerError: a path is too long, directories are nested too deeply, or a file changed while it was read.
    """
    with open(listing, "rb") as file:
        before = msgspec.msgpack.decode(file.read(), type=dict[bytes, Known])
    try:
        with writing(tar) as write, LayerWriter(entries_path, write=write) as writer:
            return _Comparison(writer, before, since, moved, user, report).run(root)
    except BaseException:
        os.unlink(tar)
        raise


class _Comparison:
    def __init__(
        self,
        writer: LayerWriter,
        before: dict[bytes, Known],
        since: int,
        moved: frozenset[int],
        user: tuple[int, int],
        report: Report | None,
    ) -> None:
        self._writer = writer
        self._before = before
        self._moved = moved
        self._user = user
        self._report = report
        self._reported = 0
        self._times = StepTimes(since)
        self._links: dict[int, bytes] = {}

    def run(self, root: str) -> LayerScan:
        fd = os.open(root, DIRECTORY)
        try:
            self._directory(fd, b"", 0, self._before.get(b""))
        finally:
            os.close(fd)
        return self._times.complete(self._writer.close())

    def _directory(self, fd: int, path: bytes, depth: int, was: Known | None) -> None:
        check_depth(depth)
        self._add_directory(fd, path, was)
        known = {} if was is None else was.items
        with os.scandir(fd) as entries:
            found = {
                os.fsencode(entry.name): owners.seen_at(
                    entry.stat(follow_symlinks=False), fd, entry.name
                )
                for entry in entries
            }
        prefix = path + b"/" if path else b""
        hidden = sorted(name for name in known if name not in found)
        for name in hidden:
            self._writer.tar.add_header(Entry(prefix + name, Kind.WHITEOUT))
        for name in sorted((*found, *hidden)):
            inside = prefix + name
            if len(inside) > PATH_LIMIT:
                raise LayerError(f"a path of {len(inside)} bytes is too long for a layer")
            status = found.get(name)
            if status is None:
                self._writer.entries.add(Entry(inside, Kind.WHITEOUT))
            elif stat.S_ISDIR(status.st_mode):
                below = os.open(name, DIRECTORY, dir_fd=fd)
                try:
                    replaced = name not in known or not stat.S_ISDIR(known[name][1])
                    self._directory(
                        below, inside, depth + 1, None if replaced else self._before.get(inside)
                    )
                finally:
                    os.close(below)
            elif self._changed(known.get(name), status):
                self._add(inside, name, fd, status, known.get(name))

    def _settled(self, fd: int, was: Seen | None) -> os.stat_result:
        status = os.fstat(fd)
        before = None if was is None else (was[3], was[4])
        replaced = was is not None and was[0] != status.st_ino and stat.S_ISREG(status.st_mode)
        return owners.settled(status, fd, user=self._user, before=before, replaced=replaced)

    def _changed(self, was: Seen | None, status: os.stat_result) -> bool:
        now = seen(status)
        if was is None or was == now:
            return was is None
        return now[0] not in self._moved or (was[:6], was[7]) != (now[:6], now[7])

    def _add_directory(self, fd: int, path: bytes, was: Known | None) -> None:
        status = self._settled(fd, None if was is None else was.own)
        xattrs = attributes.read(fd, attributes.names(fd))
        if was is not None:
            own = was.own
            same = (
                (own[1], own[3], own[4]) == (status.st_mode, status.st_uid, status.st_gid)
                and (not path or own[5] == status.st_mtime_ns)
                and was.xattrs == xattrs
            )
            if same:
                return
        self._writer.add(self._entry(path, Kind.DIRECTORY, status, xattrs=xattrs))

    def _entry(
        self,
        path: bytes,
        kind: Kind,
        status: os.stat_result,
        *,
        link: bytes = b"",
        xattrs: attributes.Attributes = (),
    ) -> Entry:
        device = status.st_rdev if kind in (Kind.CHARACTER, Kind.BLOCK) else 0
        return Entry(
            path,
            kind,
            status.st_mode & 0o7777,
            status.st_uid,
            status.st_gid,
            self._times.of(path, status),
            status.st_size if kind is Kind.FILE else 0,
            link,
            b"",
            os.major(device),
            os.minor(device),
            xattrs,
        )

    def _add(
        self,
        path: bytes,
        name: bytes,
        directory: int,
        status: os.stat_result,
        was: Seen | None,
    ) -> None:
        kind = KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is None:  # a socket is nothing without the process that listens
            return
        if status.st_nlink > 1:
            first = self._links.setdefault(status.st_ino, path)
            if first != path:
                status = owners.seen_at(status, directory, name)
                self._writer.add(self._entry(path, Kind.HARDLINK, status, link=first))
                return
        if kind is Kind.FILE:
            self._add_file(path, name, directory, was)
            return
        if was is None and self._user != (0, 0):
            status = owners.with_owner(status, self._user)
        link = os.readlink(name, dir_fd=directory) if kind is Kind.SYMLINK else b""
        self._writer.add(self._entry(path, kind, status, link=link))

    def _add_file(self, path: bytes, name: bytes, directory: int, was: Seen | None) -> None:
        fd = os.open(name, _FILE, dir_fd=directory)
        try:
            status = self._settled(fd, was)
            xattrs = attributes.read(fd, attributes.names(fd))
            self._writer.add_file(self._entry(path, Kind.FILE, status, xattrs=xattrs), fd)
        finally:
            os.close(fd)
        if self._report is not None and self._writer.tar.size - self._reported > _REPORT_EVERY:
            self._reported = self._writer.tar.size
            self._report(self._reported)


def check_depth(depth: int) -> None:
    """Refuse to go deeper into a plain tree.

    Raises: LayerError: it is nested too deeply.
    """
    if depth > DEEPEST:
        raise LayerError(
            f"directories are nested more than {DEEPEST} deep, which a store that copies cannot hold",
            code="layer.too-large",
            hint="keep the store on a file system that takes an overlay, with `--root`",
        )
