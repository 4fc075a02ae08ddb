"""Images of the store by name or id: finding, reading, adding, naming."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from builder.errors import ImageError, ReferenceInvalid
from builder.oci.config import ImageConfig
from builder.oci.digest import Digest
from builder.oci.document import config_bytes, parse_config
from builder.oci.mediatypes import OCI_CONFIG, compression_of
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.store.images import StoredImage, StoredName, StoredPlatform
from builder.store.layers import BlobForm, Layer, State, pulled_layer
from builder.store.root import Store

if TYPE_CHECKING:
    from builder.oci.manifest import Manifest

_HEX = frozenset("0123456789abcdef")


class LocalImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image of the store, opened."""

    id: str
    config: ImageConfig
    state: State

    @property
    def platform(self) -> Platform:
        """The platform that it is for."""
        return Platform.of(self.config.os, self.config.architecture, self.config.variant)


class OfPlatform(msgspec.Struct, frozen=True, kw_only=True):
    """One of the images that a name stands for; `manifest` is the digest of the one it came with, if it did."""

    platform: Platform
    image: str
    manifest: str | None = None


class Catalogue:
    """The images of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def by_reference(
        self, reference: Reference, platform: Platform | None = None
    ) -> LocalImage | None:
        """Return the image that a canonical name stands for here, None when there is none.

        With a `platform` it is the best of those that the name stands for; where none of them serves, the one
        that is meant without it.
        """
        name = self._named(reference.canonical())
        if name is not None:
            return self.open(self._on(name, platform))
        return None if reference.digest is None else self._by_manifest(reference, platform)

    def _by_manifest(self, reference: Reference, platform: Platform | None) -> LocalImage | None:
        """Return the image that a repository has under a digest: of what was pulled, or of one platform of it."""
        for name in self._store.images.names():
            if not name.reference.startswith((reference.name + ":", reference.name + "@")):
                continue
            if name.digest == reference.digest:
                found = self._named(name.reference)
                if found is not None and found.digest == reference.digest:
                    return self.open(self._on(found, platform))
            for each in self._store.images.platforms(name.reference):
                if each.manifest == reference.digest and self._holds(each):
                    return self.open(each.image)
        return None

    def _on(self, name: StoredName, platform: Platform | None) -> str:
        """Return the id of the image that a name stands for on a platform, and keep that here."""
        if platform is None:
            return name.image
        ranked = [
            (rank, each.image, each)
            for each in self._store.images.platforms(name.reference)
            if (rank := Platform.parse(each.platform).rank(platform)) is not None
        ]
        for _, _, each in sorted(ranked, key=lambda found: found[:2]):
            if self._holds(each):
                return each.image
        return name.image

    def _holds(self, platform: StoredPlatform) -> bool:
        """Keep an image here, and tell whether it still was."""
        self._store.leases.hold(platform.image)
        return self._store.images.get(platform.image) is not None

    def _named(self, canonical: str) -> StoredName | None:
        """Return what a name stands for, and keep that here: between the two others may remove it."""
        name = self._store.images.name(canonical)
        while name is not None:
            self._store.leases.hold(name.image)
            now = self._store.images.name(canonical)
            if now is None or now.image == name.image:
                return now
            name = now
        return None

    def open(self, image_id: str) -> LocalImage:
        """Open an image by its full id.

        Raises: ImageError: its configuration is gone.
        """
        raw = self._store.blobs.read(Digest(image_id))
        config = parse_config(raw)
        layers = tuple(
            self._store.layers.get(diff_id) or pulled_layer(diff_id) for diff_id in config.diff_ids
        )
        return LocalImage(id=image_id, config=config, state=State(layers))

    def find(self, text: str, platform: Platform | None = None) -> tuple[str, StoredName | None]:
        """Return the id, and the name if it was one, that a user means by a name, id or prefix of an id.

        For `platform` see `by_reference`.

        Raises: ImageError: `image.not-found`: nothing here is called so; or several ids begin so.
        """
        try:
            reference = Reference.parse(text)
        except ReferenceInvalid:
            reference = None
        if reference is not None:
            name = self._named(reference.canonical())
            if name is not None:
                return self._on(name, platform), name
            if reference.digest is not None:
                found = self._by_manifest(reference, platform)
                if found is not None:
                    return found.id, None
        prefix = text.removeprefix("sha256:")
        if 1 <= len(prefix) <= 64 and _HEX.issuperset(prefix):
            images = self._store.images.starting_with(prefix)
            if len(images) == 1:
                self._store.leases.hold(images[0].id)
                if self._store.images.get(images[0].id) is not None:
                    return images[0].id, None
                raise self._unknown(text)
            if images:
                raise ImageError(
                    f"`{text}` is the beginning of several image ids",
                    code="image.not-found",
                    notes=tuple(image.id for image in images[:5]),
                    hint="give more digits",
                )
        raise self._unknown(text)

    def tags(self, repository: str) -> tuple[str, ...]:
        """Return the names of a repository here, by its name alone; nothing for other texts."""
        if "@" in repository or ":" in repository.rpartition("/")[2]:
            return ()
        try:
            name = Reference.parse(repository).name
        except ReferenceInvalid:
            return ()
        found = (Reference.parse(each.reference) for each in self._store.images.names())
        return tuple(each.familiar() for each in found if each.name == name)

    def meant(
        self, text: str, platform: Platform | None = None
    ) -> tuple[LocalImage, StoredName | None]:
        """Open the image that a user means, and return the name if it was one; with a `platform`, only one for that.

        Raises: ImageError: `image.not-found`, as `find`, or it is here for other platforms. StoreError.
        """
        image_id, name = self.find(text, platform)
        image = self.open(image_id)
        if platform is None or image.platform.matches(platform):
            return image, name
        others = (
            [image.platform] if name is None else [each.platform for each in self.platforms(name)]
        )
        raise ImageError(
            f"No such image: {text} for {platform}",
            code="image.not-found",
            notes=(f"it is here for {', '.join(map(str, others))}",),
            hint=f"`lapstrake pull --platform {platform} {text}` fetches it",
        )

    def standing(self, reference: Reference) -> tuple[object, ...]:
        """Return which images a name stands for now, to be compared with those that it stands for later."""
        canonical = reference.canonical()
        name = self._store.images.name(canonical)
        platforms = self._store.images.platforms(canonical)
        return (name and name.image, *[(each.platform, each.image) for each in platforms])

    def names(self) -> tuple[Reference, ...]:
        """Return the names of all images."""
        return tuple([Reference.parse(name.reference) for name in self._store.images.names()])

    def _unknown(self, text: str) -> ImageError:
        from builder.dockerfile.suggest import nearest

        near = nearest(text, [name.familiar() for name in self.names()])
        return ImageError(
            f"No such image: {text}",
            code="image.not-found",
            hint=f"did you mean `{near}`?" if near else "`lapstrake images` lists what is here",
        )

    def add(self, config: ImageConfig, *, manifest: Digest | None = None) -> str:
        """Put a configuration into the store as an image, and return its id."""
        raw = config_bytes(config)
        descriptor = self._store.blobs.add(raw, media_type=OCI_CONFIG)
        self.register(str(descriptor.digest), config, manifest=manifest)
        return str(descriptor.digest)

    def register(self, image_id: str, config: ImageConfig, *, manifest: Digest | None) -> None:
        """Make an image known whose configuration is among the blobs."""
        self._store.images.add(
            StoredImage(
                image_id,
                None if manifest is None else str(manifest),
                created_seconds(config.created),
                self._size(config),
            ),
            config.diff_ids,
        )

    def register_pulled(self, manifest: Manifest, config: ImageConfig, *, sent: bool = True) -> str:
        """Make known what was pulled or loaded: its layers, by diff id, and the image; return its id.

        The image is sent with this manifest again if it was `sent` with it.

        Raises: ImageError: manifest and configuration list different numbers of layers.
        """
        layers = tuple(each for each in manifest.layers)
        if len(layers) != len(config.diff_ids):
            raise ImageError(
                f"the image has {len(layers)} layers, but its configuration lists"
                f" {len(config.diff_ids)}"
            )
        with self._store.db.transaction():
            for descriptor, diff_id in zip(layers, config.diff_ids, strict=True):
                compression = compression_of(descriptor.media_type)
                if compression is None:
                    raise ImageError(
                        f"layers of type `{descriptor.media_type}` cannot be unpacked",
                        hint="this is no container image, but another kind of artifact",
                    )
                if self._store.layers.get(diff_id) is None:
                    self._store.layers.add(pulled_layer(diff_id))
                self._store.layers.add_blob(
                    diff_id,
                    BlobForm(
                        digest=str(descriptor.digest),
                        size=descriptor.size,
                        media_type=descriptor.media_type,
                        compression=compression.value,
                        pulled=True,
                    ),
                )
            image_id = str(manifest.config.digest)
            digest = manifest.descriptor().digest if sent else None
            self.register(image_id, config, manifest=digest)
        return image_id

    def name(self, reference: Reference, image_id: str, digest: str | None = None) -> None:
        """Let a tag name an image, on whatever platform; `digest` is that of its manifest or index elsewhere."""
        self._store.images.set_name(StoredName(reference.canonical(), image_id, digest))

    def name_platforms(
        self, reference: Reference, images: Sequence[OfPlatform], digest: str | None = None
    ) -> None:
        """Let a tag stand for several images, one of each platform; without a platform, the host's is meant, or the first."""
        canonical = reference.canonical()
        rows = tuple(
            StoredPlatform(canonical, str(each.platform), each.image, each.manifest)
            for each in images
        )
        self._store.images.set_name(
            StoredName(canonical, _preferred(rows, images[0].image), digest), rows
        )

    def add_platform(self, reference: Reference, image: OfPlatform, index: str) -> None:
        """Let a tag stand for one more image out of the index with that digest; images of other indexes go."""
        canonical = reference.canonical()
        with self._store.db.transaction():
            name = self._store.images.name(canonical)
            rows = {image.platform: image}
            if name is not None and name.digest == index:
                rows = {**rows, **self._known(name), **rows}
            self.name_platforms(reference, tuple(rows.values()), index)

    def is_all_of(self, reference: Reference, image_id: str) -> bool:
        """Tell whether the registry has under a name what an image was pulled with, no index that may hold others."""
        name = self._store.images.name(reference.canonical())
        image = self._store.images.get(image_id)
        if name is None or image is None or name.digest is None:
            return False
        return name.digest == image.manifest

    def pushed(self, reference: Reference, digest: str) -> None:
        """Remember the digest of what a registry has now under a name."""
        self._store.images.set_digest(reference.canonical(), digest)

    def platforms(self, name: StoredName) -> tuple[OfPlatform, ...]:
        """Return the images that a name stands for, one of each platform, sorted by it."""
        return tuple(self._known(name).values())

    def _known(self, name: StoredName) -> dict[Platform, OfPlatform]:
        found = [
            OfPlatform(
                platform=Platform.parse(each.platform), image=each.image, manifest=each.manifest
            )
            for each in self._store.images.platforms(name.reference)
        ]
        if not found:
            stored = self._store.images.get(name.image)
            manifest = None if stored is None else stored.manifest
            platform = self.open(name.image).platform
            found = [OfPlatform(platform=platform, image=name.image, manifest=manifest)]
        return {each.platform: each for each in found}

    def _size(self, config: ImageConfig) -> int:
        """Return the bytes of an image's layers, unpacked where known, as transferred otherwise."""
        total = 0
        for diff_id in config.diff_ids:
            total += self.layer_size(self._store.layers.get(diff_id) or pulled_layer(diff_id))
        return total

    def layer_size(self, layer: Layer) -> int:
        """Return the bytes of a layer, unpacked where known, as transferred otherwise."""
        if layer.size >= 0:
            return layer.size
        forms = self._store.layers.blobs(layer.diff_id)
        return forms[0].size if forms else 0


def _preferred(rows: Sequence[StoredPlatform], first: str) -> str:
    """Return the image that is meant where nobody asks for a platform: the host's, or the first."""
    host = Platform.host()
    ranked = [
        (rank, each.image)
        for each in rows
        if (rank := Platform.parse(each.platform).rank(host)) is not None
    ]
    return min(ranked)[1] if ranked else first


def created_seconds(text: str) -> float:
    """Return RFC 3339 text as seconds since the epoch; 0 for none, or for what cannot be read."""
    try:
        return datetime.datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0


def rfc3339(seconds: float) -> str:
    """Return seconds since the epoch as RFC 3339 text in UTC, to the microsecond."""
    moment = datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC)
    return (
        moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if seconds % 1
        else moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    )
