"""Media types, the two families that they come in, and what they say about compression.

Source: OCI image-spec, media-types.md; the Docker names as registries serve them.
"""

from __future__ import annotations

from enum import Enum

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = OCI_LAYER + "+gzip"
OCI_LAYER_ZSTD = OCI_LAYER + "+zstd"
OCI_FOREIGN_LAYER = "application/vnd.oci.image.layer.nondistributable.v1.tar"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
IN_TOTO = "application/vnd.in-toto+json"

DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = DOCKER_LAYER + ".gzip"
DOCKER_LAYER_ZSTD = DOCKER_LAYER + ".zstd"
DOCKER_FOREIGN_LAYER_GZIP = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"

DOCKER_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json"
DOCKER_SCHEMA1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"

INDEXES = frozenset({OCI_INDEX, DOCKER_INDEX})
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
CONFIGS = frozenset({OCI_CONFIG, DOCKER_CONFIG})
SCHEMA1 = frozenset({DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED})

ACCEPTED = (OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST)
"""What a client says that it can read, the most informative first."""


class Compression(Enum):
    """How the tar of a layer is wrapped."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"


_COMPRESSIONS = {
    OCI_LAYER: Compression.NONE,
    OCI_LAYER_GZIP: Compression.GZIP,
    OCI_LAYER_ZSTD: Compression.ZSTD,
    OCI_FOREIGN_LAYER: Compression.NONE,
    OCI_FOREIGN_LAYER + "+gzip": Compression.GZIP,
    OCI_FOREIGN_LAYER + "+zstd": Compression.ZSTD,
    DOCKER_LAYER: Compression.NONE,
    DOCKER_LAYER_GZIP: Compression.GZIP,
    DOCKER_LAYER_ZSTD: Compression.ZSTD,
    DOCKER_FOREIGN_LAYER_GZIP: Compression.GZIP,
}
_OCI_LAYERS = {
    Compression.NONE: OCI_LAYER,
    Compression.GZIP: OCI_LAYER_GZIP,
    Compression.ZSTD: OCI_LAYER_ZSTD,
}
_DOCKER_LAYERS = {
    Compression.NONE: DOCKER_LAYER,
    Compression.GZIP: DOCKER_LAYER_GZIP,
    Compression.ZSTD: DOCKER_LAYER_ZSTD,
}


class Family(Enum):
    """A set of media types that belong together; a manifest never mixes them."""

    OCI = "oci"
    DOCKER = "docker"

    @property
    def manifest(self) -> str:
        """The media type of a manifest."""
        return OCI_MANIFEST if self is Family.OCI else DOCKER_MANIFEST

    @property
    def index(self) -> str:
        """The media type of an index (Docker: manifest list)."""
        return OCI_INDEX if self is Family.OCI else DOCKER_INDEX

    @property
    def config(self) -> str:
        """The media type of an image configuration."""
        return OCI_CONFIG if self is Family.OCI else DOCKER_CONFIG

    def layer(self, compression: Compression) -> str:
        """Return the media type of a layer."""
        return (_OCI_LAYERS if self is Family.OCI else _DOCKER_LAYERS)[compression]


def family_of(media_type: str) -> Family:
    """Return the family of a media type; unknown ones count as OCI."""
    return Family.DOCKER if media_type.startswith("application/vnd.docker.") else Family.OCI


def compression_of(media_type: str) -> Compression | None:
    """Return how a layer of this media type is compressed, None when it is not a layer's."""
    return _COMPRESSIONS.get(media_type)


def is_foreign(media_type: str) -> bool:
    """Tell whether a layer of this type may live outside registries and is not to be uploaded."""
    return media_type.startswith((OCI_FOREIGN_LAYER, DOCKER_FOREIGN_LAYER_GZIP))


def without_parameters(content_type: str) -> str:
    """Return the media type of a `Content-Type` header: lower case, without parameters."""
    return content_type.partition(";")[0].strip().lower()
