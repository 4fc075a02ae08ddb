"""The chain of directories below a layer: what an overlay of them would show.

A directory of the chain is known by the indices of the lowers that hold it, topmost first: what an overlay
would merge. Only paths whose parents are known to be real directories are ever looked up.

Source: overlayfs.rst, "whiteouts and opaque directories".
"""

from __future__ import annotations

import os
import stat

from builder.layer import attributes

Indices = tuple[int, ...]


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
        return os.lstat(path or b".", dir_fd=self._fds[index])

    def attributes(self, index: int, path: bytes) -> attributes.Attributes:
        """Return the extended attributes of a directory that a lower is known to hold."""
        fd = self.open(index, path, os.O_DIRECTORY)
        try:
            return attributes.read(fd, attributes.names(fd))
        finally:
            os.close(fd)

    def find(self, path: bytes) -> int | None:
        """Return which lower shows an object of any kind at `path`, or None."""
        for index in self.directory(path.rpartition(b"/")[0]):
            try:
                status = os.lstat(path, dir_fd=self._fds[index])
            except FileNotFoundError:
                continue
            return None if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0 else index
        return None

    def copy_root(self, directory: str) -> None:
        """Give `directory` the owner, mode, attributes and time of the chain's root, if there is a chain."""
        if not self._fds:
            return
        status = self.status(0, b"")
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fchown(fd, status.st_uid, status.st_gid)
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


def _through(root: int, path: bytes) -> bytes:
    """Return a path for the calls that take no directory descriptor."""
    return b"/proc/self/fd/%d/%b" % (root, path)
