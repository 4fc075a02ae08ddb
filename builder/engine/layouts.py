"""Images out of OCI layouts on disk, by `PATH[:TAG][@DIGEST]`, as `--build-context NAME=oci-layout://…` has them.

A layout is hostile: documents are bounded, and every blob is taken only if it is what its digest says.

Source: OCI image-spec, image-layout.md.
"""

from __future__ import annotations

import os
from hashlib import sha256

import msgspec

from builder.errors import ContextError, ImageError
from builder.export.existing import REF_NAME
from builder.oci.closure import Closure
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.manifest import Index, parse_manifest
from builder.oci.platform import Platform
from builder.store.root import Store


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
    from builder.engine.holders import layout_holder
    from builder.engine.importing import examine, register
    from builder.engine.sinks import fill
    from builder.engine.sources import from_holder
    from builder.export.destination import never

    shown = f"the layout `{layout.root}`"
    holder = layout_holder(layout.root, shown)
    top = parse_manifest(holder.read(layout.top.digest), layout.top.media_type)
    closure = from_holder(top, platform, holder, shown).closure if isinstance(top, Index) else None
    closure = closure or Closure(documents=(top,))
    fill(store.blobs, closure.blobs(foreign=True), lambda each: holder.open(each.digest), never)
    [image_id] = register(examine(closure, store), (), store)
    return image_id


def _is_meant(descriptor: Descriptor, tag: str, digest: Digest | None) -> bool:
    if digest is not None:
        return descriptor.digest == digest
    name = dict(descriptor.annotations).get(REF_NAME, "")
    return not tag or name == tag or name.rpartition(":")[2] == tag


def _index(path: str) -> Index:
    from builder.engine.holders import read_document

    raw = read_document(f"{path}/index.json")
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


def _size(root: str, digest: Digest) -> int:
    from builder.engine.holders import layout_holder

    size = layout_holder(root, root).size(digest)
    if size is None:
        raise ContextError(f"the layout `{root}` has no `{digest}`", code="context.not-found")
    return size
