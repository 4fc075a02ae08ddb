"""Which times of a step's files count: those that it set on purpose or took from below, not when it happened to run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import sha256

from msgspec import Struct
from msgspec.structs import replace

from builder.layer.pack import SECOND
from builder.layer.scanned import LayerScan

_PREFIX = b"times/1"

MADE = 315_619_200
"""The time of directories that no input has a time for, in seconds: 2 January 1980, which archives of all kinds can hold in all zones."""


class Counted(Struct, frozen=True):
    """Which times of a layer count: those before a second, and `also` some in it, by number among the entries with a time."""

    before: int
    also: tuple[int, ...] = ()

    def content_id(self, plain: str, times: Sequence[tuple[bytes, int]]) -> str:
        """Return what `StepTimes` makes of the id of the entries alone; `times` are paths, in order, and seconds."""
        also = frozenset(self.also)
        found = sha256(_PREFIX)
        for number, (path, seconds) in enumerate(times):
            if seconds < self.before or (seconds == self.before and number in also):
                found.update(_framed(path, seconds))
        found.update(plain.encode())
        return found.hexdigest()


def counted(times: Sequence[int]) -> Counted:
    """Return which times counted, from those in an entry list, in nanoseconds; see `StepTimes.of`."""
    own = [time // SECOND for time in times if time % SECOND]
    before = min(own) if own else max((time // SECOND for time in times), default=0) + 1
    also = [
        number
        for number, time in enumerate(times)
        if time % SECOND == 0 and time // SECOND == before
    ]
    return Counted(before, tuple(also))


def noted(nanoseconds: int) -> int:
    """Return a time as an entry list has it: whole seconds, and one nanosecond more where it was read off a clock.

    Who sets a time on purpose sets whole seconds, as archives and package managers do.
    """
    seconds, rest = divmod(nanoseconds, SECOND)
    return seconds * SECOND + (1 if rest else 0)


def _framed(path: bytes, seconds: int) -> bytes:
    return b"%d:%s%d;" % (len(path), path, seconds)


class StepTimes:
    """Collects the times before `since`, nanoseconds since the epoch; 0 is for what no step made."""

    def __init__(self, since: int) -> None:
        self._since = since
        self._times = sha256(_PREFIX)

    def of(self, path: bytes, status: os.stat_result) -> int:
        """Return the time of an entry in nanoseconds: whole seconds, and one more where it does not count.

        No form of a layer tells less than a second, so that the list alone remembers what counted.
        """
        seconds = status.st_mtime_ns // SECOND
        if status.st_mtime_ns < self._since:
            self._times.update(_framed(path, seconds))
            return seconds * SECOND
        return seconds * SECOND + (1 if self._since else 0)

    def complete(self, scan: LayerScan) -> LayerScan:
        """Return the scan of a step: unlike a copy with the same files, it changed their times as well."""
        if not self._since or not scan.count:
            return scan
        self._times.update(scan.content_id.encode())
        return replace(scan, content_id=self._times.hexdigest())
