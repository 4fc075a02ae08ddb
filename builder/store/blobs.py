"""Blobs on disk, as an OCI image layout. Everything that enters passes one verifying writer.

    ROOT/oci-layout
    ROOT/blobs/sha256/<hex>    complete, verified, on disk
    ROOT/tmp                   being written, see `unfinished`

Source: OCI image-spec, image-layout.md and descriptor.md.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from builder.errors import ReferenceInvalid, StoreError
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.sha256 import sha256
from builder.store.unfinished import Unfinished, create, fill, mismatch, part_of, sweep

if TYPE_CHECKING:
    from builder.store.arrival import Arrival

LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class BlobStore:
    """The content store of a root directory; many threads and processes may use one at once.

    A blob that is read, looked for or written is in use from then on: `hold` is told. Before one is written,
    `room` is asked for room for so many bytes, 0 where nobody knows.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        hold: Callable[[str], None] | None = None,
        room: Callable[[int], None] | None = None,
    ) -> None:
        self._root = os.fspath(root)
        self._hold = hold or _nothing_held
        self._room = room
        self.temporary = os.path.join(self._root, "tmp")
        """Where blobs are written; a host path."""

    def path(self, digest: Digest) -> str:
        """Return the host path where a blob is, or would be."""
        return os.path.join(self._root, "blobs", digest.algorithm, digest.hex)

    def open(self, digest: Digest) -> BinaryIO:
        """Open a blob for reading; the caller closes.

        Raises: StoreError: there is no such blob.
        """
        self._hold(digest)
        try:
            return open(self.path(digest), "rb")
        except FileNotFoundError as error:
            raise StoreError(
                f"the store lacks the blob `{digest}`", hint="pull or build the image again"
            ) from error

    def size(self, digest: Digest) -> int | None:
        """Return the size of a blob in bytes, None when it is not here."""
        try:
            return os.stat(self.path(digest)).st_size
        except FileNotFoundError:
            return None

    def contains(self, digest: Digest) -> bool:
        """Tell whether a blob is here."""
        self._hold(digest)
        return self.size(digest) is not None

    def digests(self) -> list[Digest]:
        """Return the digests of all blobs, sorted."""
        found = []
        for algorithm in ("sha256", "sha512"):
            try:
                names = os.listdir(os.path.join(self._root, "blobs", algorithm))
            except FileNotFoundError:
                continue
            for name in names:
                with contextlib.suppress(
                    ReferenceInvalid
                ):  # a foreign file, which a layout may hold
                    found.append(Digest(f"{algorithm}:{name}"))
        return sorted(found)

    def ingest(
        self,
        chunks: Iterable[bytes],
        *,
        media_type: str,
        expected: Digest | None = None,
        size: int | None = None,
        limit: int | None = None,
    ) -> Descriptor:
        """Write a blob, atomically: either it is wholly here afterwards, verified and on disk, or not at all.

        A blob that is here already, with the right size, is not written again: `chunks` are left unread.
        Its bytes were verified when they came; `verify` does it again.

        `expected` and `size` must be met exactly; a blob beyond `limit` bytes is refused as it comes.

        Raises: StoreError: `store.digest-mismatch` or `store.no-space`; nothing is kept. What `chunks`
            raises is passed on.
        """
        if expected is not None:
            self._hold(expected)
            present = self.size(expected)
            if present is not None and size in (None, present):
                return Descriptor(media_type=media_type, digest=expected, size=present)
        if self._room is not None:
            self._room(size or 0)
        if size is not None:
            limit = size if limit is None else min(limit, size)
        with _space_checked():
            self._prepare()
            with create(self.temporary) as temporary:
                digest, written = _write(
                    chunks, temporary.descriptor, expected=expected, limit=limit
                )
                if size is not None and written != size:
                    raise mismatch(f"{size} bytes were promised, {written} came", expected)
                if expected is not None and digest != expected:
                    raise mismatch(f"its content has the digest `{digest}`", expected)
                self._commit(temporary, digest)
        return Descriptor(media_type=media_type, digest=digest, size=written)

    def receive(
        self,
        fetch: Callable[[int], Iterable[bytes]],
        *,
        media_type: str,
        expected: Digest,
        size: int,
        pause: Callable[[], None],
        arrival: Arrival | None = None,
    ) -> Descriptor:
        """Write a blob that comes from far away: `fetch(n)` gives its bytes from the n-th on.

        As `ingest`, but what came before `fetch` failed stays, for whoever receives the same blob next, also in
        another process. While another one receives it, `pause` is called again and again; it may raise. A blob
        that turns out wrong is dropped, and fetched anew once. `arrival` is told how it comes.

        Raises: StoreError: `store.digest-mismatch` or `store.no-space`; nothing is kept. What `fetch` and
            `pause` raise is passed on.
        """
        described = Descriptor(media_type=media_type, digest=expected, size=size)
        with _space_checked():
            self._prepare()
            part = None
            while part is None:
                self._hold(expected)
                if self.size(expected) == size:
                    return described
                part = part_of(self.temporary, expected, pause)
            with part:
                if self._room is not None:
                    self._room(max(0, size - os.fstat(part.descriptor).st_size))
                try:
                    fill(part.descriptor, fetch, expected, size, arrival)
                except OSError:
                    part.kept = False  # a full disk has better use for the room
                    raise
                except StoreError as error:
                    if error.code != "store.digest-mismatch":
                        raise
                    os.ftruncate(part.descriptor, 0)
                    part.kept = False
                    fill(part.descriptor, fetch, expected, size, arrival)
                self._commit(part, expected)
        return described

    def add(self, data: bytes, *, media_type: str) -> Descriptor:
        """Write a small blob, such as a document, that is at hand as a whole."""
        return self.ingest((data,), media_type=media_type, expected=Digest.of(data), size=len(data))

    def read(self, digest: Digest, *, limit: int = 4 * 1024 * 1024) -> bytes:
        """Return a small blob's bytes, verified again: documents decide what everything else means.

        Raises: StoreError: it is missing, larger than `limit` bytes, or damaged.
        """
        with self.open(digest) as blob:
            data = blob.read(limit + 1)
        if len(data) > limit:
            raise StoreError(f"the blob `{digest}` is larger than {limit} bytes")
        if _hex(digest.algorithm, data) != digest.hex:
            raise self.damaged(digest)
        return data

    def damaged(self, digest: Digest) -> StoreError:
        """Remove a blob whose bytes are wrong: while it is there, no good one is fetched or made; return what to say."""
        self.remove(digest)
        return StoreError(
            f"the blob `{digest}` is damaged on disk", hint="pull or build the image again"
        )

    def verify(self, digest: Digest) -> bool:
        """Tell whether a blob's bytes on disk still have its digest."""
        import hashlib

        found = hashlib.new(digest.algorithm)
        with self.open(digest) as blob:
            while chunk := blob.read(1 << 20):
                found.update(chunk)
        return found.hexdigest() == digest.hex

    def remove(self, digest: Digest) -> int:
        """Delete a blob, if it is here; readers that have it open keep it.

        Returns: the bytes given back.
        """
        size = self.size(digest)
        if size is None:
            return 0
        try:
            os.unlink(self.path(digest))
        except FileNotFoundError:
            return 0
        return size

    def adopt(self, path: str, digest: Digest) -> None:
        """Take over a finished file of the same file system whose digest was computed as it was written.

        It is not forced to the disk: whoever uses a layer made in an earlier boot checks it first.
        """
        self._hold(digest)
        self._prepare()
        os.rename(path, self.path(digest))

    def sweep(self, *, parts: bool = False) -> int:
        """Delete what writers that died left behind; those alive hold a lock and are left alone.

        What came of a blob stays for a while, so that a pull may go on from there, unless `parts` go too.

        Returns: the bytes given back.
        """
        return sum(sweep(self._root, parts=parts))

    def _prepare(self) -> None:
        layout = os.path.join(self._root, "oci-layout")
        if os.path.exists(layout):
            return
        os.makedirs(os.path.join(self._root, "blobs", "sha256"), exist_ok=True)
        os.makedirs(self.temporary, exist_ok=True)
        with create(self.temporary) as temporary:
            os.write(temporary.descriptor, LAYOUT)
            temporary.rename(layout)

    def _commit(self, temporary: Unfinished, digest: Digest) -> None:
        os.fsync(temporary.descriptor)
        self._hold(digest)
        target = self.path(digest)
        directory = os.path.dirname(target)
        os.makedirs(directory, exist_ok=True)
        temporary.rename(target)
        # Without this a crash of the machine may forget the name, which the index then still mentions.
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _nothing_held(_digest: str) -> None:
    """Stand for leases where there are none."""


@contextlib.contextmanager
def _space_checked() -> Iterator[None]:
    """Turn "no space left" of any call inside into an error that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_SPACE:
            raise
        raise StoreError(
            "there is no space left in the store",
            code="store.no-space",
            notes=(os.strerror(error.errno or 0),),
            hint="free some with `lapstrake prune`, or choose another place with `--root`",
        ) from error


def _write(
    chunks: Iterable[bytes], descriptor: int, *, expected: Digest | None, limit: int | None
) -> tuple[Digest, int]:
    algorithm = expected.algorithm if expected else "sha256"
    import hashlib

    digest = hashlib.new(algorithm)
    written = 0
    for chunk in chunks:
        written += len(chunk)
        if limit is not None and written > limit:
            raise mismatch(f"more than the {limit} bytes promised came", expected)
        digest.update(chunk)
        view = memoryview(chunk)
        while view:
            view = view[os.write(descriptor, view) :]
    return Digest(f"{algorithm}:{digest.hexdigest()}"), written


def _hex(algorithm: str, data: bytes) -> str:
    if algorithm == "sha256":
        return sha256(data).hex()
    import hashlib

    return hashlib.new(algorithm, data).hexdigest()
