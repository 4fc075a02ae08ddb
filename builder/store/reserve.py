"""Room kept back in the store, so that a full disk can be cleaned up: the index writes to say what is gone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

SIZE = 1 << 20
"""Bytes."""


class Reserve:
    """The file that takes the room until it is needed."""

    def __init__(self, root: str) -> None:
        self._path = f"{root}/reserve"

    def keep(self) -> None:
        """Take the room, where there is any and it is not taken yet."""
        if os.path.exists(self._path):
            return
        with suppress(OSError), open(self._path, "xb") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, SIZE)
            except OSError:
                os.unlink(self._path)

    def give(self) -> None:
        """Give the room back."""
        with suppress(FileNotFoundError):
            os.unlink(self._path)

    @contextmanager
    def given(self) -> Iterator[None]:
        """Do without the reserve while the block removes something."""
        self.give()
        try:
            yield
        finally:
            self.keep()
