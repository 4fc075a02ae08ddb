"""Progress of one blob, told now and then."""

from __future__ import annotations

import time

from builder.events import EventSink, Progress
from builder.oci.descriptor import Descriptor

_EVERY = 0.1


class Meter:
    """Progress of one blob, told at most ten times a second."""

    def __init__(self, events: EventSink, vertex_id: int, descriptor: Descriptor) -> None:
        self._events = events
        self._vertex_id = vertex_id
        self._item = f"{descriptor.digest.algorithm}:{descriptor.digest.short}"
        self._total = descriptor.size
        self._done = 0
        self._moved = False
        self._told = 0.0
        self._tell()

    def add(self, count: int) -> None:
        """Count bytes that moved."""
        self._done += count
        self._moved = True
        if time.monotonic() - self._told >= _EVERY:
            self._tell()

    def restart(self, done: int = 0) -> None:
        """Go back to where the transfer goes on after a break."""
        self._done = done

    def finish(self) -> None:
        """Tell that all is there; nothing moved means that it was there before."""
        self._done = self._total
        self._tell(here=not self._moved)

    def _tell(self, *, here: bool = False) -> None:
        self._told = time.monotonic()
        progress = Progress(
            id=self._vertex_id, item=self._item, done=self._done, total=self._total, here=here
        )
        self._events.emit(progress)
