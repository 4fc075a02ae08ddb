"""What is done to layers behind the launcher, as functions of plain data.

A job is called with its arguments, file descriptors and a function to report progress to, and returns plain
data; what it raises reaches the caller as it is, or translated. Progress is the number of bytes gone by.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from builder.errors import LayerError, StoreError
from builder.layer.read import Limits, Readable

Reporter = Callable[[object], object]

_REPORT_EVERY = 1 << 23
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class ApplyLayer(msgspec.Struct, frozen=True, kw_only=True):
    """Unpack a blob, the host path `blob` or the first descriptor, into the empty directory `root`.

    `compression` is `none`, `gzip`, `zstd`, or `auto` to look at the blob itself. For `marks` see `apply`.
    """

    root: str
    entries_path: str
    lowers: tuple[str, ...] = ()
    blob: str | None = None
    compression: str = "auto"
    limits: Limits = Limits()
    marks: bool = True


class CommitUpper(msgspec.Struct, frozen=True, kw_only=True):
    """Scan the upper directory of a finished step; with `tar`, write the plain tar to that path too.

    Times before `since` (nanoseconds since the epoch) are part of the content id. `user` is the path of a file that may
    say who the step ran as.
    """

    upper: str
    entries_path: str
    lowers: tuple[str, ...] = ()
    tar: str | None = None
    since: int = 0
    user: str = ""


class WriteBlob(msgspec.Struct, frozen=True, kw_only=True):
    """Write the blob of a layer to `path`; `expected` is the diff id that must come out."""

    path: str
    compression: str = "none"
    level: int | None = None
    expected: str | None = None
    reproducible: bool = False


class PackLayer(WriteBlob, frozen=True, kw_only=True):
    """Write the blob of a layer from its entry list and directory form."""

    entries_path: str
    root: str


class CompressLayer(WriteBlob, frozen=True, kw_only=True):
    """Write the blob of a layer from another blob of it."""

    blob: str


class VerifyDirectory(msgspec.Struct, frozen=True, kw_only=True):
    """Compare a directory form with its entry list."""

    root: str
    entries_path: str


class RemoveTree(msgspec.Struct, frozen=True, kw_only=True):
    """Remove what is at a host path, whatever it is."""

    path: str


class PrepareUpper(msgspec.Struct, frozen=True, kw_only=True):
    """Give an empty upper directory the attributes that the root of the chain `lowers` has."""

    upper: str
    lowers: tuple[str, ...] = ()


class Sync(msgspec.Struct, frozen=True, kw_only=True):
    """Bring files and directories themselves to the disk, not what is below them."""

    paths: tuple[str, ...]


def apply_layer(arguments: object, fds: tuple[int, ...], report: Reporter) -> object:
    """Do `ApplyLayer`.

    Returns: a `LayerScan` as a dictionary.
    Raises: LayerError: the blob is malformed or hostile. StoreError: the disk is full.
    """
    from builder.layer.apply import apply

    request = msgspec.convert(arguments, ApplyLayer)
    # Whoever passes descriptors closes them.
    fd = (
        os.dup(fds[0])
        if request.blob is None
        else os.open(request.blob, os.O_RDONLY | os.O_CLOEXEC)
    )
    with translated(), open(fd, "rb", buffering=0) as file:
        scan = apply(
            uncompressed(file, request.compression),
            request.root,
            lowers=request.lowers,
            entries_path=request.entries_path,
            limits=request.limits,
            report=report,
            marks=request.marks,
        )
    return msgspec.to_builtins(scan)


def commit_upper(arguments: object, fds: tuple[int, ...], report: Reporter) -> object:
    """Do `CommitUpper`.

    Returns: a `LayerScan` as a dictionary.
    Raises: LayerError: something there cannot be part of an image. StoreError: the disk is full.
    """
    from builder.layer.owners import noted
    from builder.layer.scan import scan_upper

    del fds
    request = msgspec.convert(arguments, CommitUpper)
    with translated():
        scan = scan_upper(
            request.upper,
            request.lowers,
            entries_path=request.entries_path,
            write_tar=request.tar,
            report=report,
            since=request.since,
            user=noted(request.user),
        )
    return msgspec.to_builtins(scan)


def pack_layer(arguments: object, fds: tuple[int, ...], report: Reporter) -> object:
    """Do `PackLayer`; the blob appears under its path only when it is complete.

    Returns: `diff_id`, `size`, and `digest`, `compressed_size` of the blob.
    Raises: LayerError: the directory form is not what was recorded. StoreError: the disk is full.
    """
    from builder.layer.materialise import pack_directory

    del fds
    request = msgspec.convert(arguments, PackLayer)

    def produce(write: Callable[[bytes], object]) -> tuple[str, int]:
        return pack_directory(request.entries_path, request.root, write, report=report)

    return write_blob(request, produce)


def compress_layer(arguments: object, fds: tuple[int, ...], report: Reporter) -> object:
    """Do `CompressLayer`, as `pack_layer` does; the blob's tar stream stays as it is."""
    import hashlib

    del fds
    request = msgspec.convert(arguments, CompressLayer)

    def produce(write: Callable[[bytes], object]) -> tuple[str, int]:
        digest = hashlib.sha256()
        size = reported = 0
        with open(request.blob, "rb", buffering=0) as file:
            stream = uncompressed(file, "auto")
            while data := stream.read(1 << 20):
                digest.update(data)
                size += len(data)
                write(data)
                if size - reported > _REPORT_EVERY:
                    reported = size
                    report(size)
        return "sha256:" + digest.hexdigest(), size

    return write_blob(request, produce)


def verify_directory(arguments: object, fds: tuple[int, ...], report: Reporter) -> object:
    """Do `VerifyDirectory`.

    Returns: `count` of entries and `data`, the bytes read.
    Raises: LayerError: `layer.changed`: something differs.
    """
    from builder.layer.materialise import verify_directory as verify

    del fds
    request = msgspec.convert(arguments, VerifyDirectory)
    count, data = verify(request.entries_path, request.root, report=report)
    return {"count": count, "data": data}


def remove_tree(arguments: object, fds: tuple[int, ...], report: Reporter) -> object:
    """Do `RemoveTree`; nothing there is fine.

    Returns: `count`, how many objects were removed.
    """
    from builder.layer.remove import remove_tree as remove

    del fds, report
    return {"count": remove(msgspec.convert(arguments, RemoveTree).path)}


def prepare_upper(arguments: object, fds: tuple[int, ...], report: Reporter) -> object:
    """Do `PrepareUpper`: overlayfs shows the upper directory's mode and owner as those of `/`."""
    from builder.layer.lowers import Lowers

    del fds, report
    request = msgspec.convert(arguments, PrepareUpper)
    lowers = Lowers(request.lowers)
    try:
        lowers.copy_root(request.upper)
    finally:
        lowers.close()
    return {}


def sync(arguments: object, fds: tuple[int, ...], report: Reporter) -> object:
    """Do `Sync`."""
    del fds, report
    with translated():
        for path in msgspec.convert(arguments, Sync).paths:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
    return {}


@contextmanager
def translated() -> Iterator[None]:
    """Say of a full disk what can be done about it."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise StoreError(
            "no space is left for the layer",
            code="store.no-space",
            notes=(str(error),),
            hint="make room with `lapstrake prune`, or choose another `--root`",
        ) from error


def uncompressed(file: Readable, compression: str) -> Readable:
    """Return a reader of what is in a blob; `auto` looks at it to see how it is compressed."""
    from builder.layer.compress import Compression, decompressor, recognise

    if compression != "auto":
        return decompressor(file, Compression(compression))
    head = file.read(1 << 16)
    return decompressor(_Rejoined(head, file), recognise(head))


class _Rejoined:
    """A stream whose first bytes have been looked at."""

    def __init__(self, head: bytes, file: Readable) -> None:
        self._head = head
        self._file = file

    def read(self, size: int, /) -> bytes:
        if not self._head:
            return self._file.read(size)
        data, self._head = self._head[:size], self._head[size:]
        return data


def write_blob(
    request: WriteBlob,
    produce: Callable[[Callable[[bytes], object]], tuple[str, int]],
) -> dict[str, object]:
    """Write a blob, compressed as asked for, of the tar stream that `produce` makes; it appears when it is complete.

    Returns: `diff_id`, `size`, and `digest`, `compressed_size` of the blob.
    Raises: LayerError: `layer.changed`: another diff id comes out. StoreError: the disk is full.
    """
    from builder.layer.compress import Compression, Compressor
    from builder.layer.writer import remove_if_there, writing

    compression = Compression(request.compression)
    unfinished = request.path + ".partial"
    try:
        with translated(), writing(unfinished) as write:
            if compression is Compression.NONE:
                diff_id, size = produce(write)
                digest, compressed_size = diff_id, size
            else:
                compressor = Compressor(
                    write, compression, level=request.level, reproducible=request.reproducible
                )
                diff_id, size = produce(compressor.write)
                digest, compressed_size = compressor.close()
        if request.expected not in (None, diff_id):
            raise LayerError(
                f"a layer comes out as {diff_id[:19]}…, but is known as {request.expected:.19}…",
                code="layer.changed",
            )
        os.rename(unfinished, request.path)
    finally:
        remove_if_there(unfinished)
    return {
        "diff_id": diff_id,
        "size": size,
        "digest": digest,
        "compressed_size": compressed_size,
    }
