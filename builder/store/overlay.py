"""States as stacks of directories, one per layer, with a writable one on top: what overlayfs shows as one.

layers/<name>/fs     the directory form of a layer: an upper directory after commit, by one rename of <name>, never
                     of `fs`, whose owner and mode belong to the image
active/<name>/fs     the upper directory of a running step
"""

from __future__ import annotations

import os
import time
from _thread import LockType, allocate_lock  # `threading` is on no cached build's way
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from builder.errors import LapstrakeError, StoreError
from builder.oci.digest import Digest
from builder.store.forms import LayerForms, made_layer, means_damage, scan_of, unique_name
from builder.store.layers import BlobForm, Layer, State
from builder.store.snapshotter import FILE_CLOCK_GRAIN, ActiveSnapshot
from runtime.spec import Rootfs

if TYPE_CHECKING:
    from builder.layer.scanned import LayerScan

BOTTOM = "-"
"""What the directory form of a bottom layer is recorded for, where it took attributes from nobody."""


class OverlaySnapshotter:
    """Makes directory forms, prepares writable ones and commits them."""

    layers_apart = True

    def __init__(self, forms: LayerForms) -> None:
        self._forms = forms
        self._layers = forms.layers
        self._jobs = forms.jobs
        self._root = forms.root
        self._making: dict[str, LockType] = {}
        self._made: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._lock = allocate_lock()

    def directories(self, state: State) -> tuple[str, ...]:
        """Return the directory forms of a state, the topmost first; empty layers are left out.

        Idempotent; forms that are missing are derived from a blob of the layer.

        Raises: StoreError: `store.corrupt`: no form of a layer is left, or none agrees with its diff id.
            LayerError: a layer came like this, and cannot be unpacked.
        """
        stack = tuple(layer.diff_id for layer in state.layers)
        if stack not in self._made:
            self._made[stack] = self._make(state)
        return self._made[stack]

    def _make(self, state: State) -> tuple[str, ...]:
        paths: list[str] = []
        below = State()
        for layer in state.layers:
            known = self._layers.get(layer.diff_id) or layer
            if not known.empty:
                paths.insert(0, self._directory(known, below, tuple(paths)))
            below = below.with_layer(layer)
        # A layer may occur twice, which overlayfs refuses; what its lower copy holds is hidden anyway.
        return tuple(dict.fromkeys(paths))

    def _directory(self, layer: Layer, below: State, lowers: tuple[str, ...]) -> str:
        base = below.id or BOTTOM
        with self._lock:
            making = self._making.setdefault(layer.diff_id, allocate_lock())
        with making:
            path = self._layers.directory(layer.diff_id, base)
            if path is not None and self._whole(layer, base, path):
                return path
            return self._derive(layer, base, lowers)

    def _whole(self, layer: Layer, base: str, path: str) -> bool:
        """Tell whether a directory form can be trusted; one from an earlier boot is read again once."""
        if self._layers.directory_boot(layer.diff_id, base) == self._layers.boot:
            return True
        entries = self._layers.entries_path(layer.diff_id)
        name = os.path.basename(os.path.dirname(path))
        try:
            self._jobs.call(
                "builder.layer.jobs:verify_directory", {"root": path, "entries_path": entries}
            )
        except LapstrakeError as error:
            if not means_damage(error):
                raise
            self._layers.drop_directory(name)
            return False
        self._layers.trust_directory(name)
        return True

    def _derive(self, layer: Layer, base: str, lowers: tuple[str, ...]) -> str:
        def unpack(form: BlobForm) -> str:
            return self._unpack(layer, form, base, lowers)

        return self._forms.from_blob(layer, unpack, self._layers.directory(layer.diff_id, base))

    @contextmanager
    def view(self, state: State) -> Iterator[tuple[str, ...]]:
        """Show the directories; they never change."""
        yield self.directories(state)

    def _unpack(self, layer: Layer, form: BlobForm, base: str, lowers: tuple[str, ...]) -> str:
        name = unique_name()
        active = f"{self._root}/active/{name}"
        os.makedirs(f"{active}/fs", mode=0o755)
        entries = f"{self._forms.scratch()}/{name}.entries"
        try:
            found = self._jobs.call(
                "builder.layer.jobs:apply_layer",
                {
                    "blob": self._forms.blobs.path(Digest(form.digest)),
                    "compression": form.compression,
                    "root": f"{active}/fs",
                    "lowers": lowers,
                    "entries_path": entries,
                },
            )
            scan = scan_of(found)
            if scan.diff_id != layer.diff_id:
                raise StoreError(
                    f"a layer unpacks to {scan.diff_id[:19]}…, but is listed as {layer.diff_id[:19]}…",
                    code="store.digest-mismatch",
                    notes=("the image's configuration and its layers do not belong together",),
                )
            known = msgspec.structs.replace(layer, size=scan.size, entries=scan.count)
            return self._settle(known, name, entries, base if scan.implied else "")
        finally:
            if os.path.exists(active):
                self._forms.discard(name)

    def _settle(self, layer: Layer, name: str, entries: str, base: str) -> str:
        """Commit a directory form: data first, then the record of it; return its path.

        Another thread or process may have committed the same meanwhile, and be using it: then that one counts,
        and what was made here stays in `active`, to be discarded.
        """
        active, settled = f"{self._root}/active/{name}", f"{self._root}/layers/{name}"
        with self._forms.settling(layer.diff_id, name):
            standing = self._layers.directory(layer.diff_id, base)
            if standing is not None:
                os.unlink(entries)
                return standing
            os.rename(entries, self._layers.entries_path(layer.diff_id))
            os.rename(active, settled)
            self._layers.add(layer)
            self._layers.add_directory(layer.diff_id, base, name)
        return f"{settled}/fs"

    @contextmanager
    def prepare(self, state: State) -> Iterator[ActiveSnapshot]:
        """Give a writable file system above a state; what is not committed in the block is discarded.

        Raises: StoreError: a lower directory cannot be made.
        """
        lowers = self.directories(state)
        name = unique_name()
        upper = f"{self._root}/active/{name}/fs"
        # A fresh work directory a step: `volatile` marks it as used for good.
        work = f"{self._forms.scratch()}/{name}.work"
        try:
            os.makedirs(upper, mode=0o755)
            os.mkdir(work, mode=0o700)
            self._prepare_root(upper, lowers)
            since = time.time_ns() - FILE_CLOCK_GRAIN
            rootfs = Rootfs(lowers=lowers or (self._forms.empty(),), upper=upper, work=work)
            yield ActiveSnapshot(state, name, lowers, upper, work, since, rootfs)
        finally:
            self._forms.sweep(work)
            if os.path.exists(f"{self._root}/active/{name}"):
                self._forms.discard(name)

    def _prepare_root(self, upper: str, lowers: tuple[str, ...]) -> None:
        """Give an upper directory the attributes of the root below it: they are what the step sees."""
        if not lowers:
            return
        wanted, made = os.stat(lowers[0]), os.stat(upper)
        same = (wanted.st_mode, wanted.st_uid, wanted.st_gid) == (
            made.st_mode,
            made.st_uid,
            made.st_gid,
        )
        if same and not os.listxattr(lowers[0]):
            os.utime(upper, ns=(wanted.st_mtime_ns, wanted.st_mtime_ns))
        else:
            self._jobs.call("builder.layer.jobs:prepare_upper", {"upper": upper, "lowers": lowers})

    def commit(self, active: ActiveSnapshot) -> Layer:
        """Turn what a step wrote into a layer, and return it.

        If a layer with the same contents is known, that one is returned, with its times: what comes after
        it stays cached, and the image's digest stays the same.
        """
        entries = f"{self._forms.scratch()}/{active.name}.entries"
        found = self._jobs.call(
            "builder.layer.jobs:commit_upper",
            {
                "upper": active.upper,
                "lowers": active.lowers,
                "entries_path": entries,
                "since": active.since,
                "user": f"{active.work}/user",
            },
        )
        return self.settle(active, scan_of(found), entries)

    def settle(self, active: ActiveSnapshot, scan: LayerScan, entries: str) -> Layer:
        """Commit an upper directory whose entry list is written already; see `commit`."""
        base = (active.base.id or BOTTOM) if scan.implied else ""
        with self._forms.settling(scan.diff_id, active.name):
            known = self._forms.known(scan.content_id)
            if known is None:
                self._settle(made_layer(scan), active.name, entries, base)
                return self._forms.recorded(scan)
        os.unlink(entries)
        return known

    def close(self) -> None:
        """Nothing is held."""
