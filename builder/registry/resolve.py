"""From a reference and a platform to one image, its documents verified and consistent.

Source: OCI image-spec, image-index.md ("the first matching entry should be used") and config.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

from builder.errors import ImageError, RegistryError
from builder.oci import mediatypes
from builder.oci.config import ImageConfig
from builder.oci.descriptor import Descriptor
from builder.oci.document import parse_config
from builder.oci.manifest import Index, Manifest
from builder.oci.platform import Platform
from builder.oci.reference import Reference

_MAX_NESTED = 3
_MAX_FETCHES = 16


class Documents(Protocol):
    """Who fetches documents, verified."""

    def fetch_manifest(
        self, reference: Reference, expected: Descriptor | None = None
    ) -> Manifest | Index:
        """Fetch the manifest or index that a reference, or a descriptor of its repository, points at."""

    def fetch_document(self, reference: Reference, descriptor: Descriptor) -> bytes:
        """Fetch a small blob."""


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """What a reference means for a platform, all documents verified.

    `descriptor` is what the reference points at: the index if there is one, else the manifest. It is the
    digest that people pin.
    """

    descriptor: Descriptor
    manifest: Manifest
    config_raw: bytes
    config: ImageConfig
    index: Index | None = None


def resolve(
    client: Documents,
    reference: Reference,
    platform: Platform | None = None,
    *,
    or_the_only_one: bool = False,
) -> Resolved:
    """Find the image that a reference means on a platform.

    `platform` None takes the host's from an index, and any from an image for one platform; a platform
    that is given must be met by both, or with `or_the_only_one` by an index alone.

    Raises: RegistryError: it is not there, or not for us, or for no such platform. ImageError: it is no
        valid image.
    """
    document = client.fetch_manifest(reference)
    top = document.descriptor()
    wanted = platform or Platform.host()
    if isinstance(document, Index):
        found = _Search(client, reference, wanted).best(document)
        if found is None:
            present = tuple(entry.platform for entry in document.manifests if entry.platform)
            raise _no_platform(reference, wanted, present)
        manifest, config_raw, config = found
        return Resolved(
            descriptor=top,
            manifest=manifest,
            config_raw=config_raw,
            config=config,
            index=document,
        )
    config_raw, config = _fetch_config(client, reference, document)
    fits = platform is None or or_the_only_one or _platform_of(config).matches(platform)
    if not fits:
        raise _no_platform(reference, wanted, (_platform_of(config),))
    return Resolved(descriptor=top, manifest=document, config_raw=config_raw, config=config)


class _Search:
    """The search for the best image of an index, which may hold indexes again; fetches are counted."""

    def __init__(self, client: Documents, reference: Reference, wanted: Platform) -> None:
        self._client = client
        self._reference = reference
        self._wanted = wanted
        self._left = _MAX_FETCHES

    def best(self, index: Index, depth: int = 0) -> tuple[Manifest, bytes, ImageConfig] | None:
        """Return the best match; entries that do not say their platform are looked into, last."""
        for _, descriptor in sorted(_candidates(index, self._wanted), key=lambda pair: pair[0]):
            if self._left == 0:
                break
            self._left -= 1
            document = self._client.fetch_manifest(self._reference, descriptor)
            if isinstance(document, Index):
                found = self.best(document, depth + 1) if depth < _MAX_NESTED else None
            else:
                found = self._image(descriptor, document)
            if found is not None:
                return found
        return None

    def _image(
        self, descriptor: Descriptor, manifest: Manifest
    ) -> tuple[Manifest, bytes, ImageConfig] | None:
        if descriptor.platform is None and manifest.config.media_type not in mediatypes.CONFIGS:
            return None  # an attestation or another artifact
        config_raw, config = _fetch_config(self._client, self._reference, manifest)
        if descriptor.platform is None and not _platform_of(config).matches(self._wanted):
            return None
        return manifest, config_raw, config


def _fetch_config(
    client: Documents, reference: Reference, manifest: Manifest
) -> tuple[bytes, ImageConfig]:
    descriptor = manifest.config
    if descriptor.media_type not in mediatypes.CONFIGS:
        kind = manifest.artifact_type or descriptor.media_type
        raise ImageError(f"`{reference.familiar()}` is not an image but `{kind[:100]}`")
    raw = client.fetch_document(reference, descriptor)
    config = parse_config(raw)
    if len(config.diff_ids) != len(manifest.layers):
        raise ImageError(
            f"`{reference.familiar()}` is not a valid image",
            notes=(
                f"its manifest has {len(manifest.layers)} layers, its configuration {len(config.diff_ids)}",
            ),
        )
    return raw, config


def _candidates(index: Index, wanted: Platform) -> Iterator[tuple[int, Descriptor]]:
    unsaid = 1 << 20
    for descriptor in index.manifests:
        rank = unsaid if descriptor.platform is None else descriptor.platform.rank(wanted)
        if rank is not None:
            yield rank, descriptor


def _platform_of(config: ImageConfig) -> Platform:
    return Platform.of(config.os, config.architecture, config.variant, config.os_version)


def _no_platform(
    reference: Reference, wanted: Platform, present: Sequence[Platform]
) -> RegistryError:
    names = sorted({str(platform) for platform in present if platform.os != "unknown"})
    return RegistryError(
        f"`{reference.familiar()}` has no image for {wanted}",
        code="registry.not-found",
        notes=(f"it has: {', '.join(names[:20])[:500]}",) if names else (),
        hint="choose another platform with `--platform`, or another image",
    )
