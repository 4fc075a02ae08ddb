"""States as stacks of directories, one per layer, with a writable one on top: what overlayfs shows as one.

layers/<name>/fs     the directory form of a layer: an upper directory after commit, by one rename of <name>, never
                     of `fs`, whose owner and mode belong to the image
active/<name>/fs     the upper directory of a running step
"""

from __future__ import annotations

import os
import time
from _thread import LockType, allocate_lock  # `threading` is on no cached build's way
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

from builder.errors import LapstrakeError
from builder.oci.digest import Digest
from builder.store.forms import (
    LayerForms,
    check_diff_id,
    made_layer,
    means_damage,
    scan_of,
    unique_name,
)
from builder.store.layers import BlobForm, Layer, State
from builder.store.snapshotter import FILE_CLOCK_GRAIN, ActiveSnapshot
from runtime.spec import Rootfs

if TYPE_CHECKING:
    from builder.layer.scanned import LayerScan
    from builder.store.arrival import Incoming

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

    def unpack(self, state: State, incoming: Mapping[str, Incoming]) -> None:
        """Make the directory forms of a state while the blobs of its layers, by diff id, are coming."""
        self._make(state, incoming)

    def _make(
        self, state: State, incoming: Mapping[str, Incoming] = MappingProxyType({})
    ) -> tuple[str, ...]:
        paths: list[str] = []
        below = State()
        for layer in state.layers:
            known = self._layers.get(layer.diff_id) or layer
            if not known.empty:
                coming = incoming.get(layer.diff_id)
                paths.insert(0, self._directory(known, below, tuple(paths), coming))
            below = below.with_layer(layer)
        # A layer may occur twice, which overlayfs refuses; what its lower copy holds is hidden anyway.
        return tuple(dict.fromkeys(paths))

    def _directory(
        self, layer: Layer, below: State, lowers: tuple[str, ...], coming: Incoming | None
    ) -> str:
        base = below.id or BOTTOM
        with self._lock:
            making = self._making.setdefault(layer.diff_id, allocate_lock())
        with making:
            path = self._layers.directory(layer.diff_id, base)
            if path is not None and self._whole(layer, base, path):
                return path
            if coming is not None:
                return self._arriving(layer, coming, base, lowers)
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

    def _arriving(self, layer: Layer, coming: Incoming, base: str, lowers: tuple[str, ...]) -> str:
        """Unpack a layer as it comes; it gets its place when the blob turned out right."""
        name = unique_name()
        try:
            scan = coming.read_along(
                lambda pipe: self._apply(name, coming.form, lowers, pipe, coming.report)
            )
            if scan is not None:
                return self._accept(layer, scan, name, base)
        finally:
            self._drop(name)
        return self._unpack(layer, coming.form, base, lowers)

    @contextmanager
    def view(self, state: State) -> Iterator[tuple[str, ...]]:
        """Show the directories; they never change."""
        yield self.directories(state)

    def _unpack(self, layer: Layer, form: BlobForm, base: str, lowers: tuple[str, ...]) -> str:
        name = unique_name()
        try:
            return self._accept(layer, self._apply(name, form, lowers), name, base)
        finally:
            self._drop(name)

    def _apply(
        self,
        name: str,
        form: BlobForm,
        lowers: tuple[str, ...],
        pipe: int | None = None,
        report: Callable[[object], None] | None = None,
    ) -> LayerScan:
        """Unpack a blob, or what comes through a pipe, into an active directory."""
        active = f"{self._root}/active/{name}"
        os.makedirs(f"{active}/fs", mode=0o755)
        blob = None if pipe is not None else self._forms.blobs.path(Digest(form.digest))
        found = self._jobs.call(
            "builder.layer.jobs:apply_layer",
            {
                "blob": blob,
                "compression": form.compression,
                "root": f"{active}/fs",
                "lowers": lowers,
                "entries_path": self._entries(name),
            },
            fds=() if pipe is None else (pipe,),
            report=report,
        )
        return scan_of(found)

    def _accept(self, layer: Layer, scan: LayerScan, name: str, base: str) -> str:
        """Make an active directory the form of a layer, if it is one; return its path."""
        check_diff_id(scan, layer)
        known = msgspec.structs.replace(layer, size=scan.size, entries=scan.count)
        return self._settle(known, name, self._entries(name), base if scan.implied else "")

    def _entries(self, name: str) -> str:
        return f"{self._forms.scratch()}/{name}.entries"

    def _drop(self, name: str) -> None:
        if os.path.exists(f"{self._root}/active/{name}"):
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
            self._forms.settle_list(layer, entries)
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
            self._drop(name)

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
            known = self._forms.known(scan)
            if known is None:
                self._settle(made_layer(scan), active.name, entries, base)
                return self._forms.recorded(scan)
        os.unlink(entries)
        return known

    def close(self) -> None:
        """Nothing is held."""
