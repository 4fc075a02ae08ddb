"""What a name of the store stands for, as the closure that leaves it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from builder.engine.catalogue import Catalogue, LocalImage
from builder.engine.claiming import claimed
from builder.export.package import Packed, Wanted, package
from builder.oci.closure import Closure, closure_of, is_document
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.manifest import Index, Manifest, parse_manifest
from builder.oci.reference import Reference
from builder.store.images import StoredName
from builder.store.root import Store


def outgoing(
    store: Store,
    image_id: str,
    name: StoredName | None,
    wanted: Wanted | None = None,
    *,
    ready: Callable[[Descriptor], None] | None = None,
    claims: bool = False,
) -> Closure:
    """Return the closure of an image, or of all that a name stands for; all of it is in the store afterwards.

    What the name came with, or was made for it, is passed on byte for byte if everything of it is here. Otherwise what
    is here is packaged as `wanted`, by default as it came.
    `ready` hears of each layer that is here while others are still being made. With `claims` what their builds claim of the
    images goes along.

    Raises: StoreError: no form of a layer is left; the disk is full.
    """
    if name is not None and wanted is None and name.digest is not None:
        whole = _whole(store, name.digest, image_id)
        if whole is not None:
            return whole
    catalogue = Catalogue(store)
    ids = [image_id] if name is None else [each.image for each in catalogue.platforms(name)]
    images = [
        Packed(id=image.id, config=image.config, state=image.state)
        for image in map(catalogue.open, ids)
    ]
    if claims:
        images = [claimed(image, store) for image in images]
    if wanted is None:
        wanted = Wanted() if name is None else Wanted(names=(Reference.parse(name.reference),))
    return package(images, msgspec.structs.replace(wanted, ready=ready), store)


def as_it_came(
    store: Store, images: Sequence[LocalImage], name: StoredName | None
) -> Closure | None:
    """Return the closure of images that came from elsewhere: the index of their name, or their own manifests.

    None if one of them was built here, or came without compressed layers: there is nothing then that a digest names.

    Raises: StoreError: a document is damaged.
    """
    if name is not None and name.digest is not None:
        whole = _whole(store, name.digest, images[0].id if len(images) == 1 else None)
        if whole is not None:
            return whole
    if not all(_came(store, image) for image in images):
        return None
    packed = [Packed(id=each.id, config=each.config, state=each.state) for each in images]
    return package(packed, Wanted(), store)


def _came(store: Store, image: LocalImage) -> bool:
    stored = store.images.get(image.id)
    if stored is None or stored.manifest is None:
        return False
    digest = Digest(stored.manifest)
    manifest = parse_manifest(store.blobs.read(digest)) if store.blobs.contains(digest) else None
    if not isinstance(manifest, Manifest) or len(manifest.layers) != len(image.state.layers):
        return False
    pairs = zip(manifest.layers, image.config.diff_ids, strict=True)
    return all(_is_pulled(store, layer, diff_id) for layer, diff_id in pairs)


def _is_pulled(store: Store, layer: Descriptor, diff_id: str) -> bool:
    here = store.blobs.size(layer.digest) == layer.size
    forms = store.layers.blobs(diff_id)
    return here and any(form.pulled and form.digest == layer.digest for form in forms)


def _whole(store: Store, digest: str, image_id: str | None) -> Closure | None:
    """Return the closure of an index, or of a manifest of the image, None if it is neither or something is missing."""
    if not store.blobs.contains(Digest(digest)):
        return None
    top = parse_manifest(store.blobs.read(Digest(digest)))
    if isinstance(top, Manifest) and str(top.config.digest) != image_id:
        return None

    def read(descriptor: Descriptor) -> bytes | None:
        here = store.blobs.size(descriptor.digest) == descriptor.size
        return store.blobs.read(descriptor.digest) if here else None

    closure = closure_of(top, read)
    known = {document.descriptor().digest for document in closure.documents}
    named = [
        child.digest
        for document in closure.documents
        if isinstance(document, Index)
        for child in document.manifests
        if is_document(child)
    ]
    whole = known.issuperset(named) and all(
        store.blobs.size(blob.digest) == blob.size for blob in closure.blobs()
    )
    return closure if whole else None
