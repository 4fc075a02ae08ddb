"""Removal of what nothing needs any more, or of what is least useful; running commands are not disturbed.

    1  decide, and let the index forget, in one transaction     nobody may begin to use anything meanwhile,
    2  move what nobody mentions any more out of the way        see `leases`
    3  remove that, at leisure

A killed process leaves files that nothing refers to, which the next collection removes, or what is in `active`, which
the next one that is alone sweeps.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from typing import cast

import msgspec

from builder.errors import LapstrakeError
from builder.oci.digest import Digest
from builder.oci.document import parse_config
from builder.store.forms import unique_name
from builder.store.images import StoredImage
from builder.store.needs import Needs, texts
from builder.store.ours import unused
from builder.store.pruning import Kind, Pruning
from builder.store.root import Store
from builder.store.sizes import Sizes, available
from builder.store.units import Unit, least_useful, units
from builder.store.usage import file_bytes

_AT_ONCE = 100
"""Trees that one job removes."""


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What was removed, or would be: images by id, numbers of other things, and the bytes that the disk got back."""

    images: tuple[str, ...]
    records: int
    layers: int
    cache_mounts: int
    downloads: int
    builds: int
    bytes: int


def collect(store: Store, pruning: Pruning, *, own: bool = False, dry: bool = False) -> Collected:
    """Remove what is asked for, if no image that stays and no running command needs it.

    `own` says whether what this process uses counts; with `dry` nothing is removed.

    Raises: StoreError: `store.busy`: somebody uses what there was no room to write down.
    """
    # Before anybody has to wait: what is of a size that is not known yet is walked through.
    sizes = Sizes(store) if dry or pruning.bounded else None
    with ExitStack() as stack:
        # Who has work in progress must not let go of the store, not even for a moment.
        alone = False if own else stack.enter_context(store.alone())
        collection = _Collection(store, pruning, alone=alone)
        with ExitStack() as gate:
            with store.db.transaction():
                held = gate.enter_context(store.leases.collecting(own=own))
                collection.choose(held, sizes)
                if dry:
                    return collection.expected(sizes or Sizes(store))
                collection.forget()
            collection.move()
        collection.remove()
    return collection.collected()


class _Collection:
    """One removal; its methods are called in the order in which they stand."""

    def __init__(self, store: Store, pruning: Pruning, *, alone: bool) -> None:
        self._store = store
        self._pruning = pruning
        self._alone = alone
        self._images: list[str] = []
        self._going: list[Unit] = []
        self._staying: list[Unit] = []
        self._records = self._layers = self._moved_mounts = 0
        self._trash: list[str] = []
        self._bytes = 0

    def choose(self, held: frozenset[str], sizes: Sizes | None) -> None:
        """Decide what goes."""
        store, pruning = self._store, self._pruning
        named = store.images.named()
        to_free: int | None = None
        if sizes is not None:
            to_free = pruning.to_free(sizes.total(), available(store.root))
        kept: set[str] = set()
        for image in store.images.all():
            goes = image.id not in held and pruning.takes_image(
                image.created, self._labels(image), named=image.id in named
            )
            goes = goes and to_free != 0
            if goes:
                self._images.append(image.id)
            else:
                kept.add(image.id)
        self._needs = Needs(store, frozenset(kept), held)
        candidates = [unit for unit in units(store, self._needs) if unit.place not in held]
        self._settle(candidates, [unit for unit in candidates if self._takes(unit)])
        if sizes is not None:
            going = sizes.measured(self._going)
            if to_free is not None:
                # What no step gave and no image has goes in any case.
                to_free -= sum(map(sizes.layer, self._doomed_layers() - self._of(Kind.STEPS)))
                going = least_useful(going, to_free)
            self._settle(candidates, going)

    def _settle(self, candidates: list[Unit], going: list[Unit]) -> None:
        chosen = {(unit.kind, unit.name) for unit in going}
        self._going = going
        self._staying = [unit for unit in candidates if (unit.kind, unit.name) not in chosen]

    def _labels(self, image: StoredImage) -> dict[str, str]:
        if not self._pruning.labels:
            return {}
        try:
            return dict(parse_config(self._store.blobs.read(Digest(image.id))).config.labels)
        except LapstrakeError:
            return {}

    def _takes(self, unit: Unit) -> bool:
        pruning = self._pruning
        if not pruning.takes_kind(unit.kind):
            return False
        if unit.kind is Kind.CONTEXTS and pruning.kinds is None and not pruning.narrowed:
            # What is known of a context's files is of use while copies are recorded.
            return not self._needs.records
        return pruning.until is None or unit.used < pruning.until

    def expected(self, sizes: Sizes) -> Collected:
        """Say what would be removed."""
        layers = self._doomed_layers()
        gone = sum(sizes.layer(diff_id) for diff_id in layers)
        gone += sum(unit.bytes for unit in self._going if unit.kind is not Kind.STEPS)
        gone += sizes.loose(self._needs.blobs | self._needs.layers)
        self._layers, self._bytes = len(layers), gone
        doomed = self._of(Kind.STEPS)
        self._records = sum(
            diff_id in doomed for (diff_id,) in texts(self._store, "SELECT diff_id FROM records")
        )
        self._moved_mounts = len(self._of(Kind.CACHE_MOUNTS))
        return self.collected()

    def forget(self) -> None:
        """Let the index forget it."""
        db = self._store.db
        for image_id in self._images:
            self._store.images.remove(image_id)
        doomed = self._of(Kind.STEPS)
        for key, base, diff_id in texts(self._store, "SELECT key, base, diff_id FROM records"):
            if diff_id in doomed:
                db.execute("DELETE FROM records WHERE key = ? AND base = ?", (key, base))
                self._records += 1
        if not any(unit.kind is Kind.STEPS for unit in self._staying):
            self._forget_selections()
        layers = self._doomed_layers()
        for table in ("layers", "directories", "blobs"):
            for diff_id in layers:
                db.execute(f"DELETE FROM {table} WHERE diff_id = ?", (diff_id,))  # noqa: S608  no input
        self._layers = len(layers)

    def _forget_selections(self) -> None:
        for (state,) in texts(self._store, "SELECT DISTINCT state FROM selections"):
            if state not in self._needs.selections:
                self._store.db.execute("DELETE FROM selections WHERE state = ?", (state,))
        # Dockerfiles are quickly read again, and nothing says which of them still exist.
        self._store.db.execute("DELETE FROM parses")

    def _doomed_layers(self) -> set[str]:
        """Return the layers that neither images, nor running commands, nor steps that stay have need of."""
        if self._pruning.kinds is not None and Kind.STEPS not in self._pruning.kinds:
            return set()
        found: set[str] = set()
        for table in ("layers", "directories", "blobs"):
            statement = f"SELECT DISTINCT diff_id FROM {table}"  # noqa: S608  no input
            found.update(diff_id for (diff_id,) in texts(self._store, statement))
        given = {diff_id for (diff_id,) in texts(self._store, "SELECT diff_id FROM records")}
        given |= {unit.name for unit in self._staying if unit.kind is Kind.STEPS}
        return found - self._needs.layers - (given - self._of(Kind.STEPS))

    def _of(self, kind: Kind) -> set[str]:
        return {unit.name for unit in self._going if unit.kind is kind}

    def move(self) -> None:
        """Take out of the way what the index does not mention, and what else goes."""
        store = self._store
        self._bytes += store.blobs.sweep(parts=True)
        known = self._needs.blobs | {name for (name,) in texts(store, "SELECT digest FROM blobs")}
        for digest in store.blobs.digests():
            if digest not in known:
                self._bytes += file_bytes(store.blobs.path(digest))
                store.blobs.remove(digest)
        store.homes.forget_others(frozenset(known))
        lists = store.layers.all_entries() | {name.partition(":")[2] for name in self._needs.layers}
        self._unlink(unused(store.root, "entries", lists))
        self._unlink(self._of(Kind.CONTEXTS) | self._of(Kind.TRACES))
        if self._alone:
            contexts = unused(store.root, "contexts", ())
            self._unlink(path for path in contexts if "." in os.path.basename(path))
            self._trash += unused(store.root, "active", ())
            mine = {os.path.basename(store.snapshots.scratch())}
            self._trash += unused(store.root, "scratch", mine)
        directories = {name for (name,) in texts(store, "SELECT name FROM directories")}
        for path in unused(store.root, "layers", directories):
            self._discard(path)
        for path in self._of(Kind.DOWNLOADS) | self._of(Kind.CHECKOUTS):
            self._discard(path)
        for path in self._of(Kind.TREES):
            self._discard(path, lock=path)
        for path in self._of(Kind.CACHE_MOUNTS):
            self._moved_mounts += self._discard(path, lock=f"{path}/lock")
        for build in self._of(Kind.BUILDS):
            self._bytes += store.builds.remove(build)

    def _unlink(self, paths: Iterable[str]) -> None:
        for path in paths:
            with suppress(FileNotFoundError):
                self._bytes += file_bytes(path)
                os.unlink(path)

    def _discard(self, path: str, *, lock: str = "") -> bool:
        """Move a directory to where what is left is swept; not one whose lock somebody has."""
        held = -1
        try:
            if lock:
                flags = os.O_RDONLY | os.O_CLOEXEC
                held = os.open(lock, flags if os.path.isdir(lock) else flags | os.O_CREAT, 0o600)
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            target = f"{self._store.root}/active/{unique_name()}"
            os.rename(path, target)
        except (FileNotFoundError, BlockingIOError):
            return False
        finally:
            if held >= 0:
                os.close(held)
        self._trash.append(target)
        return True

    def remove(self) -> None:
        """Remove what was moved, and count its bytes."""
        for start in range(0, len(self._trash), _AT_ONCE):
            found = self._store.jobs.call(
                "builder.store.usage:remove_trees",
                {"paths": self._trash[start : start + _AT_ONCE]},
            )
            self._bytes += cast("dict[str, int]", found)["bytes"]

    def collected(self) -> Collected:
        """Say what was removed."""
        return Collected(
            images=tuple(self._images),
            records=self._records,
            layers=self._layers,
            cache_mounts=self._moved_mounts,
            downloads=len(self._of(Kind.DOWNLOADS) | self._of(Kind.CHECKOUTS)),
            builds=len(self._of(Kind.BUILDS)),
            bytes=self._bytes,
        )
