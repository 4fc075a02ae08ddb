"""Files that are to become blobs, under names that tell who may go on with them.

    tmp/blob-<random>              of one writer alone; litter as soon as nobody holds its lock
    tmp/part-<algorithm>-<hex>     what has come of the blob with this digest; who comes next goes on from there

Whoever writes holds the file's lock, which ends with the process, whatever happens to it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from builder.errors import StoreError
from builder.oci.digest import Digest
from builder.store.ours import BLOB, PART, unused

if TYPE_CHECKING:
    from builder.store.arrival import Arrival

KEPT = 24 * 3600.0
"""Seconds after its last byte for which a part is kept, for a pull that goes on."""

_PIECE = 1 << 20
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...


class Unfinished:
    """An open, locked file; closing it lets go of it, and removes it unless it was renamed or is `kept`."""

    def __init__(self, path: str, descriptor: int) -> None:
        self._path: str | None = path
        self.descriptor = descriptor
        self.kept = False

    def rename(self, target: str) -> None:
        """Give it its name."""
        assert self._path is not None
        os.rename(self._path, target)
        self._path = None

    def __enter__(self) -> Unfinished:
        return self

    def __exit__(self, *_: object) -> None:
        worth = self.kept and os.fstat(self.descriptor).st_size
        if self._path is not None and not worth:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
        os.close(self.descriptor)


def create(directory: str) -> Unfinished:
    """Make a new file of nobody else's."""
    while True:
        path = os.path.join(directory, BLOB + os.urandom(8).hex())
        try:
            descriptor = os.open(path, _FLAGS | os.O_EXCL, 0o644)
        except FileNotFoundError:
            os.makedirs(directory, exist_ok=True)
            continue
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        # A sweeper may have come between the two calls; its victim has no name any more.
        if os.fstat(descriptor).st_nlink:
            return Unfinished(path, descriptor)
        os.close(descriptor)


def part_of(directory: str, digest: Digest, pause: Callable[[], None]) -> Unfinished | None:
    """Open what has come of a blob, or an empty beginning.

    While another thread or process is receiving it, `pause` is called again and again; it may raise.

    Returns: None where it had to be waited for: the blob may be there now, so look first, then ask again.
    """
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, f"{PART}{digest.algorithm}-{digest.hex}")
    while True:
        descriptor = os.open(path, _FLAGS, 0o644)
        try:
            waited = _lock(descriptor, pause)
            gone = not os.fstat(descriptor).st_nlink
        except BaseException:
            os.close(descriptor)
            raise
        if not gone and not waited:
            part = Unfinished(path, descriptor)
            part.kept = True
            return part
        os.close(descriptor)
        if waited:
            return None


def _lock(descriptor: int, pause: Callable[[], None]) -> bool:
    """Take a lock; return whether it had to be waited for."""
    waited = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = True
            pause()
        else:
            return waited


def fill(
    descriptor: int,
    fetch: Callable[[int], Iterable[bytes]],
    expected: Digest,
    size: int,
    arrival: Arrival | None,
) -> None:
    """Write what is missing of a blob, and read again what is there.

    Raises: StoreError: `store.digest-mismatch`: it is not the blob, or larger. What `fetch` raises.
    """
    import hashlib

    found = hashlib.new(expected.algorithm)
    at = _hashed(descriptor, found, size)
    if arrival is not None:
        arrival.begin(descriptor, at)
    for chunk in fetch(at) if at < size else ():
        at += len(chunk)
        if at > size:
            raise mismatch(f"more than the {size} bytes promised came", expected)
        found.update(chunk)
        view = memoryview(chunk)
        while view:
            view = view[os.write(descriptor, view) :]
        if arrival is not None:
            arrival.grow(len(chunk))
    if at != size:
        raise mismatch(f"{size} bytes were promised, {at} came", expected)
    if found.hexdigest() != expected.hex:
        raise mismatch(
            f"its content has the digest `{expected.algorithm}:{found.hexdigest()}`", expected
        )


def mismatch(fact: str, expected: Digest | None) -> StoreError:
    """Return the error about bytes that are not what their descriptor says."""
    name = f"`{expected}`" if expected else "the blob"
    return StoreError(
        f"{name} is not what it should be", code="store.digest-mismatch", notes=(fact,)
    )


def _hashed(descriptor: int, found: _Hash, size: int) -> int:
    """Hash what is in a file, leave the position at its end, and return that; a file too large is emptied."""
    if os.fstat(descriptor).st_size > size:
        os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    at = 0
    while chunk := os.read(descriptor, _PIECE):
        found.update(chunk)
        at += len(chunk)
    return at


def sweep(root: str, *, parts: bool) -> Iterator[int]:
    """Remove what nobody is writing: litter, and parts if asked for, empty or old; yield the bytes given back of each."""
    try:
        paths = unused(root, "tmp", ())
    except FileNotFoundError:
        return
    for path in paths:
        name = os.path.basename(path)
        if name.startswith(BLOB) or (name.startswith(PART) and (parts or _is_useless(path))):
            freed = _sweep_one(path)
            if freed is not None:
                yield freed


def _is_useless(path: str) -> bool:
    """Tell whether nothing has come of a blob, or what came is too old to be gone on with."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return False
    return not status.st_size or time.time() - status.st_mtime > KEPT


def _sweep_one(path: str) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its writer may have finished it meanwhile, and another begun a new one under the name.
        if not os.path.samestat(os.fstat(descriptor), os.lstat(path)):
            return None
        os.unlink(path)
        return os.fstat(descriptor).st_blocks * 512
    except OSError:
        return None
    finally:
        os.close(descriptor)
