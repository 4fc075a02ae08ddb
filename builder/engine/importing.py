"""Closures whose blobs are in the store → images that it knows, with their layers and names.

Everything is looked at before anything is made known, so that a bad closure adds no image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from builder.engine.catalogue import Catalogue, OfPlatform
from builder.errors import ImageError
from builder.oci.closure import Closure, Document, closure_of
from builder.oci.config import ImageConfig
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.document import parse_config
from builder.oci.manifest import Index, Manifest
from builder.oci.mediatypes import CONFIGS, Compression, compression_of
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.store.root import Store


class _Image(msgspec.Struct, frozen=True, kw_only=True):
    manifest: Manifest
    config: ImageConfig
    sent: bool

    @property
    def platform(self) -> Platform:
        return Platform.of(self.config.os, self.config.architecture, self.config.variant)


class Examined(msgspec.Struct, frozen=True, kw_only=True):
    """The images of a closure, of which all that they need is here and belongs together.

    `digest` is that of the closure's top, if it is to be sent with it again.
    """

    images: tuple[_Image, ...]
    digest: str | None


def present_closure(
    top: Document, store: Store, wanted: Callable[[Platform], bool] = lambda _: True
) -> Closure:
    """Return a top document with those documents below it that are in the store.

    Images of platforms that are not `wanted` are left out.

    Raises: ImageError: a document is malformed, or there are too many.
    """

    def read(descriptor: Descriptor) -> bytes | None:
        found = store.blobs.size(descriptor.digest) == descriptor.size
        return store.blobs.read(descriptor.digest) if found else None

    def is_wanted(descriptor: Descriptor) -> bool:
        platform = descriptor.platform
        return platform is None or platform.os in ("", "unknown") or wanted(platform)

    return closure_of(top, read, is_wanted)


def whole_part(closure: Closure, store: Store) -> Closure | None:
    """Return a closure without the manifests of which blobs are missing in the store; None if that is all of them."""
    kept = [
        each for each in closure.documents if isinstance(each, Index) or not missing_of(each, store)
    ]
    if closure.top not in kept or all(isinstance(each, Index) for each in kept):
        return None
    return Closure(documents=tuple(kept))


def missing_of(manifest: Manifest, store: Store) -> tuple[Descriptor, ...]:
    """Return which blobs of a manifest are not in the store, or are of another size than it says."""
    blobs = (manifest.config, *manifest.layers)
    return tuple([each for each in blobs if store.blobs.size(each.digest) != each.size])


def examine(closure: Closure, store: Store) -> Examined:
    """Look whether a closure can be made known; its other documents and blobs are kept as they are.

    Of several images for one platform the first counts.

    Raises: ImageError: there is no image in it, or one is incomplete or contradicts itself.
    """
    images: dict[Platform, _Image] = {}
    for manifest in closure.manifests:
        if is_image(manifest):
            found = _examined(manifest, store)
            images.setdefault(found.platform, found)
    if not images:
        raise _no_image(closure)
    sent = all(each.sent for each in images.values())
    kept = closure.documents if sent else [each.manifest for each in images.values() if each.sent]
    for document in kept:
        store.blobs.add(document.raw, media_type=document.media_type)
    digest = str(closure.top.descriptor().digest)
    return Examined(images=tuple(images.values()), digest=digest if sent else None)


def register(examined: Examined, references: Sequence[Reference], store: Store) -> list[str]:
    """Make images known, and let names stand for all of them; return what they are called: names, or else ids."""
    catalogue = Catalogue(store)
    members = []
    with store.db.transaction():
        for each in examined.images:
            image_id = catalogue.register_pulled(each.manifest, each.config, sent=each.sent)
            digest = str(each.manifest.descriptor().digest) if each.sent else None
            members.append(OfPlatform(platform=each.platform, image=image_id, manifest=digest))
        for reference in references:
            if len(members) == 1 and examined.digest == members[0].manifest:
                catalogue.name(reference, members[0].image, examined.digest)
            else:
                catalogue.name_platforms(reference, members, examined.digest)
    return [each.familiar() for each in references] or [each.image for each in members]


def is_image(manifest: Manifest) -> bool:
    """Tell whether a manifest is one of an image; what holds statements about one has the same configuration."""
    layers = manifest.layers
    return manifest.config.media_type in CONFIGS and (
        not layers or any(compression_of(each.media_type) is not None for each in layers)
    )


def _examined(manifest: Manifest, store: Store) -> _Image:
    for each in missing_of(manifest, store):
        raise _incomplete(each, manifest)
    config = parse_config(store.blobs.read(manifest.config.digest))
    compressions = [_compression(each) for each in manifest.layers]
    check_layers(manifest, config)
    # Plain layers are how archives are written, not how images are sent.
    sent = not compressions or set(compressions) != {Compression.NONE}
    return _Image(manifest=manifest, config=config, sent=sent)


def check_layers(manifest: Manifest, config: ImageConfig) -> None:
    """Look whether a manifest has the layers that a configuration lists; compressed ones show when they are unpacked.

    Raises: ImageError: it has others, or more or fewer of them.
    """
    if len(manifest.layers) != len(config.diff_ids):
        raise ImageError(
            f"the image has {len(manifest.layers)} layers, but its configuration lists"
            f" {len(config.diff_ids)}"
        )
    for layer, diff_id in zip(manifest.layers, config.diff_ids, strict=True):
        plain = compression_of(layer.media_type) is Compression.NONE
        comparable = layer.digest.algorithm == Digest(diff_id).algorithm
        if plain and comparable and str(layer.digest) != diff_id:
            raise ImageError(
                "a layer of the image is not the one that its configuration lists",
                notes=(f"listed: {diff_id}", f"found: {layer.digest}"),
            )


def _compression(layer: Descriptor) -> Compression:
    found = compression_of(layer.media_type)
    if found is None:
        raise ImageError(
            f"layers of type `{layer.media_type[:100]}` cannot be unpacked",
            hint="this is no container image, but another kind of artifact",
        )
    return found


def _incomplete(missing: Descriptor, manifest: Manifest) -> ImageError:
    what = "configuration" if missing.digest == manifest.config.digest else "layer"
    return ImageError(
        "the image is incomplete",
        notes=(
            f"the {what} `{missing.digest}` is missing, or is not of the {missing.size} bytes that are promised",
        ),
    )


def _no_image(closure: Closure) -> ImageError:
    kinds = {each.artifact_type or each.config.media_type for each in closure.manifests}
    return ImageError(
        "there is no image in it that can be kept in the store",
        notes=tuple([f"it holds: `{kind[:100]}`" for kind in sorted(kinds)[:5]]),
        hint="`lapstrake copy` moves artifacts between registries, layouts and archives",
    )
