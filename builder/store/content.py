"""The seam between those who move blobs and where blobs are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, BinaryIO, Protocol, runtime_checkable

from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest

if TYPE_CHECKING:
    from builder.store.arrival import Arrival


class ContentStore(Protocol):
    """Blobs by digest. What is in it has been verified on its way in."""

    def open(self, digest: Digest) -> AbstractContextManager[BinaryIO]:
        """Open a blob for reading; the caller closes.

        Raises: StoreError: there is no such blob.
        """

    def size(self, digest: Digest) -> int | None:
        """Return the size of a blob in bytes, None when it is not here."""

    def contains(self, digest: Digest) -> bool:
        """Tell whether a blob is here."""

    def ingest(
        self,
        chunks: Iterable[bytes],
        *,
        media_type: str,
        expected: Digest | None = None,
        size: int | None = None,
    ) -> Descriptor:
        """Write a blob, atomically: either it is wholly here afterwards, verified and on disk, or not at all.

        Idempotent: a blob that is here already is not written again, and `chunks` may then be left unread.
        `expected` and `size`, where given, must be met exactly.

        Returns: what points at the blob.
        Raises: StoreError: `store.digest-mismatch` or `store.no-space`; nothing is kept.
        """


@runtime_checkable
class Receiver(Protocol):
    """A content store that keeps what came of a blob, so that whoever fetches it next goes on from there."""

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
        """Write a blob of which `fetch(n)` gives the bytes from the n-th on; see `BlobStore.receive`."""
