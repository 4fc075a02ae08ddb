"""The nouns of the OCI image specification. Pure: raw bytes stay beside the parsed form.

As a library, without the rest of the program; see docs/oci-library.md:

    from builder import oci

    manifest = oci.parse_manifest(raw)                    Manifest or Index; `raw` is kept, digests name bytes
    manifest.config.digest, manifest.layers
    made = oci.build_manifest(config, layers)             the same input gives the same bytes
    oci.Reference.parse("alpine").canonical()             docker.io/library/alpine:latest

Mistakes are `builder.errors.ImageError` and `builder.errors.ReferenceInvalid`. The names are imported when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builder.oci.closure import Closure, closure_of
    from builder.oci.config import ContainerConfig, Healthcheck, History, ImageConfig
    from builder.oci.descriptor import Descriptor
    from builder.oci.digest import Digest
    from builder.oci.document import config_bytes, parse_config
    from builder.oci.edit import append_layer
    from builder.oci.manifest import (
        Index,
        Manifest,
        build_index,
        build_manifest,
        parse_manifest,
    )
    from builder.oci.mediatypes import Compression, Family, compression_of, family_of
    from builder.oci.platform import Platform
    from builder.oci.reference import Reference
    from builder.oci.validate import validate as validate_image

__all__ = [
    "Closure",
    "Compression",
    "ContainerConfig",
    "Descriptor",
    "Digest",
    "Family",
    "Healthcheck",
    "History",
    "ImageConfig",
    "Index",
    "Manifest",
    "Platform",
    "Reference",
    "append_layer",
    "build_index",
    "build_manifest",
    "closure_of",
    "compression_of",
    "config_bytes",
    "family_of",
    "parse_config",
    "parse_manifest",
    "validate_image",
]

_HOMES = {
    "Closure": "closure",
    "Compression": "mediatypes",
    "ContainerConfig": "config",
    "Descriptor": "descriptor",
    "Digest": "digest",
    "Family": "mediatypes",
    "Healthcheck": "config",
    "History": "config",
    "ImageConfig": "config",
    "Index": "manifest",
    "Manifest": "manifest",
    "Platform": "platform",
    "Reference": "reference",
    "append_layer": "edit",
    "build_index": "manifest",
    "build_manifest": "manifest",
    "closure_of": "closure",
    "compression_of": "mediatypes",
    "config_bytes": "document",
    "family_of": "mediatypes",
    "parse_config": "document",
    "parse_manifest": "manifest",
    "validate_image": "validate",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    from importlib import import_module

    home = import_module(f"{__name__}.{_HOMES[name]}")
    # The module has the verb's name already.
    return getattr(home, "validate" if name == "validate_image" else name)
