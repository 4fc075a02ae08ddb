"""What a read-only tree holds, in one order: by name as bytes, a directory before what is in it.

Objects are named by their paths below the tree's root. That is safe here alone: nobody can change the tree
meanwhile, and only paths whose parents were seen to be directories are looked up.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

import msgspec

from builder.layer.entry import Kind
from builder.layer.tree import is_whiteout

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFCHR: Kind.CHARACTER,
    stat.S_IFBLK: Kind.BLOCK,
    stat.S_IFIFO: Kind.FIFO,
}


class Found(msgspec.Struct, frozen=True):
    """One object; `path` is relative to the root. `first` is, of a HARDLINK, the inode's first path.

    A directory comes twice: the second time, when all in it has been shown, it is `left`.
    """

    path: bytes
    kind: Kind
    status: os.stat_result
    first: bytes = b""
    left: bool = False


def walk(root: int) -> Iterator[Found]:
    """Yield what is below the directory `root`; sockets and overlayfs's marks are left out."""
    firsts: dict[tuple[int, int], bytes] = {}
    levels: list[tuple[Found | None, list[bytes]]] = [(None, _names(root, b"."))]
    while levels:
        directory, names = levels[-1]
        if not names:
            levels.pop()
            if directory is not None:
                yield msgspec.structs.replace(directory, left=True)
            continue
        name = names.pop()
        path = name if directory is None else directory.path + b"/" + name
        status = os.lstat(path, dir_fd=root)
        if stat.S_ISDIR(status.st_mode):
            entered = Found(path, Kind.DIRECTORY, status)
            yield entered
            levels.append((entered, _names(root, path)))
            continue
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is None or is_whiteout(status):
            continue
        first = path
        if status.st_nlink > 1:
            first = firsts.setdefault((status.st_dev, status.st_ino), path)
        if first != path:
            yield Found(path, Kind.HARDLINK, status, first)
        else:
            yield Found(path, kind, status)


def _names(root: int, path: bytes) -> list[bytes]:
    """Return the names in a directory, the first last."""
    fd = os.open(path, _DIRECTORY, dir_fd=root)
    try:
        return sorted(map(os.fsencode, os.listdir(fd)), reverse=True)
    finally:
        os.close(fd)
