"""A blob on its way into the store, for one who reads along before it is known to be right.

receive ──write──► tmp/part-… ──feed──► a pipe, whose reader must forget what it made unless `feed` returns true
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable
from enum import Enum
from typing import TypeVar

import msgspec

from builder.errors import Cancelled, LapstrakeError, StoreError
from builder.store.layers import BlobForm

_PIECE = 1 << 20
Made = TypeVar("Made")


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
            else:  # another file, if the one before has been dropped
                os.dup2(descriptor, self._descriptor, inheritable=False)
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

    def believed(self) -> bool:
        """Wait until nothing more comes; return whether the blob is here, and right."""
        with self._changed:
            self._changed.wait_for(lambda: self._state in (_State.BELIEVED, _State.FAILED))
            return self._state is _State.BELIEVED

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
                    sent = os.sendfile(target, self._descriptor, at, min(size - at, _PIECE))
                    if not sent:
                        return False  # it turned out wrong, and was emptied for another attempt
                    at += sent
            except BrokenPipeError:
                return False

    def close(self) -> None:
        """Let go of the file; nobody may be feeding any more."""
        with self._changed:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1


class Incoming(msgspec.Struct, frozen=True, kw_only=True):
    """A layer's blob that is coming: what it will be, and how far it is.

    `report` hears how many bytes of the tar have been unpacked.
    """

    form: BlobForm
    arrival: Arrival
    report: Callable[[object], None]

    def read_along(self, make: Callable[[int], Made]) -> Made | None:
        """Return what `make` makes of the blob, read from a pipe; None if it was here, or came wrong at first.

        `make` must not let anybody see what it makes: only what is returned is of the right blob.

        Raises: StoreError: it does not come. What `make` raises, where it is not the blob's fault that it fails.
        """
        if not self.arrival.wait():
            self._wait()
            return None
        reading, writing = os.pipe()
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIECE)
        right: list[bool] = []

        def feed() -> None:
            try:
                right.append(self.arrival.feed(writing))
            finally:
                os.close(writing)

        feeder = threading.Thread(target=feed, name="feeder", daemon=True)
        feeder.start()
        made: Made | None = None
        try:
            made = make(reading)
        except LapstrakeError as error:
            self._join(feeder, reading)
            if right == [True] or isinstance(error, Cancelled):
                raise
        else:
            self._join(feeder, reading)
        if right != [True]:
            self._wait()
            return None
        return made

    def _join(self, feeder: threading.Thread, reading: int) -> None:
        os.close(reading)  # who feeds a pipe that nobody reads is told so
        feeder.join()

    def _wait(self) -> None:
        """Wait for the blob itself, from which can be made what could not be made along the way."""
        if not self.arrival.believed():
            raise StoreError(f"the blob `{self.form.digest}` does not come", code="store.corrupt")
