"""A blob on its way into the store, for one who reads along before it is known to be right.

receive ──write──► tmp/part-… ──feed──► a pipe, whose reader must forget what it made unless `feed` returns true
"""

from __future__ import annotations

import os
import threading
from enum import Enum

_PIECE = 1 << 20


class _State(Enum):
    AWAITED = "awaited"
    COMING = "coming"
    BELIEVED = "believed"
    FAILED = "failed"


class Arrival:
    """How far a blob has come; written by one thread, read by any."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._state = _State.AWAITED
        self._descriptor = -1
        self._size = 0
        self._attempt = 0

    def begin(self, descriptor: int, size: int) -> None:
        """Say in which file it is written; `size` bytes of it are there. The descriptor stays the caller's.

        Who read along with an earlier attempt is told that all was wrong.
        """
        with self._changed:
            if self._descriptor < 0:
                self._descriptor = os.dup(descriptor)
            self._state = _State.COMING
            self._size = size
            self._attempt += 1
            self._changed.notify_all()

    def grow(self, count: int) -> None:
        """Say that more bytes are in the file."""
        with self._changed:
            self._size += count
            self._changed.notify_all()

    def end(self, *, believed: bool) -> None:
        """Say that nothing more comes, and whether what came is the blob; only the first time counts."""
        with self._changed:
            if self._state in (_State.AWAITED, _State.COMING):
                self._state = _State.BELIEVED if believed else _State.FAILED
            self._changed.notify_all()

    def wait(self) -> bool:
        """Wait until it comes or has ended; return whether it can be read along."""
        with self._changed:
            self._changed.wait_for(lambda: self._state is not _State.AWAITED)
            return self._state is _State.COMING

    def feed(self, target: int) -> bool:
        """Write the blob to a pipe as it comes; return whether all of it was written and is right."""
        at = 0
        with self._changed:
            attempt = self._attempt
        while True:
            with self._changed:
                while (
                    self._size == at and self._state is _State.COMING and self._attempt == attempt
                ):
                    self._changed.wait()
                if self._state is _State.FAILED or self._attempt != attempt:
                    return False
                size = self._size
                if size == at:
                    return self._state is _State.BELIEVED
            try:
                while at < size:
                    at += os.sendfile(target, self._descriptor, at, min(size - at, _PIECE))
            except BrokenPipeError:
                return False

    def close(self) -> None:
        """Let go of the file; nobody may be feeding any more."""
        with self._changed:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1
