"""Documents as they are shown: each manifest with what an index says of it, as it stands there."""

from __future__ import annotations

import msgspec

from builder.engine.ends import End, InRegistry
from builder.engine.manifest_list import Child
from builder.oci.closure import Closure, Document
from builder.oci.digest import Digest
from builder.oci.manifest import Index, Manifest


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest as it is shown: `descriptor` and `raw` are JSON."""

    name: str
    digest: Digest
    media_type: str
    descriptor: bytes
    raw: bytes


class Inspected(msgspec.Struct, frozen=True, kw_only=True):
    """A document with the manifests in it; it may be one `alone`."""

    document: Document
    images: tuple[Told, ...]
    alone: bool = False


def looked(closure: Closure, end: End, digest: Digest | None = None) -> Inspected:
    """Return what a closure of that place is, or the document in it that has this digest."""
    document = closure.top
    if digest is not None:
        found = [each for each in closure.documents if each.descriptor().digest == digest]
        document = found[0] if found else document
    name = end.reference.name if isinstance(end, InRegistry) else str(end)
    alone = isinstance(document, Manifest)
    return Inspected(
        document=document,
        images=tuple(
            [
                Told(
                    name=name,
                    digest=each.descriptor().digest,
                    media_type=each.media_type,
                    descriptor=_descriptor_in(closure, each),
                    raw=each.raw,
                )
                for each in closure.manifests
                if not alone or each is document
            ]
        ),
        alone=alone,
    )


def as_in_list(found: Inspected, child: Child) -> Told:
    """Return an image as a list describes it."""
    descriptor = msgspec.json.encode(child.document())
    return msgspec.structs.replace(found.images[0], descriptor=descriptor)


class _Entries(msgspec.Struct):
    manifests: list[msgspec.Raw] = []


class _Entry(msgspec.Struct):
    digest: str


def _descriptor_in(closure: Closure, manifest: Manifest) -> bytes:
    """Return how an index of a closure describes a manifest, as it stands there; how it describes itself where none does."""
    digest = manifest.descriptor().digest
    for document in closure.documents:
        if isinstance(document, Index):
            for raw in msgspec.json.decode(document.raw, type=_Entries).manifests:
                if msgspec.json.decode(raw, type=_Entry).digest == digest:
                    return bytes(raw)
    return msgspec.json.encode(manifest.descriptor().document())
