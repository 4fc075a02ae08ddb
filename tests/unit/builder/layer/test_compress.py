from __future__ import annotations

import gzip
import hashlib
import io
import os
import random
import subprocess
import zlib

import pytest
import zstandard

from builder.errors import LayerError
from builder.layer.compress import Compression, Compressor, decompressor, recognise

DATA = b"".join(b"%d line of text\n" % number for number in range(200_000))


def compressed(
    compression: Compression, *, step: int = 70_000, reproducible: bool = False
) -> bytes:
    pieces: list[bytes] = []
    compressor = Compressor(pieces.append, compression, reproducible=reproducible)
    for at in range(0, len(DATA), step):
        compressor.write(DATA[at : at + step])
    digest, size = compressor.close()
    blob = b"".join(pieces)
    assert digest == "sha256:" + hashlib.sha256(blob).hexdigest()
    assert size == len(blob)
    return blob


def read_all(blob: bytes, compression: Compression, size: int = 10_000) -> bytes:
    stream = decompressor(io.BytesIO(blob), compression)
    pieces = []
    while piece := stream.read(size):
        assert len(piece) <= size
        pieces.append(piece)
    assert stream.read(size) == b""
    return b"".join(pieces)


@pytest.mark.parametrize("compression", Compression)
def test_what_is_compressed_is_read_again(compression: Compression) -> None:
    blob = compressed(compression)
    assert recognise(blob) is compression
    assert read_all(blob, compression) == DATA


@pytest.mark.parametrize("compression", Compression)
def test_the_bytes_do_not_depend_on_the_pieces_written(compression: Compression) -> None:
    blobs = {compressed(compression, step=step) for step in (1 << 20, 999_983, 4096, len(DATA))}
    assert len(blobs) == 1


def test_gzip_holds_no_name_and_no_time() -> None:
    for reproducible in (True, False):
        blob = compressed(Compression.GZIP, reproducible=reproducible)
        assert blob[3:8] == bytes(5)
        assert gzip.decompress(blob) == DATA


def test_reproducible_gzip_is_zlib() -> None:
    deflate = zlib.compressobj(6, zlib.DEFLATED, 31)
    expected = deflate.compress(DATA) + deflate.flush()
    assert compressed(Compression.GZIP, reproducible=True) == expected


def test_others_read_zstd() -> None:
    blob = compressed(Compression.ZSTD)
    assert zstandard.ZstdDecompressor().decompressobj().decompress(blob) == DATA


def test_gzip_members_are_one_stream() -> None:
    blob = b"".join(gzip.compress(part) for part in (b"one", b"", b"two" * 9000, b"three"))
    assert read_all(blob, Compression.GZIP) == b"one" + b"two" * 9000 + b"three"
    assert read_all(blob + bytes(5000), Compression.GZIP, 7) == b"one" + b"two" * 9000 + b"three"


def test_zstd_frames_are_one_stream() -> None:
    compress = zstandard.ZstdCompressor().compress
    skippable = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"index"
    blob = compress(b"one") + skippable + compress(b"two" * 9000) + skippable
    assert read_all(blob, Compression.ZSTD) == b"one" + b"two" * 9000
    assert recognise(skippable) is Compression.ZSTD


@pytest.mark.parametrize("cut", [0, 5, 12, 1000, -9, -1])
def test_a_cut_gzip_stream_is_an_error(cut: int) -> None:
    blob = gzip.compress(random.Random(1).randbytes(5000))
    with pytest.raises(LayerError):
        read_all(blob[:cut], Compression.GZIP)


def test_damaged_streams_are_errors() -> None:
    for compression in (Compression.GZIP, Compression.ZSTD):
        blob = bytearray(compressed(compression))
        blob[len(blob) // 2] ^= 0xFF
        with pytest.raises(LayerError):
            read_all(bytes(blob), compression)
        with pytest.raises(LayerError):
            read_all(b"<html>not found</html>", compression)
    with pytest.raises(LayerError):
        read_all(gzip.compress(b"x") + b"more", Compression.GZIP)


def test_zstd_windows_have_a_limit() -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=28)
    compress = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    blob = compress.compress(os.urandom(1000)) + compress.flush()
    with pytest.raises(LayerError):
        read_all(blob, Compression.ZSTD)


def test_the_gzip_program_agrees() -> None:
    blob = compressed(Compression.GZIP)
    unpacked = subprocess.run(["gzip", "-dc"], input=blob, capture_output=True, check=True)
    assert unpacked.stdout == DATA
