"""Small files of configuration, wherever they may lie; what was read is remembered, to be told."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from builder.errors import RegistryError

LARGEST = 4 * 1024 * 1024
"""The largest file that is read, in bytes."""


class Files:
    """Reads files that need not be there; those of `others` may also be closed to us.

    `read` are the paths that were read, `closed` those that were not, though they are there.
    """

    def __init__(self, others: str = "") -> None:
        self.read: dict[str, None] = {}
        self.closed: dict[str, None] = {}
        self._others = others

    def content(self, path: str) -> bytes | None:
        """Return the bytes of a file, None if there is none.

        Raises: RegistryError: `registry.config`, it cannot be read, or is too large.
        """
        try:
            # A pipe in the place of the file must not be waited for.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(descriptor, "rb") as file:
                raw = file.read(LARGEST + 1) or b""
                is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            if self._is_closed(path, error):
                return None
            raise unreadable(path, error.strerror or "") from error
        if is_pipe and not raw:
            raise unreadable(path, "it is a pipe, and nothing is in it")
        if len(raw) > LARGEST:
            raise unreadable(path, f"it is larger than {LARGEST} bytes")
        self.read[path] = None
        return raw

    def text(self, path: str) -> str | None:
        """Return the text of a file, None if there is none.

        Raises: RegistryError: `registry.config`, it cannot be read, or is no UTF-8.
        """
        raw = self.content(path)
        if raw is None:
            return None
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise unreadable(path, "it is not text in UTF-8") from error

    def first(self, paths: Iterable[str]) -> tuple[str, str] | None:
        """Return path and text of the first file that is there."""
        for path in paths:
            text = self.text(path)
            if text is not None:
                return path, text
        return None

    def names(self, directory: str) -> list[str]:
        """Return the names in a directory, sorted; none if it is not there.

        Raises: RegistryError: `registry.config`, it cannot be read.
        """
        try:
            return sorted(os.listdir(directory))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            if self._is_closed(directory, error):
                return []
            raise unreadable(directory, error.strerror or "") from error

    def _is_closed(self, path: str, error: OSError) -> bool:
        """Tell whether somebody else's file is not meant for us, and remember it."""
        closed = isinstance(error, PermissionError) and path.startswith(f"{self._others}/")
        if closed and self._others:
            self.closed[path] = None
            return True
        return False


def unreadable(path: str, fact: str) -> RegistryError:
    """Return the error of a file that is there and cannot be used."""
    return RegistryError(f"cannot read `{path}`", code="registry.config", notes=(fact,))
