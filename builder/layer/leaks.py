"""Looks for bytes that must not be there in what a step wrote: contents, names, links and attributes of files."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from itertools import islice

import msgspec

_PIECE = 1 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class FindLeaks(msgspec.Struct, frozen=True, kw_only=True):
    """Search the tree below a host path; `most` is how many paths are enough.

    What has not changed after `since`, in nanoseconds since the epoch, is passed over.
    """

    root: str
    needles: tuple[bytes, ...]
    since: int = 0
    most: int = 10


def find_leaks(
    arguments: object, fds: tuple[int, ...], report: Callable[[object], object]
) -> object:
    """Do `FindLeaks`, as a job.

    Returns: paths below the root, sorted, at most as many as asked for.
    """
    del fds, report
    request = msgspec.convert(arguments, FindLeaks)
    if not request.needles:
        return []
    search = _Search(request.needles, request.since)
    root = os.open(request.root, _DIRECTORY)
    try:
        return sorted(islice(search.below(root), request.most))
    finally:
        os.close(root)


class _Search:
    def __init__(self, needles: tuple[bytes, ...], since: int) -> None:
        self._since = since
        self._pattern = re.compile(b"|".join(map(re.escape, needles)))
        self._overlap = max(map(len, needles)) - 1

    def below(self, root: int) -> Iterator[str]:
        """Yield the paths of what gives something away, below an open directory."""
        waiting: list[tuple[str, ...]] = [()]
        while waiting:
            names = waiting.pop()
            directory = _opened(root, names)
            try:
                for name in os.listdir(directory):
                    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                    fresh = status.st_ctime_ns >= self._since
                    if fresh and self._gives_away(directory, name, status):
                        # As text that can be passed on and printed.
                        path = "/".join(("", *names, name))
                        yield os.fsencode(path).decode("utf-8", "replace")
                    if stat.S_ISDIR(status.st_mode):
                        waiting.append((*names, name))
            finally:
                os.close(directory)

    def _gives_away(self, directory: int, name: str, status: os.stat_result) -> bool:
        if self._pattern.search(os.fsencode(name)):
            return True
        if stat.S_ISLNK(status.st_mode):
            target = os.readlink(os.fsencode(name), dir_fd=directory)
            return self._pattern.search(target) is not None
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            return False
        descriptor = os.open(name, _FILE, dir_fd=directory)
        try:
            return self._in_attributes(descriptor) or (
                stat.S_ISREG(status.st_mode) and self._in_file(descriptor)
            )
        finally:
            os.close(descriptor)

    def _in_attributes(self, descriptor: int) -> bool:
        return any(
            self._pattern.search(os.getxattr(descriptor, name))
            for name in os.listxattr(descriptor)
            if not name.startswith(("user.overlay.", "trusted.overlay."))
        )

    def _in_file(self, descriptor: int) -> bool:
        kept = b""
        while piece := os.read(descriptor, _PIECE):
            text = kept + piece
            if self._pattern.search(text):
                return True
            kept = text[len(text) - self._overlap :] if self._overlap else b""
        return False


def _opened(root: int, names: tuple[str, ...]) -> int:
    """Open a directory name by name: a path may be longer than the kernel takes."""
    directory = os.dup(root)
    for name in names:
        inner = os.open(name, _DIRECTORY, dir_fd=directory)
        os.close(directory)
        directory = inner
    return directory
