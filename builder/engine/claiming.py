"""What a build claims of its images: remembered with them, so that a later push says the same as one with the build."""

from __future__ import annotations

import msgspec

from builder.engine.built import Built
from builder.engine.provenance import Detail, Telling, Version, predicate
from builder.engine.requests import Provenance
from builder.export.manifest import Packed, Statement
from builder.oci.closure import Closure
from builder.oci.manifest import Manifest
from builder.oci.reference import Reference
from builder.store.images import Claim, Origin
from builder.store.root import Store

INDEX, INLINE, REFERRER = "index", "inline", "referrer"
"""Forms of a claim: in an index, wherever the image goes; in an index, in registries alone; published beside it."""

_VERSIONS = {"v1": Version.V1, "v0.2": Version.V02}


def claim(built: Built, wanted: Provenance, store: Store) -> None:
    """Remember with each image what it was made from."""
    telling = Telling(
        detail=Detail(wanted.detail),
        version=_VERSIONS[wanted.version],
        builder=wanted.builder,
        reproducible=wanted.reproducible,
    )
    form = INLINE if wanted.form == INDEX and wanted.inline_only else wanted.form
    for each in built.images:
        told = predicate(each.account(), telling, store)
        origin = store.images.origin(each.image.id) or Origin()
        claims = (Claim(telling.version.value, told, form),)
        store.images.set_origin(each.image.id, msgspec.structs.replace(origin, claims=claims))


def told(built: Built, detail: str, store: Store) -> tuple[tuple[str, bytes], ...]:
    """Return what each image was made from, by platform, as predicates in JSON; `detail` is `min` or `max`."""
    telling = Telling(detail=Detail(detail))
    return tuple(
        [(str(each.platform), predicate(each.account(), telling, store)) for each in built.images]
    )


def claimed(image: Packed, store: Store) -> Packed:
    """Return an image with what its last build claims of it."""
    origin = store.images.origin(image.id)
    if origin is None or not origin.claims:
        return image
    beside = [each for each in origin.claims if each.form == REFERRER]
    inside = [each for each in origin.claims if each.form != REFERRER]
    return msgspec.structs.replace(
        image,
        statements=tuple([_statement(each) for each in inside]),
        referrers=tuple([_statement(each) for each in beside]),
    )


def beside(closure: Closure, name: Reference, store: Store) -> tuple[Manifest, ...]:
    """Return what is published beside the images of a closure, in the repository of a name."""
    from builder.engine.catalogue import Catalogue
    from builder.export.package import referrer

    found = []
    for manifest in closure.manifests:
        image_id = str(manifest.config.digest)
        if store.images.get(image_id) is not None and store.images.origin(image_id) is not None:
            image = Catalogue(store).open(image_id)
            packed = Packed(id=image.id, config=image.config, state=image.state)
            found.append(referrer(claimed(packed, store), manifest, (name,), store))
    return tuple([each for each in found if each is not None])


def _statement(each: Claim) -> Statement:
    return Statement(
        predicate_type=each.type, predicate=each.predicate, inline_only=each.form == INLINE
    )
