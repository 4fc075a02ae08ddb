"""Manifests and indexes: parsed, with the raw bytes beside, because those are what digests name.

Source: OCI image-spec, manifest.md, image-index.md and media-types.md; CVE-2020-1702 (endless documents),
CVE-2021-41190 (one document read as a manifest by some and as an index by others).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from builder.errors import ImageError, ReferenceInvalid
from builder.oci import mediatypes
from builder.oci.descriptor import MAX_DOCUMENT, Descriptor
from builder.oci.digest import Digest
from builder.oci.platform import Platform

# What servers say when they say nothing.
_GENERIC = frozenset({"", "application/json", "application/octet-stream", "text/plain"})


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One image: a configuration and layers, bottom first. `raw` is never re-encoded."""

    raw: bytes
    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: tuple[tuple[str, str], ...] = ()
    subject: Descriptor | None = None
    artifact_type: str = ""

    def descriptor(self) -> Descriptor:
        """Return what points at this document."""
        return _describe(self.raw, self.media_type)


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """Images for several platforms, or anything else that has manifests. `raw` is never re-encoded."""

    raw: bytes
    media_type: str
    manifests: tuple[Descriptor, ...]
    annotations: tuple[tuple[str, str], ...] = ()
    subject: Descriptor | None = None

    def descriptor(self) -> Descriptor:
        """Return what points at this document."""
        return _describe(self.raw, self.media_type)


def parse_manifest(raw: bytes, media_type: str = "") -> Manifest | Index:
    """Read a manifest or an index; `media_type` is what the sender called it, "" when it did not say.

    Unknown members, annotations and media types of layers are accepted, as the specification demands.

    Raises: ImageError: too large, malformed, both kinds at once, or not what `media_type` says.
    """
    _check_schema1(media_type)
    wire = _decode(raw)
    if wire.schema_version == 1 or wire.media_type in mediatypes.SCHEMA1:
        _check_schema1(mediatypes.DOCKER_SCHEMA1)
    if wire.schema_version != 2:
        raise ImageError(f"the manifest has schema version {wire.schema_version}, not 2")
    is_index = wire.manifests is not None
    if is_index and (wire.config is not None or wire.layers is not None):
        raise ImageError("the document is a manifest and an index at once")
    if not is_index and wire.config is None:
        raise ImageError("the document is neither a manifest nor an index")
    agreed = _agree(
        mediatypes.without_parameters(media_type), wire.media_type or "", is_index=is_index
    )
    annotations = tuple(sorted((wire.annotations or {}).items()))
    subject = _descriptor(wire.subject) if wire.subject else None
    if wire.manifests is not None:
        return Index(
            raw=raw,
            media_type=agreed,
            manifests=tuple(map(_descriptor, wire.manifests)),
            annotations=annotations,
            subject=subject,
        )
    assert wire.config is not None
    return Manifest(
        raw=raw,
        media_type=agreed,
        config=_descriptor(wire.config),
        layers=tuple(map(_descriptor, wire.layers or ())),
        annotations=annotations,
        subject=subject,
        artifact_type=wire.artifact_type or "",
    )


def build_manifest(
    config: Descriptor,
    layers: Sequence[Descriptor],
    annotations: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    *,
    artifact_type: str = "",
    subject: Descriptor | None = None,
) -> Manifest:
    """Make a manifest in the family of the configuration's media type; equal input gives equal bytes.

    What is no image has an `artifact_type`, and points at its `subject` where it is about something.

    Raises: ImageError: a layer is of the other family.
    """
    family = mediatypes.family_of(config.media_type)
    for layer in layers:
        if mediatypes.family_of(layer.media_type) is not family:
            raise ImageError(
                f"a manifest cannot mix `{config.media_type}` with a layer of type `{layer.media_type}`"
            )
    pairs = tuple(sorted(dict(annotations).items()))
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": family.manifest,
        "config": config.document(),
        "layers": [layer.document() for layer in layers],
    }
    if pairs:
        document["annotations"] = dict(pairs)
    if artifact_type:
        document["artifactType"] = artifact_type
    if subject is not None:
        document["subject"] = subject.document()
    return Manifest(
        raw=_encode(document),
        media_type=family.manifest,
        config=config,
        layers=tuple(layers),
        annotations=pairs,
        subject=subject,
        artifact_type=artifact_type,
    )


def build_index(
    manifests: Sequence[Descriptor],
    annotations: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    *,
    family: mediatypes.Family = mediatypes.Family.OCI,
) -> Index:
    """Make an index; equal input gives equal bytes."""
    pairs = tuple(sorted(dict(annotations).items()))
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": family.index,
        "manifests": [manifest.document() for manifest in manifests],
    }
    if pairs:
        document["annotations"] = dict(pairs)
    return Index(
        raw=_encode(document),
        media_type=family.index,
        manifests=tuple(manifests),
        annotations=pairs,
    )


def _encode(document: dict[str, object]) -> bytes:
    try:
        return msgspec.json.encode(document, order="deterministic")
    except UnicodeEncodeError as error:
        raise ImageError("an annotation is not valid UTF-8") from error


class _PlatformWire(msgspec.Struct):
    architecture: str | None = None
    os: str | None = None
    variant: str | None = None
    os_version: str | None = msgspec.field(default=None, name="os.version")


class _DescriptorWire(msgspec.Struct, rename="camel"):
    digest: str
    size: int
    media_type: str | None = None
    annotations: dict[str, str] | None = None
    platform: _PlatformWire | None = None
    urls: list[str] | None = None
    artifact_type: str | None = None


class _DocumentWire(msgspec.Struct, rename="camel"):
    schema_version: int = 0
    media_type: str | None = None
    config: _DescriptorWire | None = None
    layers: list[_DescriptorWire] | None = None
    manifests: list[_DescriptorWire] | None = None
    annotations: dict[str, str] | None = None
    subject: _DescriptorWire | None = None
    artifact_type: str | None = None


def _decode(raw: bytes) -> _DocumentWire:
    if len(raw) > MAX_DOCUMENT:
        raise ImageError(f"the manifest is larger than {MAX_DOCUMENT} bytes")
    try:
        return msgspec.json.decode(raw, type=_DocumentWire)
    except (
        ValueError,
        RecursionError,
    ) as error:  # ValueError: of msgspec, of text, of big integers
        raise ImageError("the manifest is malformed", notes=(str(error)[:200],)) from error


def _descriptor(wire: _DescriptorWire) -> Descriptor:
    if not 0 <= wire.size < 1 << 63:
        raise ImageError(f"the manifest claims an impossible size ({wire.size} bytes)")
    try:
        digest = Digest(wire.digest)
    except ReferenceInvalid as error:
        raise ImageError("the manifest holds an invalid digest", notes=(error.message,)) from error
    return Descriptor(
        media_type=wire.media_type or "",
        digest=digest,
        size=wire.size,
        annotations=tuple(sorted((wire.annotations or {}).items())),
        platform=_platform(wire.platform) if wire.platform else None,
        urls=tuple(wire.urls or ()),
        artifact_type=wire.artifact_type or "",
    )


def _platform(wire: _PlatformWire) -> Platform:
    return Platform.of(
        wire.os or "", wire.architecture or "", wire.variant or "", wire.os_version or ""
    )


def _describe(raw: bytes, media_type: str) -> Descriptor:
    return Descriptor(media_type=media_type, digest=Digest.of(raw), size=len(raw))


def _check_schema1(media_type: str) -> None:
    if mediatypes.without_parameters(media_type) in mediatypes.SCHEMA1:
        raise ImageError(
            "the image has a Docker schema 1 manifest, a format that was given up in 2017",
            hint="have its publisher push it again with a current tool",
        )


def _agree(said: str, written: str, *, is_index: bool) -> str:
    """Return the media type that the sender and the document agree on."""
    if written and said not in _GENERIC and said != written:
        raise ImageError(
            f"the document says that it is `{written[:100]}`, its sender says `{said[:100]}`"
        )
    agreed = written or ("" if said in _GENERIC else said)
    if not agreed:
        return mediatypes.OCI_INDEX if is_index else mediatypes.OCI_MANIFEST
    if agreed in (mediatypes.MANIFESTS if is_index else mediatypes.INDEXES):
        raise ImageError(f"the document is not what its media type says (`{agreed}`)")
    return agreed
