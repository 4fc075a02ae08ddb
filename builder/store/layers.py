"""Layers and their forms: which layers are known, and where each form of them lies.

    layers/<diff id>-<n>/fs      directory form: immutable, a lower directory of an overlay
    entries/<diff id>            the entry list, from which every form can be derived
    blobs/sha256/<digest>        tar (its digest is the diff id), gzip and zstd forms

A directory form lacks the attributes of parents that its layer does not list; it took them from the chain
below. It is therefore recorded with the state it was made for ("" when it lists all of them).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import msgspec

from builder.graph.keys import state_id
from builder.store.db import Database


class Layer(msgspec.Struct, frozen=True):
    """A layer that the store knows.

    `diff_id` is `sha256:…` of its tar; `content_id` identifies it for the cache: derived from the entries
    without times where it was built here, equal to the diff id where it was pulled. `size` is that of the tar
    in bytes, -1 while unknown (pulled, not unpacked yet); `entries` counts them, -1 likewise. `created` is in
    seconds since the epoch.
    """

    diff_id: str
    content_id: str
    size: int
    entries: int
    created: float

    @property
    def empty(self) -> bool:
        """Whether it is known to change nothing, so that it need not be mounted."""
        return self.entries == 0


class State(msgspec.Struct, frozen=True):
    """A file system state: layers, bottom first."""

    layers: tuple[Layer, ...] = ()

    @property
    def id(self) -> str:
        """The id, from the layers' contents; "" is the empty state."""
        return state_id(tuple(layer.content_id for layer in self.layers if not layer.empty))

    def with_layer(self, layer: Layer) -> State:
        """Return the state with one layer on top."""
        return State((*self.layers, layer))


class BlobForm(msgspec.Struct, frozen=True):
    """A form of a layer that is a blob; `compression` is `none`, `gzip` or `zstd`.

    `recipe` tells how it was compressed where that is not the usual way, whose bytes are others.
    """

    digest: str
    size: int
    media_type: str
    compression: str
    pulled: bool
    recipe: str = ""

    @property
    def variant(self) -> str:
        """What no two blobs of a layer share: the compression, and `:` with the recipe if there is one."""
        return f"{self.compression}:{self.recipe}" if self.recipe else self.compression


class LayerIndex:
    """What the database knows of layers; every method is one short transaction.

    A layer that is asked for or added is in use from then on: `hold` is told.
    """

    def __init__(
        self, db: Database, root: str, *, hold: Callable[[str], None] | None = None
    ) -> None:
        self._db = db
        self._root = root
        self.hold = hold or _nothing_held
        """Keep a layer, by its diff id, from being removed."""
        self._boot = ""

    @property
    def boot(self) -> str:
        """The id of this boot of the machine: forms made in another one may not have reached the disk."""
        if not self._boot:
            try:
                with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
                    self._boot = file.read().strip()
            except OSError:
                self._boot = "unknown"
        return self._boot

    def transaction(self) -> AbstractContextManager[None]:
        """Commit all that is recorded within at once, or nothing of it; other writers wait."""
        return self._db.transaction()

    def entries_path(self, diff_id: str) -> str:
        """Return the host path of a layer's entry list, whether it exists or not."""
        return f"{self._root}/entries/{diff_id.partition(':')[2]}"

    def get(self, diff_id: str) -> Layer | None:
        """Return the layer with this diff id, if known."""
        self.hold(diff_id)
        row = self._db.row(
            "SELECT diff_id, content_id, size, entries, created FROM layers WHERE diff_id = ?",
            (diff_id,),
        )
        return None if row is None else Layer(*row)  # type: ignore[arg-type]  # the schema says so

    def by_content(self, content_id: str) -> tuple[Layer, ...]:
        """Return the layers with these contents, whatever their times, the oldest first."""
        for layer in self._by_content(content_id):
            self.hold(layer.diff_id)
        return self._by_content(content_id)  # what went until it was held is gone from the index

    def _by_content(self, content_id: str) -> tuple[Layer, ...]:
        rows = self._db.rows(
            "SELECT diff_id, content_id, size, entries, created FROM layers"
            " WHERE content_id = ? ORDER BY created",
            (content_id,),
        )
        return tuple(Layer(*row) for row in rows)  # type: ignore[arg-type]  # the schema says so

    def add(self, layer: Layer) -> None:
        """Make a layer known, or fill in what was unknown of it."""
        self.hold(layer.diff_id)
        self._db.execute(
            "INSERT INTO layers (diff_id, content_id, size, entries, created, boot)"
            " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (diff_id) DO UPDATE SET"
            " size = excluded.size, entries = excluded.entries"
            " WHERE excluded.entries >= 0",
            (layer.diff_id, layer.content_id, layer.size, layer.entries, layer.created, self.boot),
        )

    def directory(self, diff_id: str, base: str) -> str | None:
        """Return the host path of the directory form made for `base` (or for any), if it is there."""
        row = self._db.row(
            "SELECT name, boot FROM directories WHERE diff_id = ? AND base IN (?, '')",
            (diff_id, base),
        )
        if row is None:
            return None
        path = f"{self._root}/layers/{row[0]}/fs"
        return path if os.path.isdir(path) else None

    def directory_names(self, diff_id: str) -> tuple[str, ...]:
        """Return the names of all directory forms of a layer, whatever they were made for."""
        rows = self._db.rows("SELECT DISTINCT name FROM directories WHERE diff_id = ?", (diff_id,))
        return tuple(str(name) for (name,) in rows)

    def all_directories(self) -> frozenset[str]:
        """Return the names of the directory forms of all layers."""
        return frozenset(str(name) for (name,) in self._db.rows("SELECT name FROM directories"))

    def all_entries(self) -> frozenset[str]:
        """Return the names of the entry lists of all layers."""
        rows = self._db.rows("SELECT diff_id FROM layers")
        return frozenset(str(diff_id).partition(":")[2] for (diff_id,) in rows)

    def directory_boot(self, diff_id: str, base: str) -> str:
        """Return the boot in which the directory form was last known to be whole."""
        row = self._db.row(
            "SELECT boot FROM directories WHERE diff_id = ? AND base IN (?, '')", (diff_id, base)
        )
        return "" if row is None else str(row[0])

    def add_directory(self, diff_id: str, base: str, name: str) -> None:
        """Record that `layers/<name>/fs` is the directory form of a layer."""
        self._db.execute(
            "INSERT OR REPLACE INTO directories (diff_id, base, name, boot) VALUES (?, ?, ?, ?)",
            (diff_id, base, name, self.boot),
        )

    def trust_directory(self, name: str) -> None:
        """Record that a directory form has been found whole in this boot."""
        self._db.execute("UPDATE directories SET boot = ? WHERE name = ?", (self.boot, name))

    def drop_directory(self, name: str) -> None:
        """Forget a directory form that is damaged or gone."""
        self._db.execute("DELETE FROM directories WHERE name = ?", (name,))

    def blobs(self, diff_id: str) -> tuple[BlobForm, ...]:
        """Return the blob forms of a layer, the pulled one first."""
        rows = self._db.rows(
            "SELECT digest, size, media_type, compression, pulled FROM blobs"
            " WHERE diff_id = ? ORDER BY pulled DESC, compression",
            (diff_id,),
        )
        return tuple(
            BlobForm(str(digest), int(str(size)), str(media), compression, bool(pulled), recipe)
            for digest, size, media, variant, pulled in rows
            for compression, _, recipe in (str(variant).partition(":"),)
        )

    def add_blob(self, diff_id: str, form: BlobForm) -> None:
        """Record a blob form; a pulled one is never replaced."""
        self._db.execute(
            "INSERT INTO blobs (diff_id, compression, digest, size, media_type, pulled)"
            " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (diff_id, compression) DO UPDATE SET"
            " digest = excluded.digest, size = excluded.size, media_type = excluded.media_type,"
            " pulled = excluded.pulled WHERE pulled = 0",
            (diff_id, form.variant, form.digest, form.size, form.media_type, form.pulled),
        )

    def drop_blob(self, diff_id: str, variant: str) -> None:
        """Forget a blob form that is damaged or gone."""
        self._db.execute(
            "DELETE FROM blobs WHERE diff_id = ? AND compression = ?", (diff_id, variant)
        )


def _nothing_held(_diff_id: str) -> None:
    """Stand for leases where there are none."""


def pulled_layer(diff_id: str) -> Layer:
    """Return a layer known only by its diff id, as an image's configuration lists it."""
    return Layer(diff_id, diff_id.partition(":")[2], -1, -1, time.time())
