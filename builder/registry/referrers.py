"""What is published about an image in its repository: signatures, provenance, lists of contents.

A registry that knows of referrers lists them itself. In others an index under a tag made of the digest takes the place of
that list, which every client reads, adds to and writes again:

    sha256:0123…  ─►  tag `sha256-0123…`  ─►  index of what refers to it

Source: OCI distribution-spec, "Listing Referrers", "Referrers Tag Schema", "Pushing Manifests with Subject".
"""

from __future__ import annotations

from builder.errors import ImageError
from builder.oci.descriptor import MAX_DOCUMENT, Descriptor
from builder.oci.digest import Digest
from builder.oci.manifest import Index, Manifest, build_index, parse_manifest
from builder.oci.mediatypes import OCI_INDEX
from builder.oci.reference import Reference
from builder.registry import address, answers
from builder.registry.client import RegistryClient
from builder.registry.refusals import broken

_MAX_PAGES = 100
_TRIES = 4
_ALGORITHM, _HEX = 32, 64


def referrers(
    client: RegistryClient, reference: Reference, digest: Digest, artifact_type: str = ""
) -> tuple[Descriptor, ...]:
    """Return what refers to a manifest or index of a repository, of one type if one is given; nothing of what is not there.

    Raises: RegistryError: the registry refuses, or what it says means nothing.
    """
    listed = _listed(client, reference, digest)
    if listed is None:
        index, _ = _fallback(client, reference, digest)
        listed = () if index is None else index.manifests
    return tuple([each for each in listed if artifact_type in ("", each.artifact_type)])


def attach(client: RegistryClient, reference: Reference, artifact: Manifest) -> None:
    """Make an artifact with a subject known as a referrer; it is in the repository already.

    Idempotent. Others may do the same at once: what they add is kept, as far as the registry can tell that it was added.

    Raises: RegistryError: the registry refuses it, or others write all the time.
    """
    subject = artifact.subject
    if subject is None:
        raise ValueError("an artifact without subject refers to nothing")
    if _listed(client, reference, subject.digest) is not None:
        return
    added = _descriptor(artifact)
    for _ in range(_TRIES):
        index, version = _fallback(client, reference, subject.digest)
        before = () if index is None else index.manifests
        if any(each.digest == added.digest for each in before):
            return
        if _put(client, reference, subject.digest, build_index((*before, added)), version):
            return
    raise broken(
        reference, "the list of what refers to the image is written by others all the time"
    )


def tag_of(digest: Digest) -> str:
    """Return the tag under which a registry that knows no referrers has the list of them."""
    return f"{digest.algorithm[:_ALGORITHM]}-{digest.hex[:_HEX]}"


def _descriptor(artifact: Manifest) -> Descriptor:
    found = artifact.descriptor()
    return Descriptor(
        media_type=found.media_type,
        digest=found.digest,
        size=found.size,
        annotations=artifact.annotations,
        artifact_type=artifact.artifact_type or artifact.config.media_type,
    )


def _listed(
    client: RegistryClient, reference: Reference, digest: Digest
) -> tuple[Descriptor, ...] | None:
    """Return the registry's own list, None where it has none."""
    found: list[Descriptor] = []
    path = f"referrers/{digest}"
    for _ in range(_MAX_PAGES):
        with client.ask(reference, path, accept=OCI_INDEX) as response:
            if response.status in (400, 404, 405):
                return None
            if response.status != 200:
                raise client.refusal_of(response, reference)
            raw = response.read(MAX_DOCUMENT)
            url = response.url
            following = answers.next_page(response.header("link"))
        found += _index(reference, raw).manifests
        if following is None:
            return tuple(found)
        path = address.joined(url, following)
    raise broken(reference, "its list of referrers does not end")


def _fallback(
    client: RegistryClient, reference: Reference, digest: Digest
) -> tuple[Index | None, str]:
    """Return the index that takes the place of a list, and what tells its version; None where there is none yet."""
    with client.ask(reference, f"manifests/{tag_of(digest)}", accept=OCI_INDEX) as response:
        if response.status == 404:
            return None, ""
        if response.status != 200:
            raise client.refusal_of(response, reference)
        raw = response.read(MAX_DOCUMENT)
        version = response.header("etag") or ""
    return _index(reference, raw), version


def _index(reference: Reference, raw: bytes) -> Index:
    try:
        found = parse_manifest(raw, OCI_INDEX)
    except ImageError as error:
        raise broken(reference, "its list of referrers is not an index") from error
    if not isinstance(found, Index):
        raise broken(reference, "its list of referrers is not an index")
    return found


def _put(
    client: RegistryClient, reference: Reference, digest: Digest, index: Index, version: str
) -> bool:
    """Write the index that takes the place of a list; False if another has written one since `version`."""
    condition = (("If-Match", version),) if version else ()
    response = client.post(
        "PUT",
        reference,
        f"manifests/{tag_of(digest)}",
        headers=(("Content-Type", index.media_type), *condition),
        body=index.raw,
    )
    with response:
        if response.status == 412:
            return False
        if response.status not in (200, 201, 202):
            raise client.refusal_of(response, reference)
    return True
