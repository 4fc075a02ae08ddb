"""What every build leaves: what was asked for, how it ended, and all that happened, in the order in which it did.

    builds/<id>.json    what `About` says; written when the build begins to do something, and again when it ends
    builds/<id>.log     events, each after its length; flocked for as long as the build runs

Ids sort by the time of the start. Whoever was killed leaves an `About` that says "running", and no lock.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import suppress

import msgspec

from builder.errors import BuildError
from builder.store.usage import file_bytes

ROOM = "builds"
ID_LENGTH = 24
MOST = 500
"""Builds that are remembered."""

OLDEST = 90 * 86_400.0
"""Seconds."""

LARGEST = 1 << 30
"""Bytes of all logs together; the newest is kept whatever it takes."""

RUNNING, DONE, FAILED, CANCELLED, KILLED = "running", "done", "failed", "cancelled", "killed"

_LENGTH = 4
_MOST_HELD_BACK = 1 << 20
"""Bytes that wait for room on a full disk."""
_LONGEST = 64 << 20
_COUNTED = 1 << 20
_MOST_AT_ONCE = 1000
"""Pieces that one call writes; the kernel takes 1024."""


class About(msgspec.Struct, frozen=True, kw_only=True):
    """A build in short; times in seconds, `error` is its code and message, `kept` the diff ids of what failed steps wrote."""

    id: str
    started: float
    outcome: str = RUNNING
    seconds: float = 0.0
    context: str = ""
    dockerfile: str = ""
    target: str = ""
    names: tuple[str, ...] = ()
    image: str = ""
    steps: int = 0
    cached: int = 0
    error: tuple[str, str] | None = None
    kept: tuple[str, ...] = ()


class Builds:
    """The builds that one store remembers."""

    def __init__(self, root: str) -> None:
        self._room = f"{root}/{ROOM}"

    def new(self) -> BuildLog:
        """Begin to record a build; nothing is written yet."""
        started = time.time()
        name = f"{int(started * 1000):013x}{os.urandom(6).hex()}"[:ID_LENGTH]
        return BuildLog(self._room, name, started)

    def all(self) -> list[About]:
        """Return what is known of all builds, the newest first."""
        return [about for name in reversed(self._names()) if (about := self._read(name))]

    def find(self, prefix: str = "") -> About:
        """Return the build whose id begins or ends like this; for "" the newest.

        Raises: BuildError: there is none, or several.
        """
        # Ids sort by time, so that it is their ends by which people tell them apart.
        names = [name for name in self._names() if name.startswith(prefix) or name.endswith(prefix)]
        chosen = names[-1:] if not prefix else names
        about = self._read(chosen[0]) if len(chosen) == 1 else None
        if about is None:
            message = f"there is no build `{prefix[:40]}`" if prefix else "there is no build yet"
            if len(chosen) > 1:
                message = f"several builds have ids like `{prefix}`"
            raise BuildError(
                message, code="build.not-found", hint="`lapstrake builds` lists those there are"
            )
        return about

    def events(self, build_id: str) -> Iterator[bytes]:
        """Yield the events of a build as they were written; what a killed build left half-written is left out."""
        with open(f"{self._room}/{build_id}.log", "rb") as file:
            while len(head := file.read(_LENGTH)) == _LENGTH:
                length = int.from_bytes(head, "big")
                event = file.read(length) if length <= _LONGEST else b""
                if len(event) < length or not event:
                    return
                yield event

    def size(self, build_id: str) -> int:
        """Return what the record of a build takes on the disk, in bytes of blocks."""
        return sum(file_bytes(f"{self._room}/{build_id}.{end}") for end in ("log", "json"))

    def remove(self, build_id: str) -> int:
        """Forget a build; return the bytes of blocks given back."""
        freed = self.size(build_id)
        for end in ("log", "json"):
            with suppress(FileNotFoundError):
                os.unlink(f"{self._room}/{build_id}.{end}")
        return freed

    def _names(self) -> list[str]:
        try:
            found = os.listdir(self._room)
        except FileNotFoundError:
            return []
        return sorted(
            name.removesuffix(".json")
            for name in found
            if name.endswith(".json") and len(name) == ID_LENGTH + 5
        )

    def _read(self, name: str) -> About | None:
        try:
            with open(f"{self._room}/{name}.json", "rb") as file:
                about = msgspec.json.decode(file.read(1 << 20), type=About)
        except (OSError, msgspec.MsgspecError):
            return None
        if about.outcome == RUNNING and not _is_held(f"{self._room}/{name}.log"):
            return msgspec.structs.replace(about, outcome=KILLED)
        return about


class BuildLog:
    """A build that is being recorded. What happens is held back until there is much of it, or it ends."""

    def __init__(self, room: str, build_id: str, started: float) -> None:
        self.id = build_id
        self.started = started
        self._room = room
        self._held: list[bytes] = []
        self._file = -1

    def add(self, event: bytes) -> None:
        """Take an event."""
        self._held += (len(event).to_bytes(_LENGTH, "big"), event)

    def write(self, about: About) -> None:
        """Bring what is held back to the disk, with what is known of the build now."""
        if self._file < 0:
            os.makedirs(self._room, mode=0o700, exist_ok=True)
            self._file = os.open(
                f"{self._room}/{self.id}.log",
                os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC,
                0o600,
            )
            fcntl.flock(self._file, fcntl.LOCK_EX)
            _replace(f"{self._room}/{self.id}.json", msgspec.json.encode(about))
        held, self._held = self._held, []
        before = os.fstat(self._file).st_size
        try:
            for at in range(0, len(held), _MOST_AT_ONCE):
                pieces = held[at : at + _MOST_AT_ONCE]
                written = os.writev(self._file, pieces)
                if written < sum(map(len, pieces)):
                    view = memoryview(b"".join(pieces))[written:]
                    while view:
                        view = view[os.write(self._file, view) :]
        except OSError:
            # On a full disk a part of an event may have been written, which would hide all that comes after it.
            os.ftruncate(self._file, before)
            if sum(map(len, held)) < _MOST_HELD_BACK:
                self._held = held
            raise

    def finish(self, about: About) -> None:
        """End the record, and forget builds that are too old or too many."""
        self.write(about)
        _replace(f"{self._room}/{self.id}.json", msgspec.json.encode(about))
        size = os.fstat(self._file).st_size
        os.close(self._file)
        self._file = -1
        _tidy(self._room, size)


def _replace(path: str, data: bytes) -> None:
    try:
        with open(f"{path}.new", "wb") as file:
            file.write(data)
        os.rename(f"{path}.new", path)
    except OSError:
        with suppress(OSError):
            os.unlink(f"{path}.new")
        raise


def _is_held(path: str) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def _tidy(room: str, size: int) -> None:
    """Remove the oldest builds beyond what is remembered; sizes are only added up after a large log."""
    builds = Builds(room.rpartition("/")[0])
    names = [name.removesuffix(".json") for name in os.listdir(room) if name.endswith(".json")]
    names.sort()
    oldest = f"{int((time.time() - OLDEST) * 1000):013x}"
    gone = [name for name in names[:-1] if name < oldest] + names[:-MOST]
    if size > _COUNTED:
        total = 0
        for name in reversed(names):
            with suppress(FileNotFoundError):
                total += os.stat(f"{room}/{name}.log").st_size
            if total > LARGEST and name != names[-1]:
                gone.append(name)
    for name in dict.fromkeys(gone):
        if not _is_held(f"{room}/{name}.log"):
            builds.remove(name)
