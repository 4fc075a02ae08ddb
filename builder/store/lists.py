"""Manifest lists that are being put together: small documents by name, one file each, replaced as a whole.

ROOT/lists/<sha256 of the name>.json
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from builder.oci.digest import Digest

ROOM = "lists"
_LIMIT = 4 << 20


class Lists:
    """The lists of the store at `root`, a host path."""

    def __init__(self, root: str) -> None:
        self._room = f"{root}/{ROOM}"

    def _path(self, name: str) -> str:
        return f"{self._room}/{Digest.of(name.encode()).hex}.json"

    def read(self, name: str) -> bytes | None:
        """Return the document with this name, None if there is none."""
        try:
            with open(self._path(name), "rb") as file:
                return file.read(_LIMIT)
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Put a document in the place of what has this name."""
        path = self._path(name)
        partial = f"{path}.{os.urandom(6).hex()}"
        try:
            with open(partial, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.rename(partial, path)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(partial)
            raise

    def remove(self, name: str) -> bool:
        """Remove a document; tell whether there was one."""
        try:
            os.unlink(self._path(name))
        except FileNotFoundError:
            return False
        return True

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Keep others from changing lists until the block ends."""
        os.makedirs(self._room, exist_ok=True)
        fd = os.open(self._room, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)
