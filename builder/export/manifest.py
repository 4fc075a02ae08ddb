"""The manifest of an image: its own where it came with one, otherwise made here and remembered."""

from __future__ import annotations

import msgspec

from builder.errors import StoreError
from builder.export.forms import Making, layer_blobs, making_for
from builder.oci.config import ImageConfig
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.manifest import Manifest, build_manifest, parse_manifest
from builder.oci.mediatypes import OCI_CONFIG, Compression, Family, compression_of, family_of
from builder.store.layers import State
from builder.store.root import Store


def manifest_for(
    image_id: str, config: ImageConfig, state: State, store: Store, compression: Compression
) -> Manifest:
    """Return a manifest whose configuration and layers are all among the blobs of the store.

    An image that was pulled keeps its manifest, byte for byte. Otherwise layers get the wanted compression,
    but those that were pulled compressed stay as they came; all descriptors are of the OCI family.

    Raises: StoreError: no form of a layer is left; the disk is full.
    """
    own = _own_manifest(image_id, config, store, compression)
    if own is not None:
        return own
    made = oci_manifest(image_id, state, store, compression, making_for(config))
    descriptor = store.blobs.add(made.raw, media_type=made.media_type)
    stored = store.images.get(image_id)
    if stored is not None:
        store.images.add(msgspec.structs.replace(stored, manifest=str(descriptor.digest)))
    return made


def oci_manifest(
    image_id: str, state: State, store: Store, compression: Compression, making: Making
) -> Manifest:
    """Make a manifest in OCI media types, which nothing remembers; see `manifest_for`."""
    forms = layer_blobs(state, store, compression, making)
    layers = [
        Descriptor(
            media_type=Family.OCI.layer(Compression(form.compression)),
            digest=Digest(form.digest),
            size=form.size,
        )
        for form in forms
    ]
    return build_manifest(config_descriptor(image_id, store), layers)


def config_descriptor(image_id: str, store: Store) -> Descriptor:
    """Return what points at an image's configuration.

    Raises: StoreError: it is gone.
    """
    digest = Digest(image_id)
    size = store.blobs.size(digest)
    if size is None:
        raise StoreError(
            f"the configuration of image {digest.short} is gone",
            hint="pull or build the image again",
        )
    return Descriptor(media_type=OCI_CONFIG, digest=digest, size=size)


def _own_manifest(
    image_id: str, config: ImageConfig, store: Store, compression: Compression
) -> Manifest | None:
    """Return the manifest that the image came with or was last sent with, if it still serves."""
    stored = store.images.get(image_id)
    if stored is None or stored.manifest is None:
        return None
    digest = Digest(stored.manifest)
    if not store.blobs.contains(digest):
        return None
    manifest = parse_manifest(store.blobs.read(digest))
    if not isinstance(manifest, Manifest) or str(manifest.config.digest) != image_id:
        return None
    if store.blobs.size(manifest.config.digest) != manifest.config.size:
        return None
    if len(manifest.layers) != len(config.diff_ids):
        return None
    recipe = making_for(config).recipe(compression)
    serves = all(
        _serves(descriptor, diff_id, store, compression, recipe)
        for descriptor, diff_id in zip(manifest.layers, config.diff_ids, strict=True)
    )
    return manifest if serves else None


def _serves(
    descriptor: Descriptor, diff_id: str, store: Store, compression: Compression, recipe: str
) -> bool:
    """Tell whether a layer is here, and either compressed as wanted or none of our making."""
    if store.blobs.size(descriptor.digest) != descriptor.size:
        return False
    made = [
        form.recipe
        for form in store.layers.blobs(diff_id)
        if form.digest == str(descriptor.digest) and not form.pulled
    ]
    if not made:
        return True
    return compression_of(descriptor.media_type) is compression and recipe in made


def is_oci(manifest: Manifest) -> bool:
    """Tell whether a manifest has OCI media types."""
    return family_of(manifest.media_type) is Family.OCI
