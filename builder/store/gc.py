"""Removal of what nothing needs any more.

The index goes first, in one transaction; then every file that it does not mention. A killed process leaves
files that nothing refers to, which the next collection removes.
"""

from __future__ import annotations

import os

import msgspec

from builder.store.needs import Needs, texts
from builder.store.ours import unused
from builder.store.root import Store
from builder.store.usage import file_bytes


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """How many records, layers and cache mounts were removed, and the bytes that the disk got back."""

    records: int
    layers: int
    cache_mounts: int
    bytes: int


def collect(store: Store, kept: frozenset[str]) -> Collected:
    """Remove all images but those with the ids in `kept`, and whatever these do not need.

    The caller holds the store alone.
    """
    needs = Needs(store, kept)
    with store.db.transaction():
        for image in store.images.all():
            if image.id not in kept:
                store.images.remove(image.id)
        records = _forget_records(store, needs)
        layers = _forget_layers(store, needs)
    cache_mounts = len(store.cache_mounts.all())
    removed = _Sweep(store, needs).run()
    return Collected(records=records, layers=layers, cache_mounts=cache_mounts, bytes=removed)


def _forget_records(store: Store, needs: Needs) -> int:
    forgotten = 0
    for key, base in texts(store, "SELECT key, base FROM records"):
        if (key, base) not in needs.records:
            store.db.execute("DELETE FROM records WHERE key = ? AND base = ?", (key, base))
            forgotten += 1
    for (state,) in texts(store, "SELECT DISTINCT state FROM selections"):
        if state not in needs.selections:
            store.db.execute("DELETE FROM selections WHERE state = ?", (state,))
    # Dockerfiles are quickly read again, and nothing says which of them still exist.
    store.db.execute("DELETE FROM parses")
    return forgotten


def _forget_layers(store: Store, needs: Needs) -> int:
    forgotten: set[str] = set()
    for table in ("layers", "directories", "blobs"):
        for (diff_id,) in texts(store, f"SELECT DISTINCT diff_id FROM {table}"):  # noqa: S608  no input
            if diff_id not in needs.layers:
                store.db.execute(f"DELETE FROM {table} WHERE diff_id = ?", (diff_id,))  # noqa: S608  no input
                forgotten.add(diff_id)
    return len(forgotten)


class _Sweep:
    """Removes the files that the index does not mention, and counts their bytes."""

    def __init__(self, store: Store, needs: Needs) -> None:
        self._store = store
        self._needs = needs
        self._bytes = 0

    def run(self) -> int:
        """Sweep all rooms of the store; return the bytes given back."""
        store, needs = self._store, self._needs
        store.blobs.sweep()
        for digest in store.blobs.digests():
            if digest not in needs.blobs:
                self._bytes += file_bytes(store.blobs.path(digest))
                store.blobs.remove(digest)
        self._files("entries", {diff_id.partition(":")[2] for diff_id in needs.layers})
        # What is known of a context's files is of use while copies are recorded; names with a dot are
        # unfinished.
        contexts = os.listdir(f"{store.root}/contexts") if needs.records else []
        self._files("contexts", {name for name in contexts if "." not in name})
        self._trees("layers", {name for (name,) in texts(store, "SELECT name FROM directories")})
        self._trees("trees", set())
        self._trees("active", set())
        if os.path.isdir(f"{store.root}/downloads"):  # made by the first build that fetches
            self._trees("downloads", set())
        if os.path.isdir(f"{self._store.root}/mounts"):
            self._trees("mounts", set())
        self._trees("scratch", {os.path.basename(store.snapshots.scratch())})
        return self._bytes

    def _files(self, room: str, kept: set[str]) -> None:
        for path in unused(self._store.root, room, kept):
            self._bytes += file_bytes(path)
            os.unlink(path)

    def _trees(self, room: str, kept: set[str]) -> None:
        for path in unused(self._store.root, room, kept):
            found = self._store.jobs.call("builder.store.usage:disk_usage", {"paths": (path,)})
            self._store.jobs.call("builder.layer.jobs:remove_tree", {"path": path})
            self._bytes += msgspec.convert(found, dict[str, int])["bytes"]
