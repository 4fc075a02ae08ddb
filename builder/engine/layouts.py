"""Images out of OCI layouts on disk, by `PATH[:TAG][@DIGEST]`, as `--build-context NAME=oci-layout://…` has them.

A layout is hostile: documents are bounded, and every blob is taken only if it is what its digest says.

Source: OCI image-spec, image-layout.md.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from hashlib import sha256

import msgspec

from builder.engine.catalogue import Catalogue
from builder.errors import ContextError, ImageError
from builder.export.existing import REF_NAME
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.document import parse_config
from builder.oci.manifest import Index, Manifest, parse_manifest
from builder.oci.platform import Platform
from builder.store.root import Store

_DOCUMENT_LIMIT = 4 << 20
_DEPTH = 4
_PIECE = 1 << 20


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """One image of a layout: `root` is a host path, `top` what it is chosen by, `reference` a name made for it."""

    root: str
    top: Descriptor
    reference: str


def layout_of(text: str) -> Layout:
    """Find what a layout and a tag or digest name; a layout with one image needs neither.

    Raises: ContextError: there is no such layout, or no such image in it. ReferenceInvalid: a bad digest.
    """
    path, at, digest = text.partition("@")
    tag = ""
    if not os.path.isdir(path):
        head, colon, last = path.rpartition(":")
        if colon and "/" not in last:
            path, tag = head, last
    path = os.path.abspath(path)
    index = _index(path)
    wanted = Digest(digest) if at else None
    found = [each for each in index.manifests if _is_meant(each, tag, wanted)]
    if wanted is not None and not found:
        # An index need not list what its own entries lead to.
        found = [Descriptor(media_type="", digest=wanted, size=_size(path, wanted))]
    if len({each.digest for each in found}) != 1:
        names = [dict(each.annotations).get(REF_NAME, str(each.digest)) for each in index.manifests]
        raise ContextError(
            f"the layout `{path}` has {'no' if not found else 'more than one'} image of that name",
            code="context.not-found",
            notes=(f"it has: {', '.join(names[:10])}",) if names else ("it is empty",),
            hint="add `:TAG` or `@sha256:…`",
        )
    name = sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return Layout(root=path, top=found[0], reference=f"oci-layout/{name}@{found[0].digest}")


def load(layout: Layout, platform: Platform, store: Store) -> str:
    """Take the image for a platform into the store; return its id.

    Raises: ImageError: it is not there, or is none. StoreError: a blob is not what its digest says.
    """
    manifest = _manifest(layout, layout.top, platform, 0)
    if manifest is None:
        raise ImageError(
            f"the layout `{layout.root}` has no image for {platform}", code="image.not-found"
        )
    for each in (*manifest.layers, manifest.config):
        if not store.blobs.contains(each.digest):
            store.blobs.ingest(
                _pieces(layout.root, each.digest),
                media_type=each.media_type,
                expected=each.digest,
                size=each.size,
            )
    store.blobs.add(manifest.raw, media_type=manifest.media_type)
    config = parse_config(store.blobs.read(manifest.config.digest))
    return Catalogue(store).register_pulled(manifest, config)


def _is_meant(descriptor: Descriptor, tag: str, digest: Digest | None) -> bool:
    if digest is not None:
        return descriptor.digest == digest
    name = dict(descriptor.annotations).get(REF_NAME, "")
    return not tag or name == tag or name.rpartition(":")[2] == tag


def _manifest(
    layout: Layout, descriptor: Descriptor, platform: Platform, depth: int
) -> Manifest | None:
    raw = _document(layout.root, descriptor.digest)
    found = parse_manifest(raw, descriptor.media_type)
    if isinstance(found, Manifest):
        return found
    if depth == _DEPTH:
        raise ImageError("indexes in the layout are nested too deeply")
    for each in found.manifests:
        if each.platform is not None and not platform.matches(each.platform):
            continue
        inner = _manifest(layout, each, platform, depth + 1)
        if inner is not None:
            return inner
    return None


def _index(path: str) -> Index:
    raw = _read(f"{path}/index.json")
    if raw is None:
        raise ContextError(
            f"there is no OCI layout at `{path}`",
            code="context.not-found",
            hint="name the directory that holds `oci-layout` and `index.json`",
        )
    found = parse_manifest(raw)
    if not isinstance(found, Index):
        raise ImageError(f"`{path}/index.json` is not an index")
    return found


def _document(root: str, digest: Digest) -> bytes:
    raw = _read(_blob(root, digest))
    if raw is None or Digest.of(raw) != digest:
        raise ImageError(f"the layout `{root}` lacks `{digest}`, or holds other bytes there")
    return raw


def _blob(root: str, digest: Digest) -> str:
    return f"{root}/blobs/{str(digest).replace(':', '/')}"


def _size(root: str, digest: Digest) -> int:
    try:
        return os.stat(_blob(root, digest)).st_size
    except OSError as error:
        raise ContextError(
            f"the layout `{root}` has no `{digest}`", code="context.not-found"
        ) from error


def _read(path: str) -> bytes | None:
    """Return a document, None if there is none; a FIFO is not waited for."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        data = file.read(_DOCUMENT_LIMIT + 1)
    if len(data) > _DOCUMENT_LIMIT:
        raise ImageError(f"`{path}` is larger than {_DOCUMENT_LIMIT} bytes")
    return data


def _pieces(root: str, digest: Digest) -> Iterator[bytes]:
    try:
        fd = os.open(_blob(root, digest), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ImageError(f"the layout `{root}` lacks `{digest}`") from error
    with os.fdopen(fd, "rb") as file:
        while piece := file.read(_PIECE):
            yield piece
