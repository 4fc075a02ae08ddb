"""The three descriptors that every process is given: open, and an output that says what it is when it fails.

A caller may have closed any of them (`>&-`). The next file that is opened would take its number, and be
written to as if it were the output, or be read by a container as its input.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def open_missing() -> None:
    """Open the null device where standard input, output or error is closed.

    Call it before anything else is opened.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is the one that is missing: those below have been seen to already.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003  its signature
    if sys.stdin is None:
        sys.stdin = _text(io.BufferedReader(io.FileIO(0, closefd=False)))
    if sys.stderr is None:
        sys.stderr = _text(io.BufferedWriter(io.FileIO(2, "w", closefd=False)))


def name_failures() -> None:
    """Have what is written to standard output raise OutputError where it would raise OSError.

    A reader that has gone stays a BrokenPipeError.
    """
    kind = _Lost if sys.stdout is None else _Output
    file = kind(1, "w", closefd=False)
    sys.stdout = _text(io.BufferedWriter(file), line_buffering=file.isatty())


def is_lost(stream: TextIO) -> bool:
    """Tell whether what is written to standard output gets nowhere, as the caller closed it."""
    return isinstance(getattr(getattr(stream, "buffer", None), "raw", None), _Lost)


class _Output(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            from builder.errors import OutputError

            reason = os.strerror(error.errno or 0)
            raise OutputError(f"cannot write to standard output: {reason}") from error


class _Lost(_Output):
    """The null device, in place of an output that was closed."""


def _text(stream: io.BufferedReader | io.BufferedWriter, *, line_buffering: bool = False) -> TextIO:
    known = sys.stdout or sys.__stdout__
    encoding = known.encoding if known is not None else "utf-8"
    errors = known.errors if known is not None else "surrogateescape"
    return io.TextIOWrapper(stream, encoding, errors, line_buffering=line_buffering)
