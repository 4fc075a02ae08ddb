"""Directories that outlive the steps they are shown to: `RUN --mount=type=cache`.

    mounts/<name>/about.json     the id, as it was asked for
    mounts/<name>/lock           flocked: shared or alone by whoever uses it, and by the launcher until the step has ended
    mounts/<name>/fs             what the steps see

The name is a digest of the id, of how the cache begins and of a number: steps that ask for other attributes or another
beginning under one id have caches of their own, and of a private cache that is in use the next number is taken. A directory
counts once it has its name; it is prepared in `active`, which is swept.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

import msgspec

from builder.errors import Cancelled
from builder.graph.keys import framed_digest
from builder.graph.mounts import Sharing
from builder.store.jobs import Jobs

ROOM = "mounts"
NAME_LENGTH = 24
_MOST_PRIVATE = 1000
_WAIT = 0.05
"""Seconds between two looks at a lock."""


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a cache besides its contents."""

    id: str


class Making(msgspec.Struct, frozen=True, kw_only=True):
    """How a cache begins: attributes of an empty one; `seed` puts something in, called with the host path.

    `origin` names what it puts in, by the contents.
    """

    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    origin: str = ""
    seed: Callable[[str], None] | None = None


class MakeCache(msgspec.Struct, frozen=True, kw_only=True):
    """Make a directory at a host path, with these attributes."""

    path: str
    mode: int
    uid: int
    gid: int


class Held(msgspec.Struct, frozen=True):
    """A cache in use: its directory, a host path, and the descriptor of the lock."""

    path: str
    lock: int


class MountExchange(Protocol):
    """Caches of other machines; callable from many threads."""

    def used(self, name: str, cache_id: str) -> None:
        """Hear that a step uses a cache."""

    def fill(self, name: str, cache_id: str, path: str) -> bool:
        """Fill an empty cache, the directory at a host path; False if nobody has it, or it cannot be had whole.

        What is there after that is removed by the caller.
        """


class CacheMounts:
    """The caches of one store, and those of others, if there is an `exchange`."""

    def __init__(self, root: str, jobs: Jobs, exchange: MountExchange | None = None) -> None:
        self._root = root
        self._jobs = jobs
        self._exchange = exchange

    @contextmanager
    def use(
        self,
        cache_id: str,
        sharing: Sharing,
        making: Making,
        *,
        waiting: Callable[[], None],
        cancelled: Callable[[], bool],
    ) -> Iterator[Held]:
        """Have a cache, made if there is none; it is let go of at the end of the block.

        `waiting` is called once, before somebody else's use is waited for.

        Raises: Cancelled: while waiting. StoreError: it cannot be made.
        """
        number = 0
        while number < (_MOST_PRIVATE if sharing is Sharing.PRIVATE else 1):
            name = cache_name(cache_id, making, number)
            place = self._made(cache_id, name, making)
            lock = _lock_in(place)
            if lock < 0:
                continue
            try:
                if not self._taken(lock, sharing, waiting, cancelled):
                    number += 1
                    continue
                if not _is_at(lock, f"{place}/lock"):
                    continue  # it was pruned while it was waited for: there is to be a new one
                with suppress(OSError):  # its time is when it was used last
                    os.utime(place)
                if self._exchange is not None:
                    self._exchange.used(name, cache_id)
                yield Held(f"{place}/fs", lock)
            finally:
                os.close(lock)
            return

    def _taken(
        self,
        lock: int,
        sharing: Sharing,
        waiting: Callable[[], None],
        cancelled: Callable[[], bool],
    ) -> bool:
        kind = fcntl.LOCK_SH if sharing is Sharing.SHARED else fcntl.LOCK_EX
        told = False
        while True:
            try:
                fcntl.flock(lock, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                if sharing is Sharing.PRIVATE:
                    return False
            else:
                return True
            if not told:
                told = True
                waiting()
            if cancelled():
                raise Cancelled
            time.sleep(_WAIT)

    def _made(self, cache_id: str, name: str, making: Making) -> str:
        place = f"{self._root}/{ROOM}/{name}"
        if os.path.isdir(place):
            return place
        os.makedirs(f"{self._root}/{ROOM}", mode=0o700, exist_ok=True)
        new = f"{self._root}/active/{os.urandom(NAME_LENGTH // 2).hex()}"
        os.mkdir(new, 0o700)
        arguments = {
            "path": f"{new}/fs",
            "mode": making.mode,
            "uid": making.uid,
            "gid": making.gid,
        }
        self._jobs.call("builder.store.cache_mounts:make_cache", arguments)
        filled = False
        if self._exchange is not None:
            filled = self._exchange.fill(name, cache_id, f"{new}/fs")
            if not filled:
                left = {"path": f"{new}/fs"}
                self._jobs.call("builder.layer.jobs:remove_tree", left, cleanup=True)
                self._jobs.call("builder.store.cache_mounts:make_cache", arguments)
        if making.seed is not None and not filled:
            making.seed(f"{new}/fs")
        with open(f"{new}/about.json", "wb") as file:
            file.write(msgspec.json.encode(About(id=cache_id)))
        try:
            os.rename(new, place)
        except OSError:
            # Somebody else was faster: a directory is not renamed over one that holds something.
            self._jobs.call("builder.layer.jobs:remove_tree", {"path": new}, cleanup=True)
        return place

    def all(self) -> dict[str, About]:
        """Return what there is, by name."""
        found: dict[str, About] = {}
        with suppress(FileNotFoundError):
            for name in sorted(os.listdir(f"{self._root}/{ROOM}")):
                with (
                    suppress(OSError, msgspec.MsgspecError),
                    open(f"{self._root}/{ROOM}/{name}/about.json", "rb") as file,
                ):
                    found[name] = msgspec.json.decode(file.read(1 << 20), type=About)
        return found


def _lock_in(place: str) -> int:
    """Open the lock of a cache, -1 where it has just been pruned."""
    try:
        return os.open(f"{place}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return -1


def _is_at(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def cache_name(cache_id: str, making: Making, number: int = 0) -> str:
    """Return the directory name of a cache: nothing of its id gets into a path.

    Source: moby/buildkit, solver/llbsolver/mounts (behaviour, not code): a cache belongs to its id and its base.
    """
    beginning = (making.mode, making.uid, making.gid, making.origin)
    return framed_digest(["cache mount/2", cache_id, beginning, number])[:NAME_LENGTH]


def make_cache(
    arguments: object, fds: tuple[int, ...], report: Callable[[object], object]
) -> object:
    """Do `MakeCache`, as a job: without root only that one may give directories away."""
    from builder.layer.owners import recorded

    del fds, report
    request = msgspec.convert(arguments, MakeCache)
    os.mkdir(request.path, 0o700)
    if (request.uid, request.gid) != (0, 0) and not recorded():
        os.chown(request.path, request.uid, request.gid)
    os.chmod(request.path, request.mode)
    return {}
