"""A document and everything it leads to: what is pushed, exported, copied or loaded as a whole.

Source: OCI image-spec, image-index.md and manifest.md; ADR 16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol

import msgspec

from builder.errors import ImageError
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.manifest import Index, Manifest, parse_manifest
from builder.oci.mediatypes import INDEXES, MANIFESTS, is_foreign

MAX_DEPTH = 4
MAX_DOCUMENTS = 1000
MAX_BYTES = 32 * 1024 * 1024
"""Bytes that the documents of a closure may have together: they are held in memory."""

Document = Manifest | Index


class Content(Protocol):
    """Where the bytes of a closure are; what is read has been verified, or is by the reader."""

    def open(self, digest: Digest) -> AbstractContextManager[BinaryIO]:
        """Open a blob for reading; the caller closes.

        Raises: StoreError, ImageError: there is no such blob.
        """


class Closure(msgspec.Struct, frozen=True, kw_only=True):
    """A top document with what it leads to. `documents` come children first, the top last, each once.

    A child that was left out (a platform that is not wanted) is still named by its parent, whose bytes stay.
    """

    documents: tuple[Document, ...]

    @property
    def top(self) -> Document:
        """The document that a name points at."""
        return self.documents[-1]

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        """The documents that are manifests, of images or of anything else, in the order of the index."""
        return tuple([each for each in self.documents if isinstance(each, Manifest)])

    def blobs(self, *, foreign: bool = False) -> tuple[Descriptor, ...]:
        """Return the configurations and layers, each once; foreign layers, which are not passed on, if asked for."""
        found: dict[Digest, Descriptor] = {}
        for manifest in self.manifests:
            for descriptor in (*manifest.layers, manifest.config):
                if foreign or not is_foreign(descriptor.media_type):
                    found.setdefault(descriptor.digest, descriptor)
        return tuple(found.values())


def closure_of(
    top: Document,
    read: Callable[[Descriptor], bytes | None],
    wanted: Callable[[Descriptor], bool] = lambda _: True,
) -> Closure:
    """Return the closure of a document; `read` returns the verified bytes of a child, None where it may be missing.

    Of the children of indexes only those are followed that are `wanted`.

    Raises: ImageError: indexes are nested too deeply, there are too many documents, they are too large, or one is malformed.
    """
    found: dict[Digest, Document] = {}
    size = 0
    # Visits are counted, not documents: indexes that name each other many times are few, and endless.
    for visits, document in enumerate(_walk(top, read, wanted, 0)):
        if visits == MAX_DOCUMENTS:
            raise ImageError(f"an index leads to more than {MAX_DOCUMENTS} documents")
        if found.setdefault(Digest.of(document.raw), document) is document:
            size += len(document.raw)
        if size > MAX_BYTES:
            raise ImageError(f"an index leads to documents of more than {MAX_BYTES} bytes")
    return Closure(documents=tuple(found.values()))


def _walk(
    document: Document,
    read: Callable[[Descriptor], bytes | None],
    wanted: Callable[[Descriptor], bool],
    depth: int,
) -> Iterator[Document]:
    if isinstance(document, Index):
        if depth == MAX_DEPTH:
            raise ImageError("indexes are nested too deeply")
        for descriptor in document.manifests:
            if not is_document(descriptor) or not wanted(descriptor):
                continue
            if descriptor.digest.algorithm != "sha256":
                raise ImageError(
                    f"an index names a document by its {descriptor.digest.algorithm}, which is not available",
                    notes=(str(descriptor.digest),),
                )
            raw = read(descriptor)
            if raw is not None:
                child = parse_manifest(raw, descriptor.media_type)
                yield from _walk(child, read, wanted, depth + 1)
    yield document


def is_document(descriptor: Descriptor) -> bool:
    """Tell whether a descriptor leads to a manifest or an index; an index may name other things."""
    return descriptor.media_type in MANIFESTS or descriptor.media_type in INDEXES
