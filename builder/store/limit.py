"""The most that a store may take: room is made before more is written.

What comes is counted as it comes, and everything is measured again now and then, since others write as well. What a
step will write nobody knows before: it is counted afterwards, and the next one waits until there is room again.
"""

from __future__ import annotations

import time
from _thread import RLock  # `threading` is on no cached build's way
from typing import TYPE_CHECKING

from builder.errors import StoreError

if TYPE_CHECKING:
    from builder.store.root import Store

_FRESH = 20.0
"""Times of its own length that a measurement is believed: no more than a twentieth of the time is spent on it."""

_MB = 1e6


class Limit:
    """Keeps one store at `most` bytes, as far as running commands and images with names allow."""

    def __init__(self, store: Store, most: int) -> None:
        self._store = store
        self._most = most
        self._lock = RLock()
        self._used = 0
        self._fresh_until = 0.0
        self._making = False

    def end(self) -> None:
        """Bring the store below the limit, after what was not known before has been written."""
        self._fresh_until = 0.0
        self.make_room()

    def make_room(self, coming: int = 0) -> None:
        """See to it that `coming` bytes can be written, or any, where 0.

        Raises: StoreError: `store.limit`: what is needed takes too much already.
        """
        with self._lock:
            if self._making:  # for what is removed nothing has to be removed first
                return
            self._making = True
            try:
                if time.monotonic() > self._fresh_until or self._used + coming > self._most:
                    self._measure()
                if self._used + coming > self._most:
                    self._remove(coming)
                self._used += coming
            finally:
                self._making = False

    def _measure(self) -> None:
        from builder.store.sizes import Sizes

        began = time.monotonic()
        self._used = Sizes(self._store).total()
        now = time.monotonic()
        self._fresh_until = now + _FRESH * (now - began)

    def _remove(self, coming: int) -> None:
        from builder.store.gc import collect
        from builder.store.pruning import Pruning

        collect(self._store, Pruning(most=max(self._most - coming, 0)), own=True)
        self._measure()
        needed = self._used + coming
        if needed > self._most:
            raise StoreError(
                f"the store may take {self._most / _MB:.1f} MB, and what is needed takes {needed / _MB:.1f} MB",
                code="store.limit",
                notes=("what images with names and running commands need is not removed",),
                hint="remove images with `lapstrake rmi`, or allow more with `--max-size`",
            )
