"""Archives as people have them: plain, or compressed by gzip, bzip2, xz or zstd; told by their first bytes.

Nothing gives more than it is asked for, so that the reader's limits bound what a bomb can do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from builder.errors import Cancelled, LayerError
from builder.layer.compress import decompressor, recognise
from builder.layer.read import Readable

_READ = 1 << 17
_HEAD = 6
_MEMORY_LIMIT = 1 << 27


def never() -> bool:
    """Nobody cancels."""
    return False


def unwrapped(stream: Readable, cancelled: Callable[[], bool] = never) -> Readable:
    """Return a reader of what is in a stream, uncompressed.

    Its `read` raises LayerError where the stream is damaged or cut off, and Cancelled.
    """
    stream = _Stoppable(stream, cancelled)
    head = b""
    while len(head) < _HEAD and (more := stream.read(_HEAD - len(head))):
        head += more
    whole = _Rejoined(head, stream)
    if head.startswith(b"BZh"):
        from bz2 import BZ2Decompressor

        return _Members(whole, BZ2Decompressor, "bzip2", (OSError, ValueError))
    if head == b"\xfd7zXZ\0":
        import lzma

        def new() -> lzma.LZMADecompressor:
            return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY_LIMIT)

        return _Members(whole, new, "xz", (lzma.LZMAError,))
    return decompressor(whole, recognise(head))


class _Stoppable:
    """A stream that asks, before each piece, whether to go on."""

    def __init__(self, stream: Readable, cancelled: Callable[[], bool]) -> None:
        self._stream = stream
        self._cancelled = cancelled

    def read(self, size: int, /) -> bytes:
        if self._cancelled():
            raise Cancelled
        return self._stream.read(size)


class _Rejoined:
    """A stream whose first bytes have been looked at."""

    def __init__(self, head: bytes, stream: Readable) -> None:
        self._head = head
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        if not self._head:
            return self._stream.read(size)
        data, self._head = self._head[:size], self._head[size:]
        return data


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Members:
    """One compressed stream after the other, read as one."""

    def __init__(
        self,
        stream: Readable,
        new: Callable[[], _Decompressor],
        name: str,
        errors: tuple[type[Exception], ...],
    ) -> None:
        self._stream = stream
        self._new = new
        self._name = name
        self._errors = errors
        self._inner = new()

    def read(self, size: int, /) -> bytes:
        while True:
            data = b""
            if self._inner.eof:
                data = self._inner.unused_data or self._stream.read(_READ)
                while data and not data.strip(b"\0"):
                    data = self._stream.read(_READ)  # padding
                if not data:
                    return b""
                self._inner = self._new()
            elif self._inner.needs_input:
                data = self._stream.read(_READ)
                if not data:
                    raise LayerError(f"the {self._name} stream is cut off")
            try:
                out = self._inner.decompress(data, max_length=size)
            except self._errors as error:
                raise LayerError(
                    f"this is not a valid {self._name} stream", notes=(str(error),)
                ) from error
            if out:
                return out
