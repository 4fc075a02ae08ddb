"""What the parts of a store take on the disk, measured behind the launcher; of what never changes, only once."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from contextlib import suppress
from typing import TYPE_CHECKING, cast

import msgspec

from builder.errors import StoreError
from builder.store.pruning import Kind
from builder.store.units import Unit
from builder.store.usage import file_bytes

if TYPE_CHECKING:
    from builder.store.root import Store

_AT_ONCE = 500
"""Trees that one job measures."""


class Sizes:
    """The sizes of one store, in bytes of blocks, as they are when this is made."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.directories = _directories(store)
        """By the name of a layer's directory form."""
        self.blobs = {
            str(each): file_bytes(store.blobs.path(each)) for each in store.blobs.digests()
        }
        self.entries = _files(f"{store.root}/entries")
        self._of_layer: dict[str, int] | None = None

    def layer(self, diff_id: str) -> int:
        """Return what the forms of a layer take, its entry list included."""
        return self._forms().get(diff_id, 0) + self.entries.get(diff_id.partition(":")[2], 0)

    def layers(self) -> frozenset[str]:
        """Return the diff ids of all layers that there are in any form."""
        return frozenset(self._forms())

    def loose(self, needed: Set[str]) -> int:
        """Return what blobs take that are no layer's and not `needed`, and entry lists of no layer."""
        rows = self._store.db.rows("SELECT digest FROM blobs")
        known = {str(digest) for (digest,) in rows} | needed
        lists = self._store.layers.all_entries() | {each.partition(":")[2] for each in needed}
        bytes_ = sum(count for digest, count in self.blobs.items() if digest not in known)
        return bytes_ + sum(count for name, count in self.entries.items() if name not in lists)

    def _forms(self) -> dict[str, int]:
        if self._of_layer is None:
            found: dict[str, int] = defaultdict(int)
            rows = self._store.db.rows("SELECT diff_id, digest FROM blobs")
            for layer, digest in rows:
                found[str(layer)] += self.blobs.get(str(digest), 0)
            for layer, name in self._store.db.rows(
                "SELECT DISTINCT diff_id, name FROM directories"
            ):
                found[str(layer)] += self.directories.get(str(name), 0)
            self._of_layer = found
        return self._of_layer

    def measured(self, units: Iterable[Unit]) -> list[Unit]:
        """Return the pieces with their sizes."""
        waiting = list(units)
        paths = [unit.name for unit in waiting if unit.kind not in (Kind.STEPS, Kind.BUILDS)]
        trees = dict(zip(paths, measure(self._store, paths), strict=True))
        found = []
        for unit in waiting:
            match unit.kind:
                case Kind.STEPS:
                    count = self.layer(unit.name)
                case Kind.BUILDS:
                    count = self._store.builds.size(unit.name)
                case _:
                    count = trees[unit.name]
            found.append(msgspec.structs.replace(unit, bytes=count))
        return found

    def total(self) -> int:
        """Return what the store takes, without what is being written."""
        rooms = [f"{self._store.root}/{room}" for room in ("mounts", "trees", "downloads")]
        whole = sum(measure(self._store, rooms)) + sum(self.directories.values())
        whole += sum(self.blobs.values()) + sum(self.entries.values())
        for room in ("contexts", "builds", "traces"):
            whole += sum(_files(f"{self._store.root}/{room}").values())
        others = (entry.path for entry in os.scandir(self._store.root))
        return whole + sum(map(file_bytes, others)) + file_bytes(self._store.root)


def measure(store: Store, paths: Sequence[str]) -> list[int]:
    """Return what each of some trees takes; 0 where there is none. Those of others are measured as well."""
    found: list[int] = []
    there = [path for path in paths if os.path.lexists(path)]
    sizes: dict[str, int] = {}
    for start in range(0, len(there), _AT_ONCE):
        part = there[start : start + _AT_ONCE]
        answer = store.jobs.call("builder.store.usage:disk_usage", {"paths": part})
        sizes.update(zip(part, cast("dict[str, list[int]]", answer)["bytes"], strict=True))
    found.extend(sizes.get(path, 0) for path in paths)
    return found


def _directories(store: Store) -> dict[str, int]:
    """Return the sizes of directory forms; those not measured before are, and remembered."""
    rows = store.db.rows("SELECT name, bytes FROM directories")
    found = {str(name): cast("int", count) for name, count in rows}
    new = sorted(name for name, count in found.items() if count < 0)
    if not new:
        return found
    counts = measure(store, [f"{store.root}/layers/{name}" for name in new])
    found.update(zip(new, counts, strict=True))
    with suppress(StoreError), store.db.transaction():  # on a full disk it is measured again
        for name, count in zip(new, counts, strict=True):
            store.db.execute("UPDATE directories SET bytes = ? WHERE name = ?", (count, name))
    return found


def _files(room: str) -> dict[str, int]:
    """Return the sizes of the files of a room."""
    try:
        return {name: file_bytes(f"{room}/{name}") for name in os.listdir(room)}
    except FileNotFoundError:
        return {}


def available(root: str) -> int:
    """Return the bytes that are free on the file system of a store."""
    status = os.statvfs(root)
    return status.f_bavail * status.f_frsize
