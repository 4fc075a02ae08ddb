"""Looks paths up below a root directory, as if it were the root of the system; nothing leads out of it.

Symbolic links are resolved inside the root, `..` stops at it, and the magic links of proc are not followed.
`openat2` does this where it exists; otherwise one component at a time is opened without following.
"""

from __future__ import annotations

import errno
import os
import stat

from runtime.syscalls import (
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    SyscallError,
    Syscalls,
)

_MOST_LINKS = 40
_MOST_TRIES = 32
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW


class Place:
    """Where a path leads: `path` are the real names below the root, the last `missing` of them do not exist.

    `descriptor` (O_PATH) is the deepest thing that exists; the owner closes it.
    """

    __slots__ = ("descriptor", "missing", "path")

    def __init__(self, descriptor: int, path: tuple[str, ...], missing: int) -> None:
        self.descriptor = descriptor
        self.path = path
        self.missing = missing


def open_beneath(
    root: int, path: str, flags: int, *, mode: int = 0, syscalls: Syscalls | None = None
) -> int:
    """Open `path` below the directory `root`; the last component is followed unless O_NOFOLLOW is given.

    Raises: OSError: as `open` would below such a root.
    """
    calls = syscalls or _kernel()
    resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
    for _ in range(_MOST_TRIES):
        try:
            return calls.open_resolved(root, path or ".", flags, mode, resolve)
        except SyscallError as error:
            # EAGAIN: something was renamed meanwhile. ENOSYS, or EPERM of an old filter: no such call here.
            if error.errno in {errno.ENOSYS, errno.EPERM}:
                break
            if error.errno != errno.EAGAIN:
                raise OSError(error.errno, error.strerror, path) from error
    return _open_step_by_step(calls, root, path, flags, mode)


def read_beneath(root: int, path: str, most: int, *, syscalls: Syscalls | None = None) -> bytes:
    """Read a regular file below `root`, opened without side effects on anything else.

    Raises: OSError: it does not exist, is no regular file (EINVAL) or holds more than `most` bytes (EFBIG).
    """
    calls = syscalls or _kernel()
    place = open_beneath(root, path, os.O_PATH, syscalls=calls)
    try:
        status = calls.status(place)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        if status.st_size > most:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        descriptor = os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    finally:
        calls.close(place)
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
    return data


def walk(syscalls: Syscalls, root: int, path: str, *, follow: bool = True) -> Place:
    """Follow `path` below `root` as far as it exists.

    Links are resolved on the way, the last component's only with `follow`. What lies beyond the first missing name is
    taken by its words alone, so that it can be made.

    Raises: OSError: a component is neither directory nor link (ENOTDIR), or links are too many (ELOOP).
    """
    open_directories = [syscalls.open(".", _DIRECTORY, directory=root)]
    names: list[str] = []
    missing: list[str] = []
    leaf: int | None = None
    todo = _components(path)
    links = 0
    try:
        while todo:
            name = todo.pop()
            if name == "..":
                _step_up(syscalls, names, missing, open_directories)
                continue
            if missing:
                missing.append(name)
                continue
            try:
                found = syscalls.open(
                    name, os.O_PATH | os.O_NOFOLLOW, directory=open_directories[-1]
                )
            except FileNotFoundError:
                missing.append(name)
                continue
            kind = stat.S_IFMT(syscalls.status(found).st_mode)
            if kind == stat.S_IFLNK and (todo or follow):
                syscalls.close(found)
                links += 1
                if links > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                target = syscalls.read_link(name, open_directories[-1])
                if target.startswith("/"):
                    names.clear()
                    _close_all(syscalls, open_directories, keep=1)
                todo += _components(target)
            elif kind == stat.S_IFDIR:
                open_directories.append(found)
                names.append(name)
            elif todo:
                syscalls.close(found)
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
            else:
                leaf = found
                names.append(name)
        result = leaf if leaf is not None else open_directories.pop()
        return Place(result, (*names, *missing), len(missing))
    finally:
        _close_all(syscalls, open_directories, keep=0)


def _components(path: str) -> list[str]:
    """Return the components of a path, the first one last."""
    return [name for name in reversed(path.split("/")) if name not in {"", "."}]


def _step_up(
    syscalls: Syscalls, names: list[str], missing: list[str], open_directories: list[int]
) -> None:
    if missing:
        missing.pop()
    elif names:
        names.pop()
        syscalls.close(open_directories.pop())


def _close_all(syscalls: Syscalls, descriptors: list[int], *, keep: int) -> None:
    while len(descriptors) > keep:
        syscalls.close(descriptors.pop())


def _open_step_by_step(calls: Syscalls, root: int, path: str, flags: int, mode: int) -> int:
    place = walk(calls, root, path, follow=not flags & os.O_NOFOLLOW)
    try:
        if place.missing > 1 or (place.missing and not flags & os.O_CREAT):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if place.missing:
            return calls.open(
                place.path[-1], flags | os.O_NOFOLLOW, directory=place.descriptor, mode=mode
            )
        if flags & os.O_EXCL:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        if flags & os.O_NOFOLLOW and stat.S_ISLNK(calls.status(place.descriptor).st_mode):
            if flags & os.O_PATH:
                return os.dup(place.descriptor)
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        # The descriptor's own entry in proc reopens exactly what was found.
        return calls.open(
            f"/proc/self/fd/{place.descriptor}", flags & ~(os.O_NOFOLLOW | os.O_CREAT)
        )
    finally:
        calls.close(place.descriptor)


_shared: Syscalls | None = None


def _kernel() -> Syscalls:
    global _shared  # noqa: PLW0603 - loading libc once per process
    if _shared is None:
        _shared = Syscalls()
    return _shared
