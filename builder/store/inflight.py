"""Work in flight, shared between the processes that use a store: who comes second waits, and takes the result.

    inflight/<digest>    flocked by whoever executes the step with this key, and by the launcher until its last process ended

The file goes with the work. Whoever waited finds that out by its inode, and takes the new file.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from builder.errors import Cancelled

ROOM = "inflight"
_NAME = 40
_WAIT = 0.05
"""Seconds between two looks at a lock."""


class InFlight:
    """The work in flight on one store."""

    def __init__(self, root: str) -> None:
        self._room = f"{root}/{ROOM}"

    @contextmanager
    def alone(
        self, key: str, *, waiting: Callable[[], None], cancelled: Callable[[], bool]
    ) -> Iterator[int]:
        """Be the only one with this key until the end of the block; yield the descriptor of the lock.

        `waiting` is called once, before somebody else is waited for: then the work may be done already.

        Raises: Cancelled: while waiting.
        """
        path = f"{self._room}/{key[:_NAME]}"
        lock = self._taken(path, waiting, cancelled)
        try:
            yield lock
        finally:
            with suppress(FileNotFoundError):
                os.unlink(path)
            os.close(lock)

    def _taken(self, path: str, waiting: Callable[[], None], cancelled: Callable[[], bool]) -> int:
        told = False
        while True:
            lock = self._open(path)
            try:
                while not _try(lock):
                    if not told:
                        told = True
                        waiting()
                    _pause(cancelled)
                if _is_at(lock, path):
                    return lock
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)

    def _open(self, path: str) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            return os.open(path, flags, 0o600)
        except FileNotFoundError:
            os.makedirs(self._room, mode=0o700, exist_ok=True)
            return os.open(path, flags, 0o600)


def _pause(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise Cancelled
    time.sleep(_WAIT)


def _try(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(lock: int, path: str) -> bool:
    """Tell whether a file is still the one of that name."""
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    here = os.fstat(lock)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
