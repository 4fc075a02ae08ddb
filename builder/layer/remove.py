"""Removal of whole trees, whatever is in them: never through a link, never across a mount.

Source: path_resolution(7); proc_pid_mountinfo(5).
"""

from __future__ import annotations

import errno
import os
import stat

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEEP = 64


def remove_tree(path: str) -> int:
    """Remove the file or directory at `path` with all that is below it; nothing there is fine.

    Returns: the number of objects removed.
    Raises: OSError: something is mounted below, or the file system refuses.
    """
    parent, name = os.path.split(path.rstrip("/"))
    try:
        fd = os.open(parent or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        if mounted := _mounted_below(fd, os.fsencode(name)):
            raise OSError(errno.EBUSY, "something is mounted there", os.fsdecode(mounted))
        return remove_at(fd, os.fsencode(name))
    finally:
        os.close(fd)


def _mounted_below(parent: int, name: bytes) -> bytes | None:
    """Return a mount point of this namespace at or below `name`: a bind mount may be of the same device."""
    tree = os.readlink(b"/proc/self/fd/%d" % parent).rstrip(b"/") + b"/" + name
    with open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            point = _unescaped(line.split(b" ", 5)[4])
            if point == tree or point.startswith(tree + b"/"):
                return point
    return None


def _unescaped(field: bytes) -> bytes:
    """Undo what mountinfo does to spaces, tabs, newlines and backslashes."""
    for escape, byte in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        field = field.replace(escape, byte)
    return field


def remove_at(parent: int, name: bytes) -> int:
    """Remove `name` in the directory `parent`, as `remove_tree` does."""
    try:
        status = os.lstat(name, dir_fd=parent)
    except FileNotFoundError:
        return 0
    if not stat.S_ISDIR(status.st_mode):
        os.unlink(name, dir_fd=parent)
        return 1
    top = _enter(parent, name, status.st_dev)
    try:
        count = _Removal(top, status.st_dev).run()
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=parent)
    return count + 1


class _Removal:
    """Empties one directory; what lies deeper than `_DEEP` is first moved up into it, to bound descriptors."""

    def __init__(self, top: int, device: int) -> None:
        self._top = top
        self._device = device
        self._prefix = os.urandom(8).hex()
        self._moved = 0
        self._count = 0

    def run(self) -> int:
        while True:
            moved = self._moved
            self._empty(self._top, 0)
            if self._moved == moved:
                return self._count

    def _empty(self, fd: int, depth: int) -> None:
        with os.scandir(fd) as found:
            items = [(os.fsencode(item.name), item.is_dir(follow_symlinks=False)) for item in found]
        for name, directory in items:
            if not directory:
                os.unlink(name, dir_fd=fd)
                self._count += 1
            elif depth < _DEEP:
                self._remove_directory(fd, name, depth)
            else:
                os.close(_enter(fd, name, self._device))
                target = f"{self._prefix}-{self._moved}"
                os.rename(name, target, src_dir_fd=fd, dst_dir_fd=self._top)
                self._moved += 1

    def _remove_directory(self, parent: int, name: bytes, depth: int) -> None:
        fd = _enter(parent, name, self._device)
        try:
            self._empty(fd, depth + 1)
        finally:
            os.close(fd)
        os.rmdir(name, dir_fd=parent)
        self._count += 1


def _enter(parent: int, name: bytes, device: int) -> int:
    """Open a directory to empty it, allowing that to oneself first where needed."""
    try:
        fd = os.open(name, _DIRECTORY, dir_fd=parent)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=parent)
        fd = os.open(name, _DIRECTORY, dir_fd=parent)
    status = os.fstat(fd)
    if status.st_dev != device:
        os.close(fd)
        raise OSError(errno.EXDEV, "something is mounted there", os.fsdecode(name))
    if status.st_uid == os.geteuid() and status.st_mode & 0o700 != 0o700:
        os.fchmod(fd, 0o700)
    return fd
