"""Images of the store → a closure that can go anywhere: one manifest, or an index of several and of what is claimed of them.

    index ─┬─ manifest of each platform, in the order given
           └─ attestation manifest of each image of which there are statements

Source: OCI image-spec, image-index.md and manifest.md, "Guidelines for Artifact Usage"; BuildKit,
docs/attestations/attestation-storage.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import quote

import msgspec

from builder.errors import UsageError
from builder.export.manifest import Packed, Statement, manifest_of
from builder.export.statements import Subject, statement
from builder.export.wanted import AnnotationPlace, Wanted
from builder.oci.closure import Closure
from builder.oci.config import ImageConfig
from builder.oci.descriptor import Descriptor
from builder.oci.document import config_bytes
from builder.oci.manifest import Manifest, build_index, build_manifest
from builder.oci.mediatypes import IN_TOTO, OCI_CONFIG, OCI_EMPTY, Family
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.store.root import Store

__all__ = ["Packed", "Statement", "Wanted", "check", "package", "top_descriptor"]

ATTESTATION = "application/vnd.docker.attestation.manifest.v1+json"
_UNKNOWN = Platform("unknown", "unknown")


def package(images: Sequence[Packed], wanted: Wanted, store: Store) -> Closure:
    """Return the closure of images as they are wanted; all of it is in the store afterwards.

    One image of which nothing is claimed is a manifest, anything else an index. Images are of different platforms.

    Raises: UsageError: as `check`. StoreError: no form of a layer is left; the disk is full.
    """
    check(
        [image.platform for image in images],
        wanted,
        claims=any(image.statements for image in images),
    )
    if wanted.layers.seekable:
        from builder.export.seekable import seekable

        images = [seekable(image, wanted.layers, store) for image in images]
    manifests = [manifest_of(image, wanted, store) for image in images]
    if not _is_index(images, wanted):
        return Closure(documents=tuple(manifests))
    claims = [
        (manifest, _attestation(image, manifest, wanted, store))
        for image, manifest in zip(images, manifests, strict=True)
        if image.statements
    ]
    described = [
        _described(manifest, image, wanted)
        for image, manifest in zip(images, manifests, strict=True)
    ]
    family = wanted.family or Family.OCI
    index = build_index(
        [*described, *(_reference_to(manifest, claim) for manifest, claim in claims)],
        wanted.annotated(AnnotationPlace.INDEX),
        family=family,
    )
    store.blobs.add(index.raw, media_type=index.media_type)
    return Closure(documents=(*manifests, *(claim for _, claim in claims), index))


def top_descriptor(closure: Closure, images: Sequence[Packed], wanted: Wanted) -> Descriptor:
    """Return what points at a packaged closure from outside, with the annotations that are wanted there."""
    if isinstance(closure.top, Manifest):
        return _described(closure.top, images[0], wanted)
    annotations = wanted.annotated(AnnotationPlace.INDEX_DESCRIPTOR)
    return msgspec.structs.replace(closure.top.descriptor(), annotations=annotations)


def check(platforms: Sequence[Platform], wanted: Wanted, *, claims: bool) -> None:
    """Refuse what `package` would refuse of images for these platforms, before anything is made.

    `claims` tells whether there are statements about them.

    Raises: UsageError: an annotation has no place; what is claimed cannot be written in Docker's media types.
    """
    is_index = wanted.index or len(platforms) > 1 or claims
    for each in wanted.annotations:
        if each.platform is not None and each.platform not in platforms:
            raise UsageError(
                f"the annotation `{each.key}` is for `{each.platform}`, which is not built",
                hint=f"use one of: {', '.join(map(str, platforms))}",
            )
        of_index = each.place in (AnnotationPlace.INDEX, AnnotationPlace.INDEX_DESCRIPTOR)
        if of_index and not is_index:
            raise UsageError(
                f"the annotation `{each.key}` is for an index, and one image has none",
                hint="write it to the manifest, or build for several platforms",
            )
    if wanted.family is Family.DOCKER:
        _check_docker(wanted, claims=claims)


def _check_docker(wanted: Wanted, *, claims: bool) -> None:
    hint = "leave out `oci-mediatypes=false`"
    if wanted.layers.seekable:
        raise UsageError("eStargz cannot be described in Docker's media types", hint=hint)
    if claims:
        raise UsageError("attestations cannot be written in Docker's media types", hint=hint)
    for each in wanted.annotations:
        if each.place is not AnnotationPlace.MANIFEST:
            raise UsageError(
                f"the annotation `{each.key}` cannot be written in Docker's media types", hint=hint
            )


def _is_index(images: Sequence[Packed], wanted: Wanted) -> bool:
    return wanted.index or len(images) > 1 or any(image.statements for image in images)


def _described(manifest: Manifest, image: Packed, wanted: Wanted) -> Descriptor:
    annotations = wanted.annotated(AnnotationPlace.MANIFEST_DESCRIPTOR, image.platform)
    return msgspec.structs.replace(
        manifest.descriptor(), platform=image.platform, annotations=annotations
    )


def _reference_to(manifest: Manifest, claim: Manifest) -> Descriptor:
    annotations = (
        ("vnd.docker.reference.digest", str(manifest.descriptor().digest)),
        ("vnd.docker.reference.type", "attestation-manifest"),
    )
    return msgspec.structs.replace(claim.descriptor(), platform=_UNKNOWN, annotations=annotations)


def _attestation(image: Packed, manifest: Manifest, wanted: Wanted, store: Store) -> Manifest:
    """Put the statements about an image into the store, and the manifest that lists them."""
    subjects = tuple(_subjects(manifest, image.platform, wanted.names))
    layers = [
        msgspec.structs.replace(
            store.blobs.add(
                statement(each.predicate_type, each.predicate, subjects), media_type=IN_TOTO
            ),
            annotations=(("in-toto.io/predicate-type", each.predicate_type),),
        )
        for each in image.statements
    ]
    if wanted.artifact:
        made = build_manifest(
            store.blobs.add(b"{}", media_type=OCI_EMPTY),
            layers,
            artifact_type=ATTESTATION,
            subject=manifest.descriptor(),
        )
    else:
        config = ImageConfig(
            architecture=_UNKNOWN.architecture,
            os=_UNKNOWN.os,
            diff_ids=tuple([str(layer.digest) for layer in layers]),
        )
        described = store.blobs.add(config_bytes(config), media_type=OCI_CONFIG)
        made = build_manifest(described, layers)
    store.blobs.add(made.raw, media_type=made.media_type)
    return made


def referrer(
    image: Packed, manifest: Manifest, names: Sequence[Reference], store: Store
) -> Manifest | None:
    """Return what is published beside an image whose manifest this is; None if nothing is. It is in the store afterwards.

    Source: OCI image-spec, manifest.md, "Guidelines for Artifact Usage".
    """
    if not image.referrers:
        return None
    claimed = msgspec.structs.replace(image, statements=image.referrers)
    return _attestation(claimed, manifest, Wanted(names=tuple(names)), store)


def _subjects(
    manifest: Manifest, platform: Platform, names: Sequence[Reference]
) -> Iterator[Subject]:
    digest = manifest.descriptor().digest
    for name in [purl(each, platform) for each in names] or ["_"]:
        yield {"name": name, "digest": {digest.algorithm: digest.hex}}


def purl(name: Reference, platform: Platform) -> str:
    """Return the package URL of an image.

    Source: package-url, PURL-TYPES.rst, "docker".
    """
    path = "/".join(quote(part, safe=":") for part in name.familiar_name.split("/"))
    version = "" if name.tag is None else f"@{quote(name.tag)}"
    qualifiers = {"digest": name.digest, "platform": platform}
    query = "&".join(
        f"{key}={quote(str(value), safe=':')}"
        for key, value in qualifiers.items()
        if value is not None
    )
    return f"pkg:docker/{path}{version}?{query}"
