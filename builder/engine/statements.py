"""What is claimed of an image, found where it is kept: by the build here, in the index of a registry, or as a referrer."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from builder.engine.catalogue import Catalogue
from builder.errors import ImageError
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.manifest import Index, Manifest
from builder.oci.mediatypes import IN_TOTO
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.registry.client import RegistryClient
from builder.store.root import Store

PROVENANCE = "https://slsa.dev/provenance/"
_OF = "vnd.docker.reference.digest"
_TYPE = "in-toto.io/predicate-type"


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """A predicate as JSON with its type; `where` says where it was found."""

    type: str
    predicate: bytes
    where: str


class _Subject(msgspec.Struct):
    digest: dict[str, str] = {}


class _Statement(msgspec.Struct, rename={"predicate_type": "predicateType"}):
    predicate_type: str
    predicate: msgspec.Raw
    subject: list[_Subject] = []


def claimed_here(store: Store, text: str, platform: Platform | None) -> Claimed | None:
    """Return the provenance that the last build of an image of the store claims; None where there is none.

    Raises: ImageError: `image.not-found`.
    """
    image, _ = Catalogue(store).meant(text, platform)
    origin = store.images.origin(image.id)
    for each in () if origin is None else origin.claims:
        if each.type.startswith(PROVENANCE):
            return Claimed(type=each.type, predicate=each.predicate, where="the store")
    return None


def claimed_in_registry(
    client: RegistryClient, reference: Reference, platform: Platform
) -> Claimed | None:
    """Return the provenance of an image in a registry: beside it in its index, else of what refers to it.

    What is not about that very image is not believed. Who wrote it is not known: a statement is not signed.

    Raises: RegistryError, ImageError: the image is not there, or is malformed.
    """
    resolved = client.resolve(reference, platform)
    manifest = resolved.manifest.descriptor().digest
    for descriptor in _beside(resolved.index, manifest):
        found = _read(client, reference, descriptor, manifest)
        if found is not None:
            return msgspec.structs.replace(found, where="the index of the image")
    from builder.registry.referrers import referrers

    for descriptor in referrers(client, reference, manifest):
        found = _read(client, reference, descriptor, manifest)
        if found is not None:
            return msgspec.structs.replace(found, where="a referrer of the image")
    return None


def _beside(index: Index | None, manifest: Digest) -> Iterator[Descriptor]:
    for each in () if index is None else index.manifests:
        if dict(each.annotations).get(_OF) == str(manifest):
            yield each


def _read(
    client: RegistryClient, reference: Reference, descriptor: Descriptor, subject: Digest
) -> Claimed | None:
    """Return the provenance in an attestation manifest, if it has one and is about the image."""
    artifact = client.fetch_manifest(reference.with_digest(descriptor.digest), descriptor)
    for layer in artifact.layers if isinstance(artifact, Manifest) else ():
        kind = dict(layer.annotations).get(_TYPE, "")
        if layer.media_type != IN_TOTO or not kind.startswith(PROVENANCE):
            continue
        raw = client.fetch_document(reference, layer)
        try:
            statement = msgspec.json.decode(raw, type=_Statement)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ImageError("the provenance of the image is malformed") from error
        about = [each.digest.get(subject.algorithm) for each in statement.subject]
        if subject.hex in about:
            return Claimed(
                type=statement.predicate_type, predicate=bytes(statement.predicate), where=""
            )
    return None
