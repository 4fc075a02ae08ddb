"""The chain of directories below a layer: what an overlay of them would show.

A directory of the chain is known by the indices of the lowers that hold it, topmost first: what an overlay
would merge. Only paths whose parents are known to be real directories are ever looked up.

Source: overlayfs.rst, "whiteouts and opaque directories".
"""

from __future__ import annotations

import os
import stat

from builder.layer import attributes, owners
from builder.layer.attributes import Attributes

Indices = tuple[int, ...]

_PIECE = 1 << 20


class Lowers:
    """Read-only lookups in the directory forms `roots`, topmost first, in the `userxattr` dialect."""

    def __init__(self, roots: tuple[str, ...]) -> None:
        self._fds: list[int] = []
        try:
            for root in roots:
                self._fds.append(os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        except OSError:
            self.close()
            raise
        self._known: dict[bytes, Indices] = {b"": tuple(range(len(roots)))}
        self._hidden: set[bytes] = set()

    def close(self) -> None:
        """Close the roots."""
        while self._fds:
            os.close(self._fds.pop())

    def hide(self, path: bytes) -> None:
        """Show nothing at and below `path` from now on: a layer above hides it."""
        self._hidden.add(path)
        self._known = {b"": () if path == b"" else self._known[b""]}

    def directory(self, path: bytes) -> Indices:
        """Return which lowers hold the directory `path`, as far down as it is merged; () if none shows one."""
        found = self._known.get(path)
        if found is None:
            if len(self._known) > 20_000:
                self._known = {b"": self._known[b""]}
            parent = self.directory(path.rpartition(b"/")[0])
            found = () if path in self._hidden else self.below(parent, path)
            self._known[path] = found
        return found

    def below(self, parent: Indices, path: bytes) -> Indices:
        """Return the same for a path whose parent's indices are known."""
        found: list[int] = []
        for index in parent:
            root = self._fds[index]
            try:
                status = os.lstat(path, dir_fd=root)
            except FileNotFoundError:
                continue
            if not stat.S_ISDIR(status.st_mode):
                break
            found.append(index)
            if self._opaque(root, path):
                break
        return tuple(found)

    def _opaque(self, root: int, path: bytes) -> bool:
        try:
            return os.getxattr(_through(root, path), attributes.OPAQUE) == b"y"
        except OSError:
            return False

    def status(self, index: int, path: bytes) -> os.stat_result:
        """Return the attributes of a path that a lower is known to hold."""
        root = self._fds[index]
        return owners.seen_at(os.lstat(path or b".", dir_fd=root), root, path or b".")

    def attributes(self, index: int, path: bytes) -> Attributes:
        """Return the extended attributes of a directory that a lower is known to hold."""
        fd = self.open(index, path, os.O_DIRECTORY)
        try:
            return attributes.read(fd, attributes.names(fd))
        finally:
            os.close(fd)

    def find(self, path: bytes) -> int | None:
        """Return which lower shows an object of any kind at `path`, or None."""
        return self.shown(self.directory(path.rpartition(b"/")[0]), path)

    def shown(self, parent: Indices, path: bytes) -> int | None:
        """Return the same for a path whose parent's indices are known."""
        for index in parent:
            try:
                status = os.lstat(path, dir_fd=self._fds[index])
            except FileNotFoundError:
                continue
            return None if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0 else index
        return None

    def show_file(
        self,
        parent: Indices,
        path: bytes,
        fd: int,
        kept: tuple[os.stat_result, Attributes],
    ) -> bool:
        """Tell whether there is the very regular file that `fd` is: with what it has `kept`, and the same bytes."""
        index = self.shown(parent, path)
        if index is None or not _alike(self.status(index, path), kept[0]):
            return False
        below = self.open(index, path)
        try:
            return attributes.read(below, attributes.names(below)) == kept[1] and _same_bytes(
                below, fd
            )
        finally:
            os.close(below)

    def show_link(
        self, parent: Indices, path: bytes, status: os.stat_result, target: bytes
    ) -> bool:
        """Tell whether there is a symlink of the same `status` that leads to `target`."""
        index = self.shown(parent, path)
        return (
            index is not None
            and _alike(self.status(index, path), status)
            and self.readlink(index, path) == target
        )

    def copy_root(self, directory: str) -> None:
        """Give `directory` the owner, mode, attributes and time of the chain's root, if there is a chain."""
        if not self._fds:
            return
        status = self.status(0, b"")
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            owners.give(fd, status.st_uid, status.st_gid)
            os.fchmod(fd, status.st_mode & 0o7777)
            attributes.write(fd, self.attributes(0, b""))
            os.utime(fd, ns=(status.st_mtime_ns, status.st_mtime_ns))
        finally:
            os.close(fd)

    def open(self, index: int, path: bytes, flags: int = 0) -> int:
        """Open, for reading, a path that a lower is known to hold and which is no link."""
        flags |= os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(path or b".", flags, dir_fd=self._fds[index])

    def readlink(self, index: int, path: bytes) -> bytes:
        """Return the target of a symlink that a lower is known to hold."""
        return os.readlink(path, dir_fd=self._fds[index])


def _alike(one: os.stat_result, other: os.stat_result) -> bool:
    return (
        one.st_mode == other.st_mode
        and one.st_uid == other.st_uid
        and one.st_gid == other.st_gid
        and one.st_size == other.st_size
        and one.st_mtime_ns == other.st_mtime_ns
    )


def _same_bytes(one: int, other: int) -> bool:
    offset = 0
    while True:
        piece = os.pread(one, _PIECE, offset)
        if piece != os.pread(other, _PIECE, offset):
            return False
        if not piece:
            return True
        offset += len(piece)


def _through(root: int, path: bytes) -> bytes:
    """Return a path for the calls that take no directory descriptor."""
    return b"/proc/self/fd/%d/%b" % (root, path)
