"""The manifest of one image: its own where it came with one and that serves, otherwise made here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from builder.errors import StoreError, UsageError
from builder.export.forms import layer_blobs
from builder.export.wanted import AnnotationPlace, LayerForm, Pairs, Wanted, making_for
from builder.oci.config import ImageConfig
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.edit import Inherited
from builder.oci.manifest import Manifest, build_manifest, parse_manifest
from builder.oci.mediatypes import Compression, Family, compression_of, family_of
from builder.oci.platform import Platform
from builder.store.layers import State
from builder.store.root import Store

BASE_NAME = "org.opencontainers.image.base.name"
BASE_DIGEST = "org.opencontainers.image.base.digest"


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """What is claimed of an image: the predicate of an in-toto statement, as JSON.

    What is `inline_only` is meant for registries, and goes elsewhere only where it is asked for. `filename` is what it is
    called beside files.
    """

    predicate_type: str
    predicate: bytes
    inline_only: bool = False
    filename: str = "provenance.json"


class Packed(msgspec.Struct, frozen=True, kw_only=True):
    """An image of the store that is to leave it.

    `inherited` is how much of it its base image gave, `epoch` the time in seconds that its build was given, if it was.
    `statements` go with it in an index, `referrers` are published beside it. `records` returns annotations that depend on what
    its layers became: diff ids and descriptors, bottom first.
    """

    id: str
    config: ImageConfig
    state: State
    inherited: Inherited = Inherited()
    epoch: int | None = None
    statements: tuple[Statement, ...] = ()
    referrers: tuple[Statement, ...] = ()
    records: Callable[[Sequence[str], Sequence[Descriptor]], Pairs] | None = None

    @property
    def platform(self) -> Platform:
        """The platform that it is for."""
        return Platform.of(
            self.config.os, self.config.architecture, self.config.variant, self.config.os_version
        )


def manifest_of(image: Packed, wanted: Wanted, store: Store) -> Manifest:
    """Return a manifest; it, its configuration and its layers are all among the blobs of the store.

    An image that was pulled and of which nothing else is wanted keeps its manifest, byte for byte.

    Raises: StoreError: no form of a layer is left; the disk is full.
    """
    form = msgspec.structs.replace(wanted.layers, making=making_for(image.config))
    own = _own_manifest(image, form, store)
    asked = wanted.annotated(AnnotationPlace.MANIFEST, image.platform)
    as_it_is = not asked and image.records is None
    family = wanted.family or Family.OCI
    base = None if family is Family.DOCKER else base_annotations(image.id, store)
    if own is not None and base is not None and dict(own.annotations) != dict(base):
        own = None
    if own is not None and as_it_is and wanted.family in (None, family_of(own.media_type)):
        return own
    layers = own.layers if own is not None else _layers(image, form, store, wanted.ready)
    annotations = tuple(sorted({**dict(base or ()), **dict(asked)}.items()))
    made = _made(image, layers, family, annotations, store)
    descriptor = store.blobs.add(made.raw, media_type=made.media_type)
    if own is None and as_it_is and family is not Family.DOCKER and not wanted.layers.force:
        stored = store.images.get(image.id)
        if stored is not None:
            store.images.add(msgspec.structs.replace(stored, manifest=str(descriptor.digest)))
    return made


def base_annotations(image_id: str, store: Store) -> Pairs | None:
    """Return what the manifest of an image that was built here says of its base; None of one that came from elsewhere.

    Source: OCI image-spec, annotations.md, "Pre-Defined Annotation Keys".
    """
    origin = store.images.origin(image_id)
    if origin is None:
        return None
    found = ((BASE_DIGEST, origin.digest), (BASE_NAME, origin.base))
    return tuple([(key, value) for key, value in found if value is not None])


def _layers(
    image: Packed,
    form: LayerForm,
    store: Store,
    ready: Callable[[Descriptor], None] | None,
) -> tuple[Descriptor, ...]:
    found = []
    blobs = layer_blobs(image.state, store, form, ready)
    for made, layer in zip(blobs, image.state.layers, strict=True):
        annotations: Pairs = ()
        if made.pulled and made.compression == Compression.GZIP.value:
            from builder.export.seekable import annotations_of

            annotations = annotations_of(made, layer, store)
        found.append(
            Descriptor(
                media_type=made.media_type,
                digest=Digest(made.digest),
                size=made.size,
                annotations=annotations,
            )
        )
    return tuple(found)


def _made(
    image: Packed,
    layers: Sequence[Descriptor],
    family: Family,
    annotations: Pairs,
    store: Store,
) -> Manifest:
    layers = [_of_family(each, family) for each in layers]
    if image.records is not None:
        annotations = tuple(sorted((*annotations, *image.records(image.config.diff_ids, layers))))
    return build_manifest(config_descriptor(image.id, store, family), layers, annotations)


def _of_family(layer: Descriptor, family: Family) -> Descriptor:
    """Return a layer's descriptor in a family of media types; a foreign layer that is here becomes any other."""
    compression = compression_of(layer.media_type)
    if compression is None:
        raise UsageError(f"`{layer.media_type}` is not the media type of a layer")
    # Docker's manifests have no annotations.
    annotations = layer.annotations if family is Family.OCI else ()
    return Descriptor(
        media_type=family.layer(compression),
        digest=layer.digest,
        size=layer.size,
        annotations=annotations,
    )


def config_descriptor(image_id: str, store: Store, family: Family = Family.OCI) -> Descriptor:
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
    return Descriptor(media_type=family.config, digest=digest, size=size)


def _own_manifest(image: Packed, form: LayerForm, store: Store) -> Manifest | None:
    """Return the manifest that the image came with or was last sent with, if its layers still serve."""
    stored = store.images.get(image.id)
    if stored is None or stored.manifest is None:
        return None
    digest = Digest(stored.manifest)
    if not store.blobs.contains(digest):
        return None
    manifest = parse_manifest(store.blobs.read(digest))
    if not isinstance(manifest, Manifest) or str(manifest.config.digest) != image.id:
        return None
    if store.blobs.size(manifest.config.digest) != manifest.config.size:
        return None
    diff_ids = image.config.diff_ids
    if len(manifest.layers) != len(diff_ids):
        return None
    pairs = zip(manifest.layers, diff_ids, strict=True)
    serves = all(_serves(descriptor, diff_id, store, form) for descriptor, diff_id in pairs)
    return manifest if serves else None


def _serves(descriptor: Descriptor, diff_id: str, store: Store, wanted: LayerForm) -> bool:
    """Tell whether a layer is here, and either as wanted or none of our making."""
    if store.blobs.size(descriptor.digest) != descriptor.size:
        return False
    forms = [form for form in store.layers.blobs(diff_id) if form.digest == descriptor.digest]
    made = [form for form in forms if not form.pulled]
    if made:
        return any(
            (form.compression, form.recipe) == (wanted.compression.value, wanted.recipe)
            for form in made
        )
    return not wanted.force or compression_of(descriptor.media_type) is wanted.compression
