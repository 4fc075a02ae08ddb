"""How images are asked for when they leave the store: compression, media types, annotations."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import msgspec

from builder.oci.config import ImageConfig
from builder.oci.descriptor import Descriptor
from builder.oci.mediatypes import Compression, Family
from builder.oci.platform import Platform
from builder.oci.reference import Reference

Pairs = tuple[tuple[str, str], ...]


class Making(Enum):
    """How layers are compressed: as fast as this processor can, or so that every machine comes to the same bytes."""

    FAST = "fast"
    ANYWHERE = "anywhere"


_MAKERS = {Compression.NONE: "", Compression.GZIP: "zlib", Compression.ZSTD: "zstandard"}


def making_for(config: ImageConfig) -> Making:
    """Return how the layers of an image are compressed: the same everywhere if its time was given, not read off a clock.

    A clock tells parts of a second. This is said by the image itself, so that all who have it come to the same.
    """
    given = bool(config.created) and "." not in config.created
    return Making.ANYWHERE if given else Making.FAST


class LayerForm(msgspec.Struct, frozen=True, kw_only=True):
    """How layers are to be wrapped.

    Layers that were pulled compressed stay as they came, unless `force` is set and they came otherwise. `level` is
    the codec's, None its usual one; with a level, every machine comes to the same bytes. What is `seekable` is gzip of
    which each file can be read alone (eStargz), as layers of another image.
    """

    compression: Compression = Compression.GZIP
    level: int | None = None
    force: bool = False
    seekable: bool = False
    making: Making = Making.FAST

    @property
    def recipe(self) -> str:
        """What tells a blob that is made like this from the usual one of the same compression."""
        maker = _MAKERS[self.compression]
        if self.level is not None and maker:
            return f"{maker}-{self.level}"
        return maker if self.making is Making.ANYWHERE else ""


class AnnotationPlace(Enum):
    """Which document an annotation is written to."""

    MANIFEST = "manifest"
    INDEX = "index"
    MANIFEST_DESCRIPTOR = "manifest-descriptor"
    INDEX_DESCRIPTOR = "index-descriptor"


class Annotation(msgspec.Struct, frozen=True, kw_only=True):
    """One annotation; without `platform`, of every platform."""

    key: str
    value: str
    place: AnnotationPlace = AnnotationPlace.MANIFEST
    platform: Platform | None = None


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """How images are to be packaged; the default leaves an image that was pulled as it came.

    `family` None leaves a pulled image its own and is OCI otherwise. `index` asks for one although there is a single
    image. `artifact` makes statements OCI artifacts with a subject. `names` are what statements call the images.
    `ready` hears of each layer that is here while others are still being compressed.
    """

    layers: LayerForm = LayerForm()
    family: Family | None = None
    annotations: tuple[Annotation, ...] = ()
    index: bool = False
    artifact: bool = True
    names: tuple[Reference, ...] = ()
    ready: Callable[[Descriptor], None] | None = None

    def annotated(self, place: AnnotationPlace, platform: Platform | None = None) -> Pairs:
        """Return what is to be written to one document; what is for its platform alone wins."""
        general = {
            each.key: each.value
            for each in self.annotations
            if each.place is place and each.platform is None
        }
        special = {
            each.key: each.value
            for each in self.annotations
            if each.place is place and each.platform is not None and each.platform == platform
        }
        return tuple(sorted({**general, **special}.items()))
