"""Many items, a few threads: the first failure stops the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from builder.errors import Cancelled
from builder.registry.exchange import Cancelled as Question

_GRACE = 1.0
"""Seconds that threads have to tidy up once they are stopped."""

Item = TypeVar("Item")


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
    # Those who were stopped because of another's failure are not the cause of it.
    failures = [error for error in errors if not isinstance(error, Cancelled)] or errors
    if failures:
        raise failures[0]
    if cancelled():
        raise Cancelled


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
