"""Which times of a step's files count: those that it set on purpose or took from below, not when it happened to run."""

from __future__ import annotations

import os
from collections.abc import Iterable
from hashlib import sha256

from msgspec.structs import replace

from builder.layer.pack import SECOND
from builder.layer.scanned import LayerScan


def timed(content_id: str, times: Iterable[tuple[bytes, int]]) -> str:
    """Return what `StepTimes` makes of a content id when these times count: paths in order, and seconds."""
    found = sha256(b"times/1")
    for path, seconds in times:
        found.update(b"%d:%s%d;" % (len(path), path, seconds))
    found.update(content_id.encode())
    return found.hexdigest()


class StepTimes:
    """Collects the times before `since`, nanoseconds since the epoch; 0 is for what no step made."""

    def __init__(self, since: int) -> None:
        self._since = since
        self._times = sha256(b"times/1")

    def of(self, path: bytes, status: os.stat_result) -> int:
        """Return the time of an entry, in nanoseconds but whole seconds; it may count for the content id."""
        seconds = status.st_mtime_ns // SECOND
        if status.st_mtime_ns < self._since:
            self._times.update(b"%d:%s%d;" % (len(path), path, seconds))
        return seconds * SECOND

    def complete(self, scan: LayerScan) -> LayerScan:
        """Return the scan of a step: unlike a copy with the same files, it changed their times as well."""
        if not self._since or not scan.count:
            return scan
        self._times.update(scan.content_id.encode())
        return replace(scan, content_id=self._times.hexdigest())
