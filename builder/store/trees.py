"""States as plain trees, for where nothing can be stacked: copied, changed in place, and compared with what they were.

    trees/<state>-<boot>/fs    the tree of a state, of this boot of the machine; it can always be made again from layers
    active/<name>/fs           the tree of a running step

A step takes the tree of the state that it stands on and leaves that of the next one, so that a stage costs one
unpacking and a walk for each step. Whoever only reads a tree holds a shared lock on its directory; then it is
copied, not taken. Layers are kept as tars alone.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

from builder.errors import LayerLost
from builder.layer.scanned import LayerScan
from builder.oci.digest import Digest
from builder.store.forms import LayerForms, check_diff_id, scan_of, unique_name
from builder.store.layers import BlobForm, Layer, State
from builder.store.snapshotter import FILE_CLOCK_GRAIN, ActiveSnapshot
from runtime.spec import Rootfs

if TYPE_CHECKING:
    from builder.store.arrival import Incoming

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_BOOT = 8
_JOBS = "builder.layer.plain"


class CopyingSnapshotter:
    """Keeps trees, prepares writable ones and finds what changed in them."""

    layers_apart = False

    def __init__(self, forms: LayerForms) -> None:
        self._forms = forms
        self._jobs = forms.jobs
        self._held: dict[str, int] = {}

    def _path(self, state: State) -> str:
        return f"{self._forms.root}/trees/{state.id}-{self._forms.layers.boot[:_BOOT]}"

    def directories(self, state: State) -> tuple[str, ...]:
        """Return the tree of a state, which is held until this process ends."""
        if not state.id:
            return ()
        path = self._path(state)
        if path not in self._held:
            # Two threads may come here at once: both hold it then.
            self._held[path] = self._hold(state)
        return (f"{path}/fs",)

    @contextmanager
    def view(self, state: State) -> Iterator[tuple[str, ...]]:
        """Show the tree of a state, and hold it meanwhile."""
        if not state.id:
            yield ()
            return
        lock = self._hold(state)
        try:
            yield (f"{self._path(state)}/fs",)
        finally:
            os.close(lock)

    def _hold(self, state: State) -> int:
        """Return a shared lock on the tree of a state, which is made if need be."""
        path = self._path(state)
        while True:
            lock = _locked(path, fcntl.LOCK_SH)
            if lock is not None:
                return lock
            name = unique_name()
            try:
                self._make(state, name)
                self._settle(name, state)
            finally:
                self._discard(name)

    def _settle(self, name: str, state: State) -> None:
        """Make an active tree that of a state, unless there is one."""
        path = self._path(state)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        try:
            os.rename(f"{self._forms.root}/active/{name}", path)
        except OSError:  # somebody else's, which is not empty
            if not os.path.isdir(path):
                raise

    def _discard(self, name: str) -> None:
        if os.path.exists(f"{self._forms.root}/active/{name}"):
            self._forms.discard(name)

    def _make(
        self,
        state: State,
        name: str,
        incoming: Mapping[str, Incoming] = MappingProxyType({}),
    ) -> None:
        """Make `active/<name>` the tree of a state: from the nearest one below it, or from nothing."""
        active = f"{self._forms.root}/active/{name}"
        layers = [layer for layer in state.layers if not layer.empty]
        for count in range(len(layers), 0, -1):
            if self._take(State(tuple(layers[:count])), active):
                layers = layers[count:]
                break
        else:
            os.makedirs(f"{active}/fs", mode=0o755)
        for layer in layers:
            known = self._forms.layers.get(layer.diff_id) or layer
            if not known.empty:
                self._stack(known, active, incoming.get(layer.diff_id))

    def _take(self, state: State, active: str) -> bool:
        """Take the tree of a state, or copy it if somebody reads it; False if there is none."""
        path = self._path(state)
        lock = _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if lock is not None:
            try:
                os.rename(path, active)
            finally:
                os.close(lock)
            return True
        lock = _locked(path, fcntl.LOCK_SH)
        if lock is None:
            return False
        try:
            os.makedirs(f"{active}/fs", mode=0o755)
            arguments = {"source": f"{path}/fs", "target": f"{active}/fs"}
            self._jobs.call(f"{_JOBS}:duplicate_tree", arguments)
        finally:
            os.close(lock)
        return True

    def unpack(self, state: State, incoming: Mapping[str, Incoming]) -> None:
        """Make the tree of a state while the blobs of its layers, by diff id, are coming."""
        if not state.id or os.path.isdir(self._path(state)):
            return
        name = unique_name()
        try:
            self._make(state, name, incoming)
            self._settle(name, state)
        finally:
            self._discard(name)

    def _stack(self, layer: Layer, active: str, coming: Incoming | None) -> None:
        entries = f"{self._forms.scratch()}/{unique_name()}.entries"

        def stack(form: BlobForm, pipe: int | None = None) -> LayerScan:
            blob = None if pipe is not None else self._forms.blobs.path(Digest(form.digest))
            found = self._jobs.call(
                f"{_JOBS}:stack_layer",
                {
                    "blob": blob,
                    "compression": form.compression,
                    "tree": f"{active}/fs",
                    "beside": f"{active}/{unique_name()}",
                    "entries_path": entries,
                },
                fds=() if pipe is None else (pipe,),
                report=None if coming is None else coming.report,
            )
            return scan_of(found)

        if coming is None:
            scan = self._forms.from_blob(layer, stack, None)
        else:
            began: list[int] = []

            def along(pipe: int) -> LayerScan:
                began.append(pipe)
                return stack(coming.form, pipe)

            read = coming.read_along(along)
            if read is None and began:
                # By now the tree holds what was made of something else.
                raise LayerLost(layer.diff_id, notes=("its blob came wrong at first",))
            scan = read or stack(coming.form)
        check_diff_id(scan, layer)
        with self._forms.settling(layer.diff_id):
            self._forms.settle_list(layer, entries)
            self._forms.layers.add(
                msgspec.structs.replace(layer, size=scan.size, entries=scan.count)
            )

    @contextmanager
    def prepare(self, state: State) -> Iterator[ActiveSnapshot]:
        """Give a tree above a state; what is not committed in the block is discarded."""
        name = unique_name()
        tree = f"{self._forms.root}/active/{name}/fs"
        work = f"{self._forms.scratch()}/{name}.work"
        try:
            self._make(state, name)
            os.mkdir(work, mode=0o700)
            arguments = {"root": tree, "listing": f"{work}/before"}
            self._jobs.call(f"{_JOBS}:record_tree", arguments)
            since = time.time_ns() - FILE_CLOCK_GRAIN
            rootfs = Rootfs(lowers=(), upper=tree, work=work)
            yield ActiveSnapshot(state, name, (), tree, work, since, rootfs)
        finally:
            self._forms.sweep(work)
            self._discard(name)

    def commit(self, active: ActiveSnapshot) -> Layer:
        """Turn what a step changed into a layer."""
        own = f"{self._forms.scratch()}/{active.name}"
        found = self._jobs.call(
            f"{_JOBS}:compare_tree",
            {
                "root": active.upper,
                "listing": f"{active.work}/before",
                "entries_path": f"{own}.entries",
                "tar": f"{own}.tar",
                "moved": f"{active.work}/moved",
                "since": active.since,
                "user": f"{active.work}/user",
            },
        )
        scan = scan_of(found)
        layer = self._forms.settle_tar(scan, f"{own}.entries", f"{own}.tar")
        if layer.diff_id == scan.diff_id:  # else an earlier one counts, whose times are others
            self._settle(active.name, active.base.with_layer(layer))
        return layer

    def settle(self, active: ActiveSnapshot, scan: LayerScan, entries: str) -> Layer:
        """Nobody comes here, since layers are not apart."""
        raise NotImplementedError(active.name, scan.diff_id, entries)

    def close(self) -> None:
        """Let go of the trees that are held."""
        while self._held:
            os.close(self._held.popitem()[1])


def _locked(path: str, operation: int) -> int | None:
    """Return a lock on a directory, None where it is gone or, if that is asked for, held by somebody."""
    while True:
        try:
            lock = os.open(path, _DIRECTORY)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(lock, operation)
            if os.path.samestat(os.fstat(lock), os.stat(path)):
                return lock
        except (BlockingIOError, FileNotFoundError):
            os.close(lock)
            return None
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)
