"""The seam to where shared caches lie: a directory, a registry; object stores and CI services have the same shape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO, Protocol

import msgspec

from builder.errors import ImageError
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.manifest import Index, Manifest

_BUILDKIT = "application/vnd.buildkit.cacheconfig.v0"


class Parcel(msgspec.Struct, frozen=True, kw_only=True):
    """A blob to put somewhere; `open` is called once for each try."""

    descriptor: Descriptor
    open: Callable[[], BinaryIO]


class Place(Protocol):
    """Where one cache lies. Nothing there is ever overwritten; many may write at once. Callable from many threads.

    All methods raise LapstrakeError: it cannot be reached, read or written.
    """

    name: str
    """What people know it by."""

    def sets(self) -> Iterator[Manifest]:
        """Yield the manifests of all sets that no other one covers; nothing if there is no cache yet.

        Raises: ImageError: there is something else.
        """

    def document(self, descriptor: Descriptor) -> bytes:
        """Return a small blob, verified."""

    def chunks(self, descriptor: Descriptor) -> Iterator[bytes]:
        """Yield the bytes of a blob; the receiver verifies them."""

    def put(self, parcels: Sequence[Parcel]) -> int:
        """Have blobs there; return the bytes that had to be moved. Each is whole afterwards or not there."""

    def publish(self, manifest: Manifest, layers: Sequence[Descriptor]) -> None:
        """Make a set known whose blobs are there, and keep the layers that its records speak of. Atomic, idempotent."""

    def summarise(self, manifest: Manifest, covered: Iterable[str]) -> None:
        """Make known a set that covers others; it may get lost to somebody else's."""


def refuse_foreign(document: Manifest | Index, name: str) -> None:
    """Refuse what another builder keeps as its cache.

    Raises: ImageError.
    """
    types = (
        [each.media_type for each in document.manifests]
        if isinstance(document, Index)
        else [document.config.media_type, *(each.media_type for each in document.layers)]
    )
    if any(each.startswith("application/vnd.buildkit.cacheconfig") for each in types):
        raise ImageError(
            f"`{name}` is a cache of BuildKit, which lapstrake cannot read",
            notes=(f"it holds `{_BUILDKIT}`",),
            hint="give lapstrake's cache a name of its own",
        )


def check_document(data: bytes, descriptor: Descriptor, name: str) -> bytes:
    """Return a document if it is what its descriptor says.

    Raises: ImageError.
    """
    if len(data) != descriptor.size or Digest.of(data) != descriptor.digest:
        raise ImageError(f"`{descriptor.digest}` in the cache `{name}` is damaged")
    return data
