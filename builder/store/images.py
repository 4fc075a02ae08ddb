"""Images and their names: an image's id is the digest of its configuration."""

from __future__ import annotations

import msgspec

from builder.store.db import Database


class StoredImage(msgspec.Struct, frozen=True):
    """An image of the store; `manifest` is the digest of the manifest that it was pulled or last sent with.

    `created` is in seconds since the epoch, `size` the sum of its layers in bytes.
    """

    id: str
    manifest: str | None
    created: float
    size: int


class StoredName(msgspec.Struct, frozen=True):
    """A name of an image: a canonical reference with its tag; `digest` is of the manifest or index pulled."""

    reference: str
    image: str
    digest: str | None


class ImageIndex:
    """What the database knows of images."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, image: StoredImage) -> None:
        """Make an image known, or replace what was known of it."""
        self._db.execute(
            "INSERT INTO images (id, manifest, created, size) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET size = excluded.size,"
            " manifest = coalesce(excluded.manifest, manifest)",
            (image.id, image.manifest, image.created, image.size),
        )

    def get(self, image_id: str) -> StoredImage | None:
        """Return the image with this id."""
        row = self._db.row(
            "SELECT id, manifest, created, size FROM images WHERE id = ?", (image_id,)
        )
        return None if row is None else StoredImage(*row)  # type: ignore[arg-type]  # the schema says so

    def starting_with(self, prefix: str) -> tuple[StoredImage, ...]:
        """Return the images whose id's hex digits begin with `prefix` (lower-case hex)."""
        rows = self._db.rows(
            "SELECT id, manifest, created, size FROM images WHERE id >= ? AND id < ?",
            (f"sha256:{prefix}", f"sha256:{prefix}g"),
        )
        return tuple(StoredImage(*row) for row in rows)  # type: ignore[arg-type]  # the schema says so

    def all(self) -> tuple[StoredImage, ...]:
        """Return every image, the newest first."""
        rows = self._db.rows(
            "SELECT id, manifest, created, size FROM images ORDER BY created DESC, id"
        )
        return tuple(StoredImage(*row) for row in rows)  # type: ignore[arg-type]  # the schema says so

    def remove(self, image_id: str) -> None:
        """Forget an image; its data stay until nothing refers to them and they are pruned."""
        with self._db.transaction():
            self._db.execute("DELETE FROM names WHERE image = ?", (image_id,))
            self._db.execute("DELETE FROM images WHERE id = ?", (image_id,))

    def name(self, reference: str) -> StoredName | None:
        """Return what a canonical reference names."""
        row = self._db.row(
            "SELECT reference, image, digest FROM names WHERE reference = ?", (reference,)
        )
        return None if row is None else StoredName(*row)  # type: ignore[arg-type]  # the schema says so

    def names(self, image_id: str | None = None) -> tuple[StoredName, ...]:
        """Return the names of one image, or all names, sorted."""
        where, parameters = ("", ()) if image_id is None else (" WHERE image = ?", (image_id,))
        rows = self._db.rows(
            f"SELECT reference, image, digest FROM names{where} ORDER BY reference",  # noqa: S608  # no input
            parameters,
        )
        return tuple(StoredName(*row) for row in rows)  # type: ignore[arg-type]  # the schema says so

    def set_name(self, name: StoredName) -> None:
        """Let a reference name an image, whatever it named before."""
        self._db.execute(
            "INSERT OR REPLACE INTO names (reference, image, digest) VALUES (?, ?, ?)",
            (name.reference, name.image, name.digest),
        )

    def remove_name(self, reference: str) -> None:
        """Forget a name."""
        self._db.execute("DELETE FROM names WHERE reference = ?", (reference,))
