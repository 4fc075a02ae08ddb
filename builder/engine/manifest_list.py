"""A manifest list that is being put together, as data: its images, and what is said of them."""

from __future__ import annotations

import msgspec

from builder.engine.ends import End, InRegistry, InStore
from builder.errors import ReferenceInvalid
from builder.oci.digest import Digest
from builder.oci.manifest import Index, parse_manifest
from builder.oci.mediatypes import Family, family_of
from builder.oci.platform import is_word
from builder.oci.reference import Reference


class PlatformOf(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A platform as it stands in a list."""

    architecture: str = ""
    os: str = ""
    variant: str = ""
    os_version: str = msgspec.field(default="", name="os.version")
    os_features: tuple[str, ...] = msgspec.field(default=(), name="os.features")


class Child(msgspec.Struct, frozen=True, kw_only=True):
    """An image of a list. `image` is what it was named by: a canonical reference, or an id of the store."""

    media_type: str
    digest: Digest
    size: int
    platform: PlatformOf | None
    image: str
    stored: bool
    annotations: dict[str, str] = {}
    artifact_type: str = ""

    @property
    def end(self) -> End:
        """Where it is."""
        return InStore(self.image) if self.stored else InRegistry(Reference.parse(self.image))

    def document(self) -> dict[str, object]:
        """Return its descriptor as it stands in the index."""
        members: dict[str, object] = {
            "mediaType": self.media_type,
            "digest": str(self.digest),
            "size": self.size,
        }
        if self.annotations:
            members["annotations"] = self.annotations
        if self.platform is not None:
            members["platform"] = self.platform
        if self.artifact_type:
            members["artifactType"] = self.artifact_type
        return members


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be said of an image in a list; empty members leave what the image says of itself.

    Raises: ReferenceInvalid: a word cannot stand in a platform, so that nobody would find the image.
    """

    architecture: str = ""
    os: str = ""
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        words = (self.architecture, self.os, self.variant, self.os_version)
        for word in words:
            if not is_word(word):
                raise ReferenceInvalid(
                    f"`{word[:100]}` cannot stand in a platform",
                    notes=("its words are of small letters, digits, `.`, `_` and `-`",),
                )

    def applied(self, child: Child) -> Child:
        """Return an image of a list with this said of it."""
        names = ("architecture", "os", "variant", "os_version", "os_features")
        given = {name: value for name in names if (value := getattr(self, name))}
        platform = child.platform
        if given:
            platform = msgspec.structs.replace(platform or PlatformOf(), **given)
        annotations = {**child.annotations, **dict(self.annotations)}
        return msgspec.structs.replace(child, platform=platform, annotations=annotations)


class ManifestList(msgspec.Struct, frozen=True, kw_only=True):
    """A list under its canonical name."""

    name: str
    children: tuple[Child, ...] = ()

    @property
    def index(self) -> Index:
        """The index that it is at this moment: Docker's list if all its images are Docker's."""
        docker = bool(self.children) and all(
            family_of(child.media_type) is Family.DOCKER for child in self.children
        )
        family = Family.DOCKER if docker else Family.OCI
        document = {
            "schemaVersion": 2,
            "mediaType": family.index,
            "manifests": [child.document() for child in self.children],
        }
        found = parse_manifest(msgspec.json.encode(document), family.index)
        assert isinstance(found, Index)
        return found
