"""Trees that nobody else changes, walked name by name: a path in them may be longer than the kernel takes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Names = tuple[str, ...]
"""A path below a root, name by name; () is the root."""


@contextmanager
def opened(root: int, names: Names) -> Iterator[int]:
    """Open a directory below an open one; links are not followed."""
    descriptor = os.dup(root)
    try:
        for name in names:
            inner = os.open(name, DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def objects_below(root: int) -> Iterator[tuple[Names, os.stat_result]]:
    """Yield the path and the attributes of everything below an open directory; directories before what is in them."""
    waiting: list[Names] = [()]
    while waiting:
        above = waiting.pop()
        with opened(root, above) as directory:
            found = [
                (name, os.stat(name, dir_fd=directory, follow_symlinks=False))
                for name in os.listdir(directory)
            ]
        for name, status in found:
            yield (*above, name), status
            if stat.S_ISDIR(status.st_mode):
                waiting.append((*above, name))


def files_below(root: int) -> Iterator[tuple[Names, os.stat_result]]:
    """Yield the path and the attributes of everything but directories."""
    return (each for each in objects_below(root) if not stat.S_ISDIR(each[1].st_mode))
