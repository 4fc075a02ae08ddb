"""Images out of OCI layouts on disk, by `PATH[:TAG][@DIGEST]`, as `--build-context NAME=oci-layout://…` has them.

A layout is hostile: documents are bounded, and every blob is taken only if it is what its digest says.

Source: OCI image-spec, image-layout.md.
"""

from __future__ import annotations

import os
from hashlib import sha256

import msgspec

from builder.errors import ContextError, ImageError
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
    from builder.engine.holders import read_document
    from builder.engine.tops import find_top, listed

    raw = read_document(f"{path}/index.json")
    if raw is None:
        raise ContextError(
            f"there is no OCI layout at `{path}`",
            code="context.not-found",
            hint="name the directory that holds `oci-layout` and `index.json`",
        )
    wanted = Digest(digest) if at else None
    try:
        top = find_top(listed(raw), tag or None, wanted, f"the layout `{path}`").descriptor
    except ImageError as error:
        if error.code != "image.not-found":
            raise
        if wanted is None:
            raise ContextError(
                error.message, code="context.not-found", notes=error.notes, hint=error.hint
            ) from error
        # An index need not list what its own entries lead to.
        top = Descriptor(media_type="", digest=wanted, size=_size(path, wanted))
    name = sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return Layout(root=path, top=top, reference=f"oci-layout/{name}@{top.digest}")


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


def _size(root: str, digest: Digest) -> int:
    from builder.engine.holders import layout_holder

    size = layout_holder(root, root).size(digest)
    if size is None:
        raise ContextError(f"the layout `{root}` has no `{digest}`", code="context.not-found")
    return size
