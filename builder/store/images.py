"""Images and their names: an image's id is the digest of its configuration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from builder.store.db import Database


class StoredImage(msgspec.Struct, frozen=True):
    """An image of the store; `manifest` is the digest of the manifest that it was pulled or last sent with.

    `created` is in seconds since the epoch, `size` the sum of its layers in bytes, as far as it was known when the
    image came; see `ImageIndex.sizes`.
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


class StoredPlatform(msgspec.Struct, frozen=True):
    """The image that a name stands for on a platform, as `os/architecture[/variant]`.

    `manifest` is the digest of the manifest that it came with, None for an image that was built here.
    """

    reference: str
    platform: str
    image: str
    manifest: str | None = None


class Claim(msgspec.Struct, frozen=True, array_like=True):
    """What a build claims of its image: the type of an in-toto predicate and its JSON, and in which form it goes with it."""

    type: str
    predicate: bytes
    form: str


class Origin(msgspec.Struct, frozen=True):
    """Where an image that was built here came from: what its last build says of it.

    `base` is the canonical reference of the image that it stands on, None without one; `digest` that of the manifest or
    index which this named, None where nobody knows.
    """

    base: str | None = None
    digest: str | None = None
    claims: tuple[Claim, ...] = ()


class ImageIndex:
    """What the database knows of images."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, image: StoredImage, layers: Sequence[str] = ()) -> None:
        """Make an image known, or replace what was known of it; `layers` are the diff ids of its layers."""
        self._db.execute(
            "INSERT INTO images (id, manifest, created, size, layers) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET size = excluded.size, layers = excluded.layers,"
            " manifest = coalesce(excluded.manifest, manifest)",
            (image.id, image.manifest, image.created, image.size, " ".join(layers)),
        )

    def sizes(self) -> dict[str, int]:
        """Return by id what the layers of images come to in bytes: unpacked where known, as transferred otherwise.

        Images whose layers the index does not know are left out: those without any, and those of old stores.
        """
        # The last form of a layer counts: the one that was pulled, if there is one.
        known: dict[object, int] = {}
        for layer, size in self._db.rows(
            "SELECT diff_id, size FROM blobs"
            " WHERE diff_id NOT IN (SELECT diff_id FROM layers WHERE size >= 0)"
            " ORDER BY pulled, compression DESC"
        ):
            known[layer] = int(str(size))
        for layer, size in self._db.rows("SELECT diff_id, size FROM layers WHERE size >= 0"):
            known[layer] = int(str(size))
        return {
            str(image): sum(known.get(each, 0) for each in str(layers).split(" "))
            for image, layers in self._db.rows("SELECT id, layers FROM images WHERE layers != ''")
        }

    def transferred(self) -> dict[str, int]:
        """Return by id what the layers of images take compressed, in bytes, of those of which all are known so."""
        known: dict[object, int] = {}
        for layer, size in self._db.rows(
            "SELECT diff_id, size FROM blobs WHERE compression != 'none'"
            " ORDER BY pulled, compression DESC"
        ):
            known[layer] = int(str(size))
        return {
            str(image): sum(known[each] for each in str(layers).split(" "))
            for image, layers in self._db.rows("SELECT id, layers FROM images WHERE layers != ''")
            if known.keys() >= set(str(layers).split(" "))
        }

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
        """Forget an image; its data stay until nothing refers to them and they are pruned.

        A name that stands for it on one platform keeps those of others; a name without any goes.
        """
        with self._db.transaction():
            self._db.execute("DELETE FROM platforms WHERE image = ?", (image_id,))
            self._db.execute(
                "UPDATE names SET image = coalesce("
                "(SELECT image FROM platforms WHERE platforms.reference = names.reference LIMIT 1),"
                " image) WHERE image = ?",
                (image_id,),
            )
            self._db.execute("DELETE FROM names WHERE image = ?", (image_id,))
            self._db.execute("DELETE FROM origins WHERE image = ?", (image_id,))
            self._db.execute("DELETE FROM images WHERE id = ?", (image_id,))

    def set_origin(self, image_id: str, origin: Origin) -> None:
        """Remember where an image came from; nothing is written if that is known."""
        if self.origin(image_id) != origin:
            self._db.execute(
                "INSERT OR REPLACE INTO origins (image, base, digest, statements) VALUES (?, ?, ?, ?)",
                (image_id, origin.base, origin.digest, msgspec.msgpack.encode(origin.claims)),
            )

    def origin(self, image_id: str) -> Origin | None:
        """Return where an image came from, None of one that was not built here."""
        row = self._db.row(
            "SELECT base, digest, statements FROM origins WHERE image = ?", (image_id,)
        )
        if row is None:
            return None
        claims = _CLAIMS.decode(row[2])  # type: ignore[arg-type]  # the schema says so
        return Origin(row[0], row[1], claims)  # type: ignore[arg-type]  # the schema says so

    def name(self, reference: str) -> StoredName | None:
        """Return what a canonical reference names."""
        row = self._db.row(
            "SELECT reference, image, digest FROM names WHERE reference = ?", (reference,)
        )
        return None if row is None else StoredName(*row)  # type: ignore[arg-type]  # the schema says so

    def names(self, image_id: str | None = None) -> tuple[StoredName, ...]:
        """Return all names, or those of one image, be it on one platform only; sorted."""
        where, parameters = "", tuple[str, ...]()
        if image_id is not None:
            where = (
                " WHERE image = ? OR reference IN (SELECT reference FROM platforms WHERE image = ?)"
            )
            parameters = (image_id, image_id)
        rows = self._db.rows(
            f"SELECT reference, image, digest FROM names{where} ORDER BY reference",  # noqa: S608  # no input
            parameters,
        )
        return tuple(StoredName(*row) for row in rows)  # type: ignore[arg-type]  # the schema says so

    def named(self) -> frozenset[str]:
        """Return the ids of all images that a name stands for, on whatever platform."""
        rows = self._db.rows("SELECT image FROM names UNION SELECT image FROM platforms")
        return frozenset(str(image) for (image,) in rows)

    def platforms(self, reference: str | None = None) -> tuple[StoredPlatform, ...]:
        """Return what a name, or every name, stands for by platform; nothing where it stands for one image."""
        where, parameters = (
            ("", ()) if reference is None else (" WHERE reference = ?", (reference,))
        )
        rows = self._db.rows(
            "SELECT reference, platform, image, manifest FROM platforms"  # noqa: S608  # no input
            f"{where} ORDER BY reference, platform",
            parameters,
        )
        return tuple(StoredPlatform(*row) for row in rows)  # type: ignore[arg-type]  # the schema says so

    def set_name(self, name: StoredName, platforms: Iterable[StoredPlatform] = ()) -> None:
        """Let a reference name an image, and others on other platforms, whatever it named before."""
        with self._db.transaction():
            self._db.execute("DELETE FROM platforms WHERE reference = ?", (name.reference,))
            self._db.execute(
                "INSERT OR REPLACE INTO names (reference, image, digest) VALUES (?, ?, ?)",
                (name.reference, name.image, name.digest),
            )
            for each in platforms:
                self._db.execute(
                    "INSERT OR REPLACE INTO platforms (reference, platform, image, manifest)"
                    " VALUES (?, ?, ?, ?)",
                    (name.reference, each.platform, each.image, each.manifest),
                )

    def set_digest(self, reference: str, digest: str | None) -> None:
        """Remember what a registry has under a name, None for nothing known; nothing happens if the name is gone."""
        self._db.execute("UPDATE names SET digest = ? WHERE reference = ?", (digest, reference))

    def remove_name(self, reference: str) -> None:
        """Forget a name."""
        with self._db.transaction():
            self._db.execute("DELETE FROM platforms WHERE reference = ?", (reference,))
            self._db.execute("DELETE FROM names WHERE reference = ?", (reference,))


_CLAIMS = msgspec.msgpack.Decoder(tuple[Claim, ...])
