"""Compressed forms of a tar stream: both sides hashed while they pass by.

gzip is made by igzip at level 1 in pieces of exactly 1 MiB, for its bytes depend on the pieces; they also
differ between processors, so that what must be the same everywhere is made by zlib (`reproducible`).

Source: RFC 1952, "Members"; RFC 8878; OCI image-spec, layer.md, "+gzip Media Types".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Any

from builder.errors import LayerError
from builder.layer.read import Readable

_PIECE = 1 << 20
_READ = 1 << 17
_WINDOW_LIMIT = 1 << 27
_GZIP_LEVEL = 1
_ZLIB_LEVEL = 6
_ZSTD_LEVEL = 3


class Compression(Enum):
    """How a layer blob is compressed."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"


def recognise(head: bytes) -> Compression:
    """Tell the compression from the first four bytes of a blob; media types are not always right."""
    if head.startswith(b"\x1f\x8b"):
        return Compression.GZIP
    if head.startswith(b"\x28\xb5\x2f\xfd") or (
        head[:1] >= b"\x50" and head[1:4] == b"\x2a\x4d\x18"
    ):
        return Compression.ZSTD
    return Compression.NONE


def decompressor(file: Readable, compression: Compression) -> Readable:
    """Return a reader of the uncompressed stream; several gzip members or zstd frames are read as one.

    It gives no more than it is asked for, so that the caller's limit bounds what a bomb can do.
    `read` raises LayerError where the stream is damaged or cut off.
    """
    match compression:
        case Compression.NONE:
            return file
        case Compression.GZIP:
            return _GzipReader(file)
        case Compression.ZSTD:
            return _ZstdReader(file)


class _GzipReader:
    def __init__(self, file: Readable) -> None:
        from isal import igzip_lib

        untyped: Any = igzip_lib
        self._new = partial(untyped.IgzipDecompressor, flag=untyped.DECOMP_GZIP)
        self._error: type[Exception] = untyped.IsalError
        self._file = file
        self._inflate: Any = self._new()

    def read(self, size: int, /) -> bytes:
        while True:
            data = b""
            if self._inflate.eof:
                data = self._inflate.unused_data or self._file.read(_READ)
                while data and not data.strip(b"\0"):
                    data = self._file.read(_READ)  # padding, as tapes want it
                if not data:
                    return b""
                self._inflate = self._new()
            elif self._inflate.needs_input:
                data = self._file.read(_READ)
                if not data:
                    raise LayerError("the layer's gzip stream is cut off")
            try:
                out: bytes = self._inflate.decompress(data, max_length=size)
            except self._error as error:
                raise LayerError(
                    "the layer is not a valid gzip stream", notes=(str(error),)
                ) from error
            if out:
                return out


class _ZstdReader:
    def __init__(self, file: Readable) -> None:
        import zstandard

        self._error = zstandard.ZstdError
        # The window is memory that the stream asks for.
        decompressor: Any = zstandard.ZstdDecompressor(max_window_size=_WINDOW_LIMIT)
        self._reader = decompressor.stream_reader(
            file, read_size=_READ, read_across_frames=True, closefd=False
        )

    def read(self, size: int, /) -> bytes:
        try:
            data: bytes = self._reader.read(size)
        except self._error as error:
            raise LayerError("the layer is not a valid zstd stream", notes=(str(error),)) from error
        return data


class Compressor:
    """Compresses what is written and hands it on to `write`, hashing it on the way.

    `reproducible` makes gzip's bytes depend on the input alone, at several times the cost; so does a `level`.
    """

    def __init__(
        self,
        write: Callable[[bytes], object],
        compression: Compression,
        *,
        level: int | None = None,
        reproducible: bool = False,
    ) -> None:
        self._write = write
        self._digest = hashlib.sha256()
        self._size = 0
        self._held = bytearray()
        self._deflate = _deflater(compression, level, reproducible=reproducible)

    def _emit(self, data: bytes) -> None:
        if data:
            self._digest.update(data)
            self._size += len(data)
            self._write(data)

    def write(self, data: bytes) -> None:
        """Take the next bytes of the uncompressed stream, in pieces of any size."""
        if self._deflate is None:
            self._emit(data)
            return
        self._held += data
        if len(self._held) >= _PIECE:
            self._deflate_held()

    def _deflate_held(self) -> None:
        assert self._deflate is not None
        whole = len(self._held) // _PIECE * _PIECE
        with memoryview(self._held) as held:
            for at in range(0, whole, _PIECE):
                self._emit(self._deflate.compress(held[at : at + _PIECE]))
        del self._held[:whole]

    def close(self) -> tuple[str, int]:
        """End the stream.

        Returns: the digest, `sha256:…`, and size in bytes of the compressed side.
        """
        if self._deflate is not None:
            if self._held:
                self._emit(self._deflate.compress(bytes(self._held)))
            self._emit(self._deflate.flush())
        return "sha256:" + self._digest.hexdigest(), self._size


def _deflater(compression: Compression, level: int | None, *, reproducible: bool) -> Any:
    match compression:
        case Compression.NONE:
            return None
        case Compression.GZIP if reproducible or level is not None:
            import zlib

            return zlib.compressobj(_ZLIB_LEVEL if level is None else level, zlib.DEFLATED, 31)
        case Compression.GZIP:
            from isal import isal_zlib

            return isal_zlib.compressobj(level=_GZIP_LEVEL, wbits=31)
        case Compression.ZSTD:
            import zstandard

            # One worker: bytes differ between none and some, but not with their number.
            return zstandard.ZstdCompressor(
                level=_ZSTD_LEVEL if level is None else level, threads=1, write_checksum=True
            ).compressobj()
