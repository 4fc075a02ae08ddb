"""Many items, a few threads: the first failure stops the others."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from builder.errors import Cancelled
from builder.registry.exchange import Cancelled as Question

_GRACE = 1.0
"""Seconds that threads have to tidy up once they are stopped."""

Item = TypeVar("Item")


class Stream(Generic[Item]):
    """Work for items that come one by one, in a few threads; see `in_parallel`."""

    def __init__(
        self, work: Callable[[Item, Question], None], threads: int, cancelled: Question
    ) -> None:
        self._work = work
        self._threads = threads
        self._cancelled = cancelled
        self._stop = threading.Event()
        self._queue: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._workers: list[threading.Thread] = []
        self._errors: list[BaseException] = []
        self._lock = threading.Lock()

    def put(self, item: Item) -> None:
        """Have the work done for an item."""
        with self._lock:
            self._queue.put(item)
            if len(self._workers) < self._threads:
                name = f"registry-{len(self._workers)}"
                worker = threading.Thread(target=self._run, name=name, daemon=True)
                self._workers.append(worker)
                worker.start()

    def _stopped(self) -> bool:
        return self._stop.is_set() or self._cancelled()

    def _run(self) -> None:
        while not self._stopped():
            item = self._queue.get()
            if item is None:
                return
            try:
                self._work(item, self._stopped)
            except BaseException as error:  # noqa: BLE001  raised by the caller's thread
                self._errors.append(error)
                self._stop.set()

    def finish(self) -> None:
        """Wait until all is done.

        Raises: what the work raised first. Cancelled.
        """
        for _ in self._workers:
            self._queue.put(None)
        try:
            _join(self._workers, self._stopped)
        finally:
            self._stop.set()
        _raise_first(self._errors, self._cancelled)

    def abandon(self) -> None:
        """Stop, and wait for those who are not stuck."""
        self._stop.set()
        for _ in self._workers:
            self._queue.put(None)
        _join(self._workers, self._stopped)


def _raise_first(errors: Sequence[BaseException], cancelled: Question) -> None:
    # Those who were stopped because of another's failure are not the cause of it.
    failures = [error for error in errors if not isinstance(error, Cancelled)] or errors
    if failures:
        raise failures[0]
    if cancelled():
        raise Cancelled


def in_parallel(
    work: Callable[[Item, Question], None], items: Sequence[Item], threads: int, cancelled: Question
) -> None:
    """Do the work for all items; the first failure stops the others and is raised.

    The threads are daemons: one that waits for a silent registry does not keep a cancelled program alive.
    What it was writing has no name yet, and is swept later.
    """
    stop = threading.Event()
    waiting = list(reversed(items))
    errors: list[BaseException] = []

    def stopped() -> bool:
        return stop.is_set() or cancelled()

    def run() -> None:
        while not stopped():
            try:
                item = waiting.pop()
            except IndexError:
                return
            try:
                work(item, stopped)
            except BaseException as error:  # noqa: BLE001  raised by the caller's thread
                errors.append(error)
                stop.set()

    workers = [
        threading.Thread(target=run, name=f"registry-{number}", daemon=True)
        for number in range(min(threads, len(items)))
    ]
    try:
        for worker in workers:
            worker.start()
        _join(workers, stopped)
    finally:
        stop.set()
    _raise_first(errors, cancelled)


def _join(workers: Sequence[threading.Thread], stopped: Question) -> None:
    """Wait for all; once stopped, only as long as those need who are not stuck in a read."""
    deadline: float | None = None
    for worker in workers:
        while worker.is_alive():
            worker.join(0.05)
            if deadline is None and stopped():
                deadline = time.monotonic() + _GRACE
            if deadline is not None and time.monotonic() > deadline:
                return
