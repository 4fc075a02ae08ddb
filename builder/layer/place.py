"""Write a layer's directory form object by object, in the order of its entries.

Everything happens relative to directory descriptors that this module opened itself, so no link in the
layer can lead a write elsewhere. Directories get their attributes when they are left, after their content.
"""

from __future__ import annotations

import os
import stat
from types import TracebackType

from builder.layer import owners
from builder.layer.entry import Entry, Kind

MAX_OPEN = 200
"""Descriptors kept for the directories above the current one; deeper ones are opened again on return."""


class Attributes:
    """Owner, mode, time (nanoseconds) and extended attributes of a directory."""

    __slots__ = ("gid", "mode", "mtime", "uid", "xattrs")

    def __init__(
        self,
        mode: int,
        uid: int = 0,
        gid: int = 0,
        mtime: int = 0,
        xattrs: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.mtime = mtime
        self.xattrs = xattrs

    @classmethod
    def of(cls, status: os.stat_result) -> Attributes:
        """Take over the attributes of an existing directory."""
        return cls(stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns)


class DirectoryForm:
    """A directory being filled; use as a context manager, which applies the last attributes.

    Entries come in order, a directory before its content. The process's umask must be 0.
    """

    def __init__(self, root: str) -> None:
        self._root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._path = b""
        self._stack: list[tuple[bytes, int, Attributes]] = []

    def __enter__(self) -> DirectoryForm:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            while self._stack:
                self._leave(apply=kind is None)
        finally:
            os.close(self._root_fd)

    def _leave(self, *, apply: bool) -> None:
        path, fd, attributes = self._stack.pop()
        if fd < 0:
            fd = self._reopen(path)
        try:
            if apply:
                _apply(fd, attributes)
        finally:
            os.close(fd)

    def _reopen(self, path: bytes) -> int:
        fd = self._root_fd
        for part in path.split(b"/"):
            above, fd = fd, _open_directory(part, fd)
            if above != self._root_fd:
                os.close(above)
        return fd

    def parent(self, path: bytes) -> int:
        """Return a descriptor of the directory that holds `path`, which was entered before."""
        above = path.rpartition(b"/")[0]
        while self._stack and not _within(above, self._stack[-1][0]):
            self._leave(apply=True)
        if not self._stack:
            return self._root_fd
        top, fd, attributes = self._stack[-1]
        if fd < 0:
            fd = self._reopen(top)
            self._stack[-1] = (top, fd, attributes)
        return fd

    def enter(self, path: bytes, attributes: Attributes) -> None:
        """Make a directory; its content follows."""
        parent = self.parent(path)
        name = path.rpartition(b"/")[2]
        os.mkdir(name, 0o700, dir_fd=parent)
        self._stack.append((path, _open_directory(name, parent), attributes))
        if len(self._stack) > MAX_OPEN:
            index = len(self._stack) - MAX_OPEN
            above, fd, kept = self._stack[index]
            if fd >= 0:
                os.close(fd)
                self._stack[index] = (above, -1, kept)

    def set_root(self, attributes: Attributes) -> None:
        """Give the root directory itself its attributes."""
        _apply(self._root_fd, attributes)

    def create(self, path: bytes, mode: int) -> int:
        """Make an empty regular file and return its descriptor, for `finish`."""
        return os.open(
            path.rpartition(b"/")[2],
            os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
            mode & 0o777,
            dir_fd=self.parent(path),
        )

    def finish(self, fd: int, entry: Entry) -> None:
        """Give a file that `create` made its attributes, and close it."""
        try:
            if entry.uid or entry.gid:
                owners.give(fd, entry.uid, entry.gid)
            if entry.mode & 0o7000 or entry.uid or entry.gid:
                os.fchmod(fd, entry.mode)
            for name, value in entry.xattrs:
                os.setxattr(fd, name, value)
            os.utime(fd, ns=(entry.mtime, entry.mtime))
        finally:
            os.close(fd)

    def make(self, entry: Entry) -> None:
        """Make anything but a directory or a regular file with data."""
        name = entry.path.rpartition(b"/")[2]
        parent = self.parent(entry.path)
        match entry.kind:
            case Kind.SYMLINK:
                os.symlink(entry.link, name, dir_fd=parent)
            case Kind.HARDLINK:
                os.link(
                    entry.link,
                    name,
                    src_dir_fd=self._root_fd,
                    dst_dir_fd=parent,
                    follow_symlinks=False,
                )
                return
            case Kind.FIFO:
                os.mkfifo(name, entry.mode, dir_fd=parent)
            case Kind.CHARACTER | Kind.BLOCK:
                kind = stat.S_IFCHR if entry.kind is Kind.CHARACTER else stat.S_IFBLK
                try:
                    os.mknod(
                        name, kind | entry.mode, os.makedev(entry.major, entry.minor), dir_fd=parent
                    )
                except PermissionError:
                    # Not allowed in a user namespace; the entry list keeps the device all the same.
                    return
            case _:
                raise ValueError(f"{entry.kind!r} is not made here")
        if entry.uid or entry.gid:
            owners.give_at(name, entry.uid, entry.gid, directory=parent)
        if entry.kind is not Kind.SYMLINK:
            os.chmod(f"/proc/self/fd/{parent}/{os.fsdecode(name)}", entry.mode)
        os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=parent, follow_symlinks=False)


def _within(path: bytes, directory: bytes) -> bool:
    return path == directory or path.startswith(directory + b"/")


def _open_directory(name: bytes, parent: int) -> int:
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)


def _apply(fd: int, attributes: Attributes) -> None:
    if attributes.uid or attributes.gid:
        owners.give(fd, attributes.uid, attributes.gid)
    os.fchmod(fd, attributes.mode)
    for name, value in attributes.xattrs:
        os.setxattr(fd, name, value)
    os.utime(fd, ns=(attributes.mtime, attributes.mtime))
