"""Files and standard input as streams of bytes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from builder.errors import UsageError


@contextmanager
def reading(path: str, flag: str) -> Iterator[BinaryIO]:
    """Open a file, or standard input for `-`; `flag` is what names a file instead.

    Raises: UsageError: it cannot be opened, or a person sits at standard input.
    """
    if path == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError(
                "standard input is a terminal, not an archive", hint=f"redirect it, or use {flag}"
            )
        yield sys.stdin.buffer
        return
    try:
        stream = open(path, "rb")  # noqa: SIM115  closed below
    except OSError as error:
        raise UsageError(f"cannot read `{path}`: {error.strerror}") from error
    with stream:
        yield stream
