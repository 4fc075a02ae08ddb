"""A directory written beside its destination, then moved to its place, into what may be there already."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum

from builder.errors import ExportError
from builder.export.destination import partial_name, partial_names, refusing, require_parent
from builder.layer.remove import remove_tree

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Others(Enum):
    """What becomes of files that are at the destination and not in the new content."""

    STAY = "copy"
    GO = "delete"


@contextmanager
def alone_in(dest: str) -> Iterator[None]:
    """Wait until no other lapstrake writes to a directory that is there; until the block ends others wait for this one.

    What is missing, or cannot be locked, is nobody's.
    """
    try:
        fd = os.open(dest, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield
        return
    try:
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


@contextmanager
def making(dest: str, others: Others = Others.STAY) -> Iterator[str]:
    """Give an empty directory, whose content is at `dest` once the block has ended.

    Links there are replaced, never followed. If the block raises, what was there before stays.

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
        beside = f"{path}/new" if there else path
        _sweep(beside)
        unfinished, lock = _begun(beside)
    try:
        with refusing(dest):
            mode = stat.S_IMODE(os.stat(unfinished).st_mode)  # what the umask makes of it
            os.chmod(unfinished, 0o700)
        yield unfinished
        with refusing(dest):
            if there:
                _merge(unfinished, path, dest, others)
            else:
                os.chmod(unfinished, mode)
                _appear(unfinished, path, dest, others)
    finally:
        remove_tree(unfinished)
        os.close(lock)


def _begun(path: str) -> tuple[str, int]:
    """Make a directory beside `path`; return where, and a lock that says that it is being written."""
    while True:
        unfinished = partial_name(path)
        os.mkdir(unfinished)
        try:
            lock = os.open(unfinished, _DIRECTORY)
        except FileNotFoundError:
            continue
        with suppress(OSError):  # where nothing can be locked, nothing is swept either
            fcntl.flock(lock, fcntl.LOCK_EX)
        # A sweeper may have come between the calls; its victim has no name any more.
        if os.path.isdir(unfinished):
            return unfinished, lock
        os.close(lock)


def _sweep(path: str) -> None:
    """Remove what those who were killed have begun beside `path`."""
    for each in partial_names(path):
        with suppress(OSError):
            fd = os.open(each, _DIRECTORY)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_tree(each)
            finally:
                os.close(fd)


def is_below_here(dest: str) -> bool:
    """Tell whether a destination is below the current directory, links resolved."""
    here = os.path.realpath(".")
    return os.path.realpath(dest).startswith(here.rstrip("/") + "/")


def _appear(unfinished: str, path: str, dest: str, others: Others) -> None:
    """Move a directory to its place; where somebody else has made one since, into that."""
    try:
        os.rename(unfinished, path)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        with alone_in(path):
            _merge(unfinished, path, dest, others)


def _merge(unfinished: str, path: str, dest: str, others: Others) -> None:
    source = os.open(unfinished, _DIRECTORY)
    try:
        target = os.open(path, _DIRECTORY)
        try:
            surplus = []
            if others is Others.GO:
                spared = os.fsencode(os.path.basename(unfinished))
                surplus = [each for each in _surplus(source, target) if each != spared]
            # What a file has to replace goes first, the rest when all that is new is in place.
            before = [each for each in surplus if _kind(each, source)]
            for each in before:
                _remove(each, target)
            for name in _moves(source, target, dest):
                if _kind(name, source) == stat.S_IFDIR and _kind(name, target):
                    os.unlink(name, dir_fd=target)  # a rename puts no directory over a file
                os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
            for each in surplus:
                if each not in before:
                    _remove(each, target)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _surplus(source: int, target: int, above: bytes = b"") -> Iterator[bytes]:
    """Yield what is in `target` and not in `source`, or there is no directory; none of it below another."""
    for name in _names(above, target):
        path = above + b"/" + name if above else name
        if _kind(path, source) != stat.S_IFDIR:
            if _kind(path, target) == stat.S_IFDIR or not _kind(path, source):
                yield path
        elif _kind(path, target) == stat.S_IFDIR:
            yield from _surplus(source, target, path)


def _remove(path: bytes, target: int) -> None:
    parent, _, name = path.rpartition(b"/")
    fd = os.open(parent or b".", _DIRECTORY, dir_fd=target)
    try:
        remove_tree(f"/proc/self/fd/{fd}/{os.fsdecode(name)}")
    finally:
        os.close(fd)


def _names(path: bytes, directory: int) -> list[bytes]:
    fd = os.open(path or b".", _DIRECTORY, dir_fd=directory)
    try:
        return sorted(map(os.fsencode, os.listdir(fd)))
    finally:
        os.close(fd)


def _moves(source: int, target: int, dest: str) -> list[bytes]:
    """Return the paths to move, none of them below another; directories that are in both stay.

    Those farther down come first, then in the order of names: an index at the top then names only what is there.
    """
    moves: list[bytes] = []
    pending = [b""]
    while pending:
        above = pending.pop()
        for name in _names(above, source):
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
    return sorted(moves, key=lambda path: -path.count(b"/"))


def _kind(path: bytes, directory: int) -> int:
    try:
        return stat.S_IFMT(os.lstat(path, dir_fd=directory).st_mode)
    except FileNotFoundError:
        return 0
