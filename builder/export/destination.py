"""Where results go on the host: beside the destination first, under its name only when they are complete.

What exists and is no regular file (a device, a FIFO) is written to as it is: a rename would replace it.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from builder.errors import Cancelled, ExportError
from builder.layer.pack import write_fully

STANDARD_OUTPUT = "-"
_DESCRIPTORS = "/proc/self/fd"

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def writing(dest: str) -> Iterator[int]:
    """Give a descriptor to write the file `dest` with, or standard output for `-`.

    If the block raises, what was there before stays.

    Raises: ExportError: it cannot be written, or the directory above it does not exist.
    """
    if dest == STANDARD_OUTPUT:
        sys.stdout.flush()
        yield sys.stdout.fileno()
        return
    direct = _is_descriptor(dest)
    path = dest if direct else os.path.realpath(dest)
    with refusing(dest):
        kind = _kind(path)
        if kind == stat.S_IFDIR:
            raise ExportError(f"`{dest}` is a directory", hint="name a file in it: `dest=FILE`")
        require_parent(dest)
        replaces = kind in (0, stat.S_IFREG) and not direct
        name = partial_name(path) if replaces else path
        fd = _nameless(path) if replaces else None
        nameless = fd is not None
        if fd is None:
            flags = os.O_CREAT | os.O_EXCL if replaces else 0
            fd = os.open(name, os.O_WRONLY | os.O_CLOEXEC | flags, 0o666)
    try:
        try:
            yield fd
            if nameless:
                with refusing(dest):
                    _give_name(fd, name)
        finally:
            with refusing(dest):
                os.close(fd)  # where some file systems first say that they are full
        if replaces:
            with refusing(dest):
                os.replace(name, path)
    except BaseException:
        if replaces:
            with suppress(FileNotFoundError):
                os.unlink(name)
        raise


def _nameless(path: str) -> int | None:
    """Open a file without a name on the file system of `path`, of which nothing is left if this process is killed.

    None where the file system has no such files, or they could not be given a name.
    """
    try:
        fd = os.open(os.path.dirname(path), os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o666)
    except OSError:
        return None
    if os.path.exists(f"{_DESCRIPTORS}/{fd}"):
        return fd
    os.close(fd)
    return None


def _give_name(fd: int, name: str) -> None:
    # Without a directory's descriptor the standard library links the link itself.
    here = os.open(_DESCRIPTORS, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.link(str(fd), name, src_dir_fd=here, follow_symlinks=True)
    finally:
        os.close(here)


def require_parent(dest: str) -> None:
    """Refuse a destination in a directory that does not exist: a slip in a path must not make a new tree.

    Raises: ExportError: it names the directory.
    """
    parent = os.path.dirname(os.path.realpath(dest))
    if not os.path.lexists(parent):
        raise ExportError(
            f"cannot write `{dest}`: the directory `{parent}` does not exist",
            hint="make it first, or choose another destination",
        )


def partial_name(path: str) -> str:
    """Return a new name beside `path`."""
    parent, name = os.path.split(path)
    return f"{parent}/.{name[:200]}.{os.urandom(6).hex()}.partial"


def partial_names(path: str) -> list[str]:
    """Return the paths beside `path` that `partial_name` may have given: of those who write now, and of those who were killed."""
    parent, name = os.path.split(path)
    start, end = f".{name[:200]}.", ".partial"
    try:
        names = os.listdir(parent or ".")
    except OSError:
        return []
    size = len(start) + 12 + len(end)
    return [
        os.path.join(parent, each)
        for each in names
        if len(each) == size and each.startswith(start) and each.endswith(end)
    ]


def never() -> bool:
    """Tell that nobody has interrupted."""
    return False


def writer(fd: int, dest: str, cancelled: Callable[[], bool] = never) -> Callable[[bytes], None]:
    """Return a function that writes to a descriptor; its errors name `dest`.

    Raises: ExportError, Cancelled: by the function.
    """

    def write(data: bytes) -> None:
        if cancelled():
            raise Cancelled
        with refusing(dest):
            write_fully(fd, data)

    return write


@contextmanager
def refusing(dest: str) -> Iterator[None]:
    """Turn a system error of the block into one that names the destination."""
    try:
        yield
    except OSError as error:
        raise refusal(error, dest) from error


def refusal(error: OSError, dest: str) -> ExportError:
    """Return what to say about a system error at a destination."""
    where = "standard output" if dest == STANDARD_OUTPUT else f"`{dest}`"
    if error.errno in _FULL:
        return ExportError(
            f"there is no space left for {where}",
            code="export.no-space",
            notes=("nothing of it was kept; the image itself is in the store",),
            hint="free some, or write to another disk",
        )
    reason = os.strerror(error.errno) if error.errno else str(error)
    return ExportError(f"cannot write {where}: {reason}")


def _is_descriptor(dest: str) -> bool:
    """Tell whether a path means an open file of this process, which no other file is to replace."""
    path = os.path.abspath(dest)
    return path in ("/dev/stdout", "/dev/stderr") or path.startswith(("/dev/fd/", _DESCRIPTORS))


def _kind(path: str) -> int:
    try:
        return stat.S_IFMT(os.stat(path).st_mode)
    except FileNotFoundError:
        return 0
