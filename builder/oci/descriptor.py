"""What points at content: media type, digest and size.

Source: OCI image-spec, descriptor.md.
"""

from __future__ import annotations

import msgspec

from builder.oci.digest import Digest
from builder.oci.platform import Platform

MAX_DOCUMENT = 4 * 1024 * 1024
"""The largest manifest, index or configuration that is read, in bytes."""


class Descriptor(msgspec.Struct, frozen=True, kw_only=True):
    """A reference to content that can be verified; `size` in bytes.

    `annotations` are pairs sorted by name. `urls` are further places of a foreign layer. `artifact_type`
    is set for what is not an image.
    """

    media_type: str
    digest: Digest
    size: int
    annotations: tuple[tuple[str, str], ...] = ()
    platform: Platform | None = None
    urls: tuple[str, ...] = ()
    artifact_type: str = ""

    def document(self) -> dict[str, object]:
        """Return the members as they stand in JSON, empty ones left out."""
        members: dict[str, object] = {
            "mediaType": self.media_type,
            "digest": str(self.digest),
            "size": self.size,
        }
        if self.urls:
            members["urls"] = list(self.urls)
        if self.annotations:
            members["annotations"] = dict(self.annotations)
        if self.platform is not None:
            members["platform"] = _platform_document(self.platform)
        if self.artifact_type:
            members["artifactType"] = self.artifact_type
        return members


def _platform_document(platform: Platform) -> dict[str, str]:
    members = {
        "architecture": platform.architecture,
        "os": platform.os,
        "variant": platform.variant,
        "os.version": platform.os_version,
    }
    return {name: value for name, value in members.items() if value}
