"""What the steps of each project were when they were built: with that, a miss is explained.

    traces/<project>    facts, one step after the other, each after its length; only ever appended to

A project is a context and a Dockerfile. A cached build neither reads nor writes here.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

import msgspec

from builder.graph.explain import Facts

MOST = 1000
"""Projects that are remembered."""

OLDEST = 90 * 86_400.0
"""Seconds since a project was last built."""

LARGEST = 4 << 20
"""Bytes of one project; the older half goes when there are more."""

_LENGTH = 4
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Facts)


class Trace:
    """What is known of one project's steps; see `Store.trace_path`."""

    def __init__(self, path: str) -> None:
        self._room = os.path.dirname(path)
        self._path = path

    @property
    def exists(self) -> bool:
        """Whether anything is known."""
        return os.path.exists(self._path)

    def read(self) -> list[Facts]:
        """Return all facts, the oldest first; what was cut off or is not understood any more is left out."""
        try:
            with open(self._path, "rb") as file:
                data = file.read(2 * LARGEST)
        except OSError:
            return []
        found: list[Facts] = []
        at = 0
        while at + _LENGTH <= len(data):
            length = int.from_bytes(data[at : at + _LENGTH], "big")
            frame = data[at + _LENGTH : at + _LENGTH + length]
            at += _LENGTH + length
            if len(frame) == length:
                with suppress(msgspec.MsgspecError):
                    found.append(_DECODER.decode(frame))
        return found

    def add(self, *facts: Facts) -> None:
        """Append facts; a disk without room loses them, which ends no build."""
        frames = [_ENCODER.encode(each) for each in facts]
        data = b"".join([len(each).to_bytes(_LENGTH, "big") + each for each in frames])
        with suppress(OSError):
            new = not self.exists
            if new:
                os.makedirs(self._room, mode=0o700, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            descriptor = os.open(self._path, flags, 0o600)
            try:
                os.write(descriptor, data)  # one call, so that two builds do not mix
                size = os.fstat(descriptor).st_size
            finally:
                os.close(descriptor)
            if size > LARGEST:
                self._shorten()
            if new:
                self._tidy()

    def _shorten(self) -> None:
        facts = self.read()
        kept = facts[len(facts) // 2 :]
        temporary = f"{self._path}.{os.getpid()}.new"
        with open(temporary, "wb") as file:
            for each in kept:
                frame = _ENCODER.encode(each)
                file.write(len(frame).to_bytes(_LENGTH, "big") + frame)
        os.rename(temporary, self._path)

    def _tidy(self) -> None:
        """Forget the projects that were built long ago, and those beyond what is remembered."""
        with os.scandir(self._room) as entries:
            found = sorted((entry.stat().st_mtime, entry.path) for entry in entries)
        oldest = time.time() - OLDEST
        for number, (modified, path) in enumerate(found):
            if modified < oldest or number < len(found) - MOST:
                os.unlink(path)
