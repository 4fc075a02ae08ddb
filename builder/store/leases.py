"""What running commands use of the store, said where whoever removes something can read it.

    leases/<name>    layers, blobs and images by digest, a line each; flocked by the process that uses them
    layers           flocked as a gate: shared while a line is added, alone while is decided what goes
    entries          held shared by whoever found no room for a line: then nothing goes

A name is added before anything is believed of what it names, so that a thing is either gone from the index when it
is looked up, or stays. Whoever holds the gate writes nothing to the index, or had begun to before: no two wait for each other.
"""

from __future__ import annotations

import errno
import fcntl
import os
from _thread import _local, allocate_lock, get_ident  # `threading` is on no cached build's way
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from builder.errors import StoreError
from builder.store.ours import unused

ROOM = "leases"

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


class Leases:
    """The lease of this process, and a look at those of others."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._room = f"{root}/{ROOM}"
        self._path = f"{self._room}/{os.urandom(12).hex()}"
        self._file = -1
        self._all = -1
        self._held: set[str] = set()
        self._gates = _local()
        self._opened: list[int] = []
        self._lock = allocate_lock()
        self._collector = 0

    def hold(self, *names: str) -> None:
        """Keep layers, blobs or images, by digest, from being removed until this process lets go of the store.

        What is asked of the index or the disk afterwards stays true.
        """
        new = [name for name in names if name not in self._held]
        if not new or self._collector == get_ident():
            return
        gate = self._gate()
        fcntl.flock(gate, fcntl.LOCK_SH)
        try:
            with self._lock:
                self._write("".join(f"{name}\n" for name in new).encode())
                self._held.update(new)
        finally:
            fcntl.flock(gate, fcntl.LOCK_UN)

    def _gate(self) -> int:
        """Return this thread's descriptor of the gate: a lock belongs to a descriptor, not to a thread."""
        gate: int | None = getattr(self._gates, "fd", None)
        if gate is None:
            gate = self._gates.fd = os.open(f"{self._root}/layers", _DIRECTORY)
            self._opened.append(gate)
        return gate

    def _write(self, lines: bytes) -> None:
        if self._all >= 0:
            return
        try:
            if self._file < 0:
                self._begin()
            if os.write(self._file, lines) == len(lines):
                return
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
        self._all = os.open(f"{self._root}/entries", _DIRECTORY)
        fcntl.flock(self._all, fcntl.LOCK_SH)

    def _begin(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        try:
            self._file = os.open(self._path, flags, 0o600)
        except FileNotFoundError:
            os.makedirs(self._room, mode=0o700, exist_ok=True)
            self._file = os.open(self._path, flags, 0o600)
        # Whoever looks at leases does so alone, so that nobody sees it without a lock.
        fcntl.flock(self._file, fcntl.LOCK_EX)

    @contextmanager
    def collecting(self, *, own: bool) -> Iterator[frozenset[str]]:
        """Give what is held, which stays all that is held until the end of the block; this thread adds nothing.

        `own` says whether what this process holds counts.

        Raises: StoreError: `store.busy`: somebody uses what there was no room to write down.
        """
        gate = os.open(f"{self._root}/layers", _DIRECTORY)
        try:
            fcntl.flock(gate, fcntl.LOCK_EX)
            self._refuse_unknown(own=own)
            held = set(self._held) if own else set()
            for path in self._others():
                held |= _read(path)
            self._collector = get_ident()
            yield frozenset(held)
        finally:
            self._collector = 0
            os.close(gate)

    def _refuse_unknown(self, *, own: bool) -> None:
        mine = self._all >= 0
        if mine and not own:
            fcntl.flock(self._all, fcntl.LOCK_UN)
        everything = os.open(f"{self._root}/entries", _DIRECTORY)
        try:
            fcntl.flock(everything, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(
                "another command is using the store, and there was no room to say what it needs",
                code="store.busy",
                hint="wait for it to finish, then try again",
            ) from error
        finally:
            os.close(everything)
            if mine:
                fcntl.flock(self._all, fcntl.LOCK_SH)

    def _others(self) -> list[str]:
        try:
            return unused(self._root, ROOM, {os.path.basename(self._path)})
        except FileNotFoundError:
            return []

    def close(self) -> None:
        """Let go of everything."""
        if self._file >= 0:
            with suppress(OSError):
                os.unlink(self._path)
        for fd in (self._file, self._all, *self._opened):
            if fd >= 0:
                os.close(fd)
        self._file = self._all = -1
        self._opened.clear()


def _read(path: str) -> set[str]:
    """Return what a lease names; one whose process has died is removed."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return set()
    with open(fd, encoding="ascii") as file:
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return set(file.read().splitlines())
        os.unlink(path)
    return set()
