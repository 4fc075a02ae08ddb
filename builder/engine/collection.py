"""The images of a store as people ask for them: what there is, what is known of it, in and out of archives."""

from __future__ import annotations

from typing import BinaryIO

from builder.engine.catalogue import Catalogue
from builder.engine.requests import HistoryRow, ImageFilter, ImageRow, RemoveResult, TreeRow
from builder.engine.upkeep import Upkeep
from builder.errors import UsageError
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.settings import Settings
from builder.solve.translate import Behind
from builder.store.root import Store


class Collection(Upkeep):
    """What an engine does with the images that it has."""

    def __init__(self, settings: Settings, store: Store, behind: Behind) -> None:
        super().__init__(store, behind)
        self._settings = settings
        self._catalogue = Catalogue(store)

    def _cancelled(self) -> bool:
        return self._behind.cancellation.cancelled

    def images(self, wanted: ImageFilter = ImageFilter()) -> tuple[ImageRow, ...]:  # noqa: B008  frozen
        """Return the images that pass a filter, the newest first; see `listing.images`."""
        from builder.engine import listing

        return listing.images(self._store, wanted)

    def image_tree(self, wanted: ImageFilter = ImageFilter()) -> tuple[TreeRow, ...]:  # noqa: B008  frozen
        """Return the images that pass a filter with all their platforms; see `listing.tree`."""
        from builder.engine import listing

        return listing.tree(self._store, wanted)

    def tag(self, source: str, target: str) -> None:
        """Give an image another name.

        Raises: ImageError: there is no such image. ReferenceInvalid: the name cannot be one.
        """
        # In one transaction, or somebody may remove the image between the two.
        with self._store.db.transaction():
            image_id, name = self._catalogue.find(source)
            if name is None:
                self._catalogue.name(tag_of(target), image_id)
            else:
                self._catalogue.name_platforms(
                    tag_of(target), self._catalogue.platforms(name), name.digest
                )

    def remove_images(
        self, names: tuple[str, ...], *, force: bool = False, platforms: tuple[str, ...] = ()
    ) -> RemoveResult:
        """Take names away, and images that have none left; see `shelf.remove`."""
        from builder.engine import shelf

        wanted = tuple(map(Platform.parse, platforms))
        return shelf.remove(self._store, names, force=force, platforms=wanted)

    def remove_all_images(self) -> RemoveResult:
        """Remove all images with all their names."""
        from builder.engine import shelf

        return shelf.remove_all(self._store)

    def inspect(self, name: str, platform: str | None = None) -> dict[str, object]:
        """Return an image in the shape of `docker inspect`; with a platform, the one for that."""
        from builder.engine import shelf

        return shelf.inspect(self._store, name, platform_of(platform))

    def history(self, name: str, platform: str | None = None) -> tuple[HistoryRow, ...]:
        """Return an image's history, the newest line first; with a platform, that of the image for it."""
        from builder.engine import shelf

        return shelf.history(self._store, name, platform_of(platform))

    def save(self, names: tuple[str, ...], stream: BinaryIO, platform: str | None = None) -> None:
        """Write images, of one platform if asked for, as an archive that Docker loads; see `archives.save`."""
        from builder.engine import archives

        archives.save(
            self._store, names, stream, platform=platform_of(platform), cancelled=self._cancelled
        )

    def save_directory(
        self, names: tuple[str, ...], dest: str, platform: str | None = None
    ) -> None:
        """Write images as an OCI layout in a directory of the host; see `archives.save_directory`."""
        from builder.engine import archives

        archives.save_directory(
            self._store, names, dest, platform=platform_of(platform), cancelled=self._cancelled
        )

    def load(self, stream: BinaryIO, platform: str | None = None) -> tuple[str, ...]:
        """Take the images of an archive, of all platforms or of one; return their names, or ids where they have none."""
        from builder.engine import archives

        return archives.load(
            self._store, stream, platform=platform_of(platform), cancelled=self._cancelled
        )

    def import_(
        self,
        stream: BinaryIO,
        reference: str | None,
        changes: tuple[str, ...] = (),
        message: str = "",
        *,
        platform: str | None = None,
    ) -> str:
        """Make an image of one layer from a tar of a root file system; return its id."""
        from builder.engine import archives

        return archives.import_tree(
            self._store,
            stream,
            reference,
            changes,
            message,
            platform=platform_of(platform),
            cancelled=self._cancelled,
        )

    def import_url(
        self,
        url: str,
        reference: str | None,
        changes: tuple[str, ...] = (),
        message: str = "",
        *,
        platform: str | None = None,
    ) -> str:
        """Make an image of a tar at an address; see `import_`.

        Raises: SourceError: it cannot be fetched.
        """
        from builder.engine import archives
        from builder.engine.remotes import RemoteSources, redacted
        from builder.graph.operations import HttpSource

        op = HttpSource(url=url, name="rootfs.tar")
        fetched = RemoteSources(self._settings, self._store, self._behind).fetch_silently(op, url)
        with open(f"{fetched.root}/{op.name}", "rb") as stream:
            return archives.import_tree(
                self._store,
                stream,
                reference,
                changes,
                message,
                platform=platform_of(platform),
                origin=redacted(url.partition("#")[0].partition("?")[0]),  # a query may be a secret
                cancelled=self._cancelled,
            )

    def names_of(self, repository: str) -> tuple[str, ...]:
        """Return all names of a repository that there are here."""
        return self._catalogue.tags(repository)


def platform_of(text: str | None) -> Platform | None:
    """Read a platform, if one was given."""
    return Platform.parse(text) if text else None


def tag_of(text: str) -> Reference:
    """Read a name that an image can be given.

    Raises: ReferenceInvalid. UsageError: it names a digest.
    """
    reference = Reference.parse(text)
    if reference.digest is not None:
        raise UsageError(
            f"`{text}` names a digest, which cannot be given to an image",
            hint="use a tag: `-t NAME:TAG`",
        )
    return reference
