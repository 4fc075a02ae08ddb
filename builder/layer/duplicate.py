"""A plain tree → another one with the same content, sharing blocks where the file system can.

Source: ioctl_ficlone(2); copy_file_range(2).
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from builder.layer import owners
from builder.layer.compare import check_depth
from builder.layer.merge import copy_attributes
from builder.layer.tree import DIRECTORY

_FICLONE = 0x40049409
_PIECE = 1 << 30
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_CLONE = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS})


def duplicate(source: str, target: str) -> None:
    """Copy what is in the directory `source` into the empty one `target`; host paths, nobody else is in either.

    Names that share a file share one again; owners, modes, times and attributes are kept, sockets left out.

    Raises: OSError: the disk is full or broken.
    """
    top, into = os.open(source, DIRECTORY), os.open(target, DIRECTORY)
    try:
        _Duplication(into).directory(top, into)
    finally:
        os.close(top)
        os.close(into)


class _Duplication:
    def __init__(self, root: int) -> None:
        self._root = root
        self._clones = True
        self._first: dict[int, bytes] = {}

    def directory(self, source: int, target: int, path: bytes = b"", depth: int = 0) -> None:
        """Copy all that is in a directory, then its attributes."""
        check_depth(depth)
        with os.scandir(source) as found:
            names = [os.fsencode(item.name) for item in found]
        for name in names:
            status = os.lstat(name, dir_fd=source)
            if stat.S_ISDIR(status.st_mode):
                os.mkdir(name, 0o700, dir_fd=target)
                below, into = (os.open(name, DIRECTORY, dir_fd=place) for place in (source, target))
                try:
                    self.directory(below, into, path + name + b"/", depth + 1)
                finally:
                    os.close(below)
                    os.close(into)
            elif not self._link(path + name, name, status, target):
                self._other(name, status, source, target)
        copy_attributes(source, target)

    def _link(self, path: bytes, name: bytes, status: os.stat_result, target: int) -> bool:
        if status.st_nlink < 2:
            return False
        first = self._first.setdefault(status.st_ino, path)
        if first == path:
            return False
        os.link(first, name, src_dir_fd=self._root, dst_dir_fd=target, follow_symlinks=False)
        return True

    def _other(self, name: bytes, status: os.stat_result, source: int, target: int) -> None:
        if stat.S_ISREG(status.st_mode):
            self._file(name, source, target)
            return
        if stat.S_ISSOCK(status.st_mode):
            return
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        else:
            os.mknod(name, status.st_mode, status.st_rdev, dir_fd=target)
        owners.give_at(name, status.st_uid, status.st_gid, directory=target)
        if not stat.S_ISLNK(status.st_mode):
            os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=target)
        times = (status.st_atime_ns, status.st_mtime_ns)
        os.utime(name, ns=times, dir_fd=target, follow_symlinks=False)

    def _file(self, name: bytes, source: int, target: int) -> None:
        origin = os.open(name, _READ, dir_fd=source)
        try:
            copy = os.open(name, _CREATE, 0o600, dir_fd=target)
            try:
                if not self._clone(origin, copy):
                    while os.sendfile(copy, origin, None, _PIECE):
                        pass
                copy_attributes(origin, copy)
            finally:
                os.close(copy)
        finally:
            os.close(origin)

    def _clone(self, origin: int, copy: int) -> bool:
        if not self._clones:
            return False
        try:
            fcntl.ioctl(copy, _FICLONE, origin)
        except OSError as error:
            if error.errno not in _NO_CLONE:
                raise
            self._clones = False
        return self._clones
