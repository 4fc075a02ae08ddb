"""A directory written beside its destination, then moved to its place, into what may be there already."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from builder.errors import ExportError
from builder.export.destination import partial_name, refusing, require_parent
from builder.layer.remove import remove_tree

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def making(dest: str) -> Iterator[str]:
    """Give an empty directory, whose content is at `dest` once the block has ended.

    Files that are there and not in the new content stay; links there are replaced, never followed. If the
    block raises, what was there before stays.

    Raises: ExportError: it cannot be written, the directory above it does not exist, or a directory there would
        have to become a file.
    """
    path = os.path.realpath(dest)
    with refusing(dest):
        there = os.path.isdir(path)
        if not there and os.path.lexists(path):
            raise ExportError(f"`{dest}` is not a directory", hint="name another destination")
        require_parent(dest)
        # Inside of what is there: it may be another file system than what is around it.
        unfinished = partial_name(f"{path}/new" if there else path)
        os.mkdir(unfinished)
        mode = stat.S_IMODE(os.stat(unfinished).st_mode)  # what the umask of the caller makes of it
        os.chmod(unfinished, 0o700)
    try:
        yield unfinished
        with refusing(dest):
            if there:
                _merge(unfinished, path, dest)
            else:
                os.chmod(unfinished, mode)
                os.rename(unfinished, path)
    finally:
        remove_tree(unfinished)


def _merge(unfinished: str, path: str, dest: str) -> None:
    source = os.open(unfinished, _DIRECTORY)
    try:
        target = os.open(path, _DIRECTORY)
        try:
            for name in _moves(source, target, dest):
                if _kind(name, source) == stat.S_IFDIR and _kind(name, target):
                    os.unlink(name, dir_fd=target)  # a rename puts no directory over a file
                os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _moves(source: int, target: int, dest: str) -> list[bytes]:
    """Return the paths to move, none of them below another; directories that are in both stay.

    Those farther down come first: an index at the top then names only what is there.
    """
    moves: list[bytes] = []
    pending = [b""]
    while pending:
        above = pending.pop()
        fd = os.open(above or b".", _DIRECTORY, dir_fd=source)
        try:
            names = sorted(map(os.fsencode, os.listdir(fd)))
        finally:
            os.close(fd)
        for name in names:
            path = above + b"/" + name if above else name
            if _kind(path, target) != stat.S_IFDIR:
                moves.append(path)
            elif _kind(path, source) == stat.S_IFDIR:
                pending.append(path)
            else:
                raise ExportError(
                    f"`{os.fsdecode(path)}` is a directory in `{dest}`, but a file in the image",
                    hint="remove it, or name another destination",
                )
    return moves[::-1]


def _kind(path: bytes, directory: int) -> int:
    try:
        return stat.S_IFMT(os.lstat(path, dir_fd=directory).st_mode)
    except FileNotFoundError:
        return 0
