"""Blobs by digest in places that are not ours: verified as they are read, the last piece only once all is right.

A directory is hostile: nothing but regular files is read, and nothing is waited for.

Source: OCI image-spec, image-layout.md; containers-transports(5), `dir:`.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import BinaryIO, Protocol, cast

from builder.errors import ImageError, StoreError
from builder.oci.descriptor import MAX_DOCUMENT
from builder.oci.digest import Digest
from builder.store.blobs import BlobStore

_PIECE = 1 << 20


class Holder(Protocol):
    """What has blobs."""

    def open(self, digest: Digest) -> AbstractContextManager[BinaryIO]:
        """Open a blob for reading; the caller closes. What is read in full has been verified.

        Raises: StoreError, ImageError, RegistryError: there is no such blob.
        """

    def size(self, digest: Digest) -> int | None:
        """Return the size of a blob in bytes, None when it is not there, or not known to be."""

    def read(self, digest: Digest) -> bytes:
        """Return a document, verified.

        Raises: StoreError, ImageError, RegistryError: it is not there, too large or damaged.
        """


class DirectoryHolder:
    """Blobs that are files below a host directory; `names` tells below which names one may be, `shown` what messages call it."""

    def __init__(self, root: str, shown: str, names: Callable[[Digest], tuple[str, ...]]) -> None:
        self._root = root
        self._shown = shown
        self._names = names

    def open(self, digest: Digest) -> AbstractContextManager[BinaryIO]:
        """Open a blob."""
        for name in self._names(digest):
            file = regular_file(f"{self._root}/{name}")
            if file is not None:
                return _verified_file(file, digest, partial(_not_right, digest, self._shown))
        raise self._missing(digest)

    def size(self, digest: Digest) -> int | None:
        """Return the size of a blob."""
        for name in self._names(digest):
            try:
                found = os.stat(f"{self._root}/{name}")
            except OSError:
                continue
            if stat.S_ISREG(found.st_mode):
                return found.st_size
        return None

    def read(self, digest: Digest) -> bytes:
        """Return a document."""
        size = self.size(digest)
        if size is None:
            raise self._missing(digest)
        if size > MAX_DOCUMENT:
            raise ImageError(f"`{digest}` in {self._shown} is larger than {MAX_DOCUMENT} bytes")
        with self.open(digest) as file:
            try:
                return file.read()
            except StoreError as error:
                raise ImageError(error.message) from error

    def _missing(self, digest: Digest) -> ImageError:
        return ImageError(f"{self._shown} lacks `{digest}`")


class StoreHolder:
    """The blobs of a store, verified again: what goes out of it is believed elsewhere.

    One that is damaged is removed, since no good one is fetched or made while it is there.
    """

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def open(self, digest: Digest) -> AbstractContextManager[BinaryIO]:
        """Open a blob."""
        return _verified_file(
            self._blobs.open(digest), digest, partial(self._blobs.damaged, digest)
        )

    def size(self, digest: Digest) -> int | None:
        """Return the size of a blob."""
        return self._blobs.size(digest)

    def read(self, digest: Digest) -> bytes:
        """Return a document."""
        return self._blobs.read(digest)


def layout_holder(root: str, shown: str) -> DirectoryHolder:
    """Return the blobs of an OCI layout."""
    return DirectoryHolder(root, shown, lambda digest: (f"blobs/{digest.algorithm}/{digest.hex}",))


def flat_holder(root: str, shown: str) -> DirectoryHolder:
    """Return the blobs of a directory as skopeo writes it, now or formerly."""

    def names(digest: Digest) -> tuple[str, ...]:
        name = flat_name(digest)
        return name, f"{name}.manifest.json", f"{name}.tar"

    return DirectoryHolder(root, shown, names)


def flat_name(digest: Digest) -> str:
    """Return the name of a blob's file in a directory as skopeo writes it."""
    return digest.hex if digest.algorithm == "sha256" else f"{digest.algorithm}-{digest.hex}"


def read_document(path: str, limit: int = MAX_DOCUMENT) -> bytes | None:
    """Return a small file of a hostile directory, None if there is no regular one.

    Raises: ImageError: it is larger than `limit` bytes.
    """
    file = regular_file(path)
    if file is None:
        return None
    with file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ImageError(f"`{path}` is larger than {limit} bytes")
    return data


def regular_file(path: str) -> BinaryIO | None:
    """Open a regular file, None if there is none; a FIFO is not waited for."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        return None
    return os.fdopen(fd, "rb")


def verified(
    pieces: Callable[[int], Iterator[bytes]], digest: Digest, size: int, shown: str
) -> BinaryIO:
    """Return a stream which raises StoreError in the place of its last bytes if they are not the blob's.

    `pieces` are asked for once, from a byte on. Whoever seeks before reading gets a part, of which the size alone is verified.
    """
    return cast("BinaryIO", _Verified(pieces, digest, size, partial(_not_right, digest, shown)))


def _verified_file(file: BinaryIO, digest: Digest, wrong: Callable[[], StoreError]) -> BinaryIO:
    size = os.fstat(file.fileno()).st_size
    stream = _Verified(partial(_pieces, file), digest, size, wrong, file.close)
    return cast("BinaryIO", stream)


def _not_right(digest: Digest, shown: str) -> StoreError:
    return StoreError(
        f"`{digest}` in {shown} is not what its digest says", code="store.digest-mismatch"
    )


class _Verified(io.RawIOBase):
    def __init__(
        self,
        pieces: Callable[[int], Iterator[bytes]],
        digest: Digest,
        size: int,
        wrong: Callable[[], StoreError],
        close: Callable[[], object] = lambda: None,
    ) -> None:
        self._pieces_from = pieces
        self._pieces: Iterator[bytes] | None = None
        self._digest = digest
        self._hash = hashlib.new(digest.algorithm)
        self._is_part = False
        self._left = size
        self._wrong = wrong
        self._close = close
        self._piece = b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._pieces is None

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if whence != os.SEEK_SET or self._pieces is not None:
            raise io.UnsupportedOperation("only the beginning can be chosen")
        self._pieces = self._pieces_from(offset)
        self._left -= offset
        self._is_part = offset > 0
        return offset

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            return b"".join(iter(lambda: self.read(_PIECE), b""))
        if not self._piece:
            self._piece = self._next()
        data, self._piece = self._piece[:size], self._piece[size:]
        return data

    def _next(self) -> bytes:
        if self._pieces is None:
            self._pieces = self._pieces_from(0)
        piece = next(self._pieces, b"")
        self._hash.update(piece)
        self._left -= len(piece)
        if self._left < 0 or (piece and self._left == 0 and not self._is_right()):
            raise self._wrong()
        if not piece and (self._left > 0 or not self._is_right()):
            raise self._wrong()
        return piece

    def _is_right(self) -> bool:
        return self._is_part or self._hash.hexdigest() == self._digest.hex

    def close(self) -> None:
        if not self.closed:
            self._close()
        super().close()


def _pieces(file: BinaryIO, offset: int = 0) -> Iterator[bytes]:
    file.seek(offset)
    while piece := file.read(_PIECE):
        yield piece
