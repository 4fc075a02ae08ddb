"""Manifests as `docker manifest inspect` prints them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from builder.ui.cells import neutral

if TYPE_CHECKING:
    from builder.engine.looked import Inspected

_INDENT = 3


def raw_text(found: Inspected) -> str:
    """Return a document as it is, laid out."""
    return _laid_out(found.document.raw)


def verbose_text(found: Inspected) -> str:
    """Return each image with its descriptor and manifest; one alone is no list."""
    told = [
        {
            "Ref": f"{image.name}@{image.digest}",
            "Descriptor": msgspec.Raw(image.descriptor),
            _member(image.media_type): msgspec.Raw(image.raw),
        }
        for image in found.images
    ]
    return _laid_out(msgspec.json.encode(told[0] if found.alone else told))


def _member(media_type: str) -> str:
    return "SchemaV2Manifest" if "docker" in media_type else "OCIManifest"


def _laid_out(raw: bytes) -> str:
    text = msgspec.json.format(raw, indent=_INDENT).decode("utf-8", "replace")
    return "\n".join(neutral(line) for line in text.split("\n"))
