"""File system states as directories: lower directories on demand, and writable ones above them.

    active/<name>/fs     the upper directory of a running step
    layers/<name>/fs     the same after commit: one rename of <name>, never of `fs`, whose owner and mode
                         belong to the image
    scratch/<process>/   overlay work directories and entry lists being written; removed as a whole

What is not recorded in the database does not count: a killed process leaves directories that nobody refers
to, and the next start that is alone in the store sweeps them.
"""

from __future__ import annotations

import os
import time
from _thread import LockType, allocate_lock  # `threading` is on no cached build's way
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec

from builder.errors import LapstrakeError, LayerError, LayerLost, StoreError
from builder.oci.digest import Digest
from builder.oci.mediatypes import OCI_LAYER
from builder.store.blobs import BlobStore
from builder.store.jobs import Jobs
from builder.store.layers import BlobForm, Layer, LayerIndex, State

if TYPE_CHECKING:
    from builder.layer.scanned import LayerScan
    from builder.store.sweeper import Sweeper

_DAMAGE = frozenset({"store.corrupt", "store.digest-mismatch", "build.io"})

FILE_CLOCK_GRAIN = 10_000_000
"""Nanoseconds: how much the clock that files get their times from may be behind."""

BOTTOM = "-"
"""What the directory form of a bottom layer is recorded for, where it took attributes from nobody."""


class ActiveSnapshot(msgspec.Struct, frozen=True):
    """A writable file system above a state, while a step runs; host paths, `lowers` topmost first.

    `since` is when it was made, in nanoseconds since the epoch.
    """

    base: State
    name: str
    lowers: tuple[str, ...]
    upper: str
    work: str
    since: int


class Snapshots:
    """Makes directory forms, prepares writable ones and commits them."""

    def __init__(self, root: str, layers: LayerIndex, blobs: BlobStore, jobs: Jobs) -> None:
        self._root = root
        self._layers = layers
        self._blobs = blobs
        self._jobs = jobs
        self._scratch = f"{root}/scratch/{unique_name()}"
        self._making: dict[str, LockType] = {}
        self._made: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._sweeper: Sweeper | None = None
        self._lock = allocate_lock()

    def scratch(self) -> str:
        """Return this process's own directory for what never becomes part of the store."""
        os.makedirs(self._scratch, exist_ok=True)
        return self._scratch

    def empty(self) -> str:
        """Return an empty directory, for a stack without layers."""
        path = f"{self.scratch()}/empty"
        os.makedirs(path, exist_ok=True)
        return path

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
        refused: list[str] = []
        unusable: LapstrakeError | None = None
        for form in self._layers.blobs(layer.diff_id):
            if self._blobs.size(Digest(form.digest)) is None:
                self._layers.drop_blob(layer.diff_id, form.compression)
                continue
            try:
                return self._unpack(layer, form, base, lowers)
            except LapstrakeError as error:
                if not means_damage(error):
                    raise
                refused.append(error.message)
                if not self._drop_if_damaged(layer, form) and form.pulled:
                    unusable = error
        other = self._layers.directory(layer.diff_id, base) or self._any_directory(layer.diff_id)
        if other is not None:
            return self._unpack(layer, self.pack(layer, other), base, lowers)
        if unusable is not None:
            # It came like this: to build or pull it again would not help.
            raise unusable
        raise LayerLost(layer.diff_id, notes=tuple(refused))

    def forget(self, layer: Layer) -> None:
        """Forget the forms of a layer from which its tar cannot be had, so that it is made or pulled again.

        The directory of a pulled layer stays: it never gives the tar again, and is as good as ever for a step.
        """
        for form in self._layers.blobs(layer.diff_id):
            self._drop_if_damaged(layer, form)
        pulled = layer.content_id == layer.diff_id.partition(":")[2]
        if not pulled and not self._layers.blobs(layer.diff_id):
            for name in self._layers.directory_names(layer.diff_id):
                self._layers.drop_directory(name)

    def _drop_if_damaged(self, layer: Layer, form: BlobForm) -> bool:
        """Forget a blob that is not what its digest says, so that a good one can take its place.

        Returns: whether it was damaged.
        """
        digest = Digest(form.digest)
        if self._blobs.contains(digest) and self._blobs.verify(digest):
            return False
        self._blobs.remove(digest)
        self._layers.drop_blob(layer.diff_id, form.compression)
        return True

    def _any_directory(self, diff_id: str) -> str | None:
        for name in self._layers.directory_names(diff_id):
            path = f"{self._root}/layers/{name}/fs"
            if os.path.isdir(path):
                return path
        return None

    def pack(self, layer: Layer, directory: str) -> BlobForm:
        """Make the plain tar form of a layer from a directory form, as the blob named by its diff id."""
        temporary = f"{self.scratch()}/{unique_name()}.tar"
        self._jobs.call(
            "builder.layer.jobs:pack_layer",
            {
                "entries_path": self._layers.entries_path(layer.diff_id),
                "root": directory,
                "path": temporary,
                "compression": "none",
                "expected": layer.diff_id,
            },
        )
        return self.adopt_tar(layer.diff_id, temporary, layer.size)

    def adopt_tar(self, diff_id: str, path: str, size: int) -> BlobForm:
        """Move a finished plain tar into the store, under its diff id."""
        self._blobs.adopt(path, Digest(diff_id))
        form = BlobForm(
            digest=diff_id, size=size, media_type=OCI_LAYER, compression="none", pulled=False
        )
        self._layers.add_blob(diff_id, form)
        return form

    def _unpack(self, layer: Layer, form: BlobForm, base: str, lowers: tuple[str, ...]) -> str:
        name = unique_name()
        active = f"{self._root}/active/{name}"
        os.makedirs(f"{active}/fs", mode=0o755)
        entries = f"{self.scratch()}/{name}.entries"
        try:
            found = self._jobs.call(
                "builder.layer.jobs:apply_layer",
                {
                    "blob": self._blobs.path(Digest(form.digest)),
                    "compression": form.compression,
                    "root": f"{active}/fs",
                    "lowers": lowers,
                    "entries_path": entries,
                },
            )
            scan = _scan(found)
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
                self.discard(name)

    def _settle(self, layer: Layer, name: str, entries: str, base: str) -> str:
        """Commit a directory form: data first, then the record of it; return its path.

        Another thread or process may have committed the same meanwhile, and be using it: then that one counts,
        and what was made here stays in `active`, to be discarded.
        """
        active, settled = f"{self._root}/active/{name}", f"{self._root}/layers/{name}"
        with self._settling(layer.diff_id, name):
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
    def _settling(self, diff_id: str, name: str | None = None) -> Iterator[None]:
        """Record all of a block or nothing; what a layer's record cannot be made of is taken back."""
        try:
            with self._layers.transaction():
                yield
        except BaseException:
            if name and os.path.exists(f"{self._root}/layers/{name}"):
                os.rename(f"{self._root}/layers/{name}", f"{self._root}/active/{name}")
            with suppress(OSError, LapstrakeError):
                if self._layers.get(diff_id) is None:
                    os.unlink(self._layers.entries_path(diff_id))
            raise

    def copy_to(self, state: State, path: str) -> None:
        """Put what is in a state of at most one layer into an empty directory, a host path."""
        for layer in state.layers:
            if layer.empty:
                continue
            blobs = self._layers.blobs(layer.diff_id)
            directory = self._any_directory(layer.diff_id)
            if not blobs and directory is None:
                raise LayerLost(layer.diff_id)
            form = blobs[0] if blobs or directory is None else self.pack(layer, directory)
            entries = f"{self.scratch()}/{unique_name()}.entries"
            self._jobs.call(
                "builder.layer.jobs:apply_layer",
                {
                    "blob": self._blobs.path(Digest(form.digest)),
                    "compression": form.compression,
                    "root": path,
                    "entries_path": entries,
                },
            )

    @contextmanager
    def prepare(self, state: State) -> Iterator[ActiveSnapshot]:
        """Give a writable file system above a state; what is not committed in the block is discarded.

        Raises: StoreError: a lower directory cannot be made.
        """
        lowers = self.directories(state)
        name = unique_name()
        upper = f"{self._root}/active/{name}/fs"
        # A fresh work directory a step: `volatile` marks it as used for good.
        work = f"{self.scratch()}/{name}.work"
        try:
            os.makedirs(upper, mode=0o755)
            os.mkdir(work, mode=0o700)
            self._prepare_root(upper, lowers)
            since = time.time_ns() - FILE_CLOCK_GRAIN
            yield ActiveSnapshot(state, name, lowers, upper, work, since)
        finally:
            self._sweep(work)
            if os.path.exists(f"{self._root}/active/{name}"):
                self.discard(name)

    def _sweep(self, work: str) -> None:
        """Have a work directory removed beside the next step."""
        with self._lock:
            if self._sweeper is None:
                from builder.store.sweeper import Sweeper

                self._sweeper = Sweeper(self._jobs)
        self._sweeper.remove(work)

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
        entries = f"{self.scratch()}/{active.name}.entries"
        found = self._jobs.call(
            "builder.layer.jobs:commit_upper",
            {
                "upper": active.upper,
                "lowers": active.lowers,
                "entries_path": entries,
                "since": active.since,
            },
        )
        return self.settle(active, _scan(found), entries)

    def settle(self, active: ActiveSnapshot, scan: LayerScan, entries: str) -> Layer:
        """Commit an upper directory whose entry list is written already; see `commit`."""
        base = (active.base.id or BOTTOM) if scan.implied else ""
        with self._settling(scan.diff_id, active.name):
            known = self.known(scan.content_id)
            if known is None:
                self._settle(_made(scan), active.name, entries, base)
                return self._recorded(scan)
        os.unlink(entries)
        return known

    def _recorded(self, scan: LayerScan) -> Layer:
        """Return a layer as it is recorded: equal bytes may have been, with the time of then."""
        return self._layers.get(scan.diff_id) or _made(scan)

    def known(self, content_id: str) -> Layer | None:
        """Return a layer of which the store still has these contents in some form."""
        found = self._layers.by_content(content_id)
        return next((layer for layer in found if self.usable(layer)), None)

    def usable(self, layer: Layer) -> bool:
        """Tell whether some form of a layer is there, without reading it."""
        if layer.empty or self._any_directory(layer.diff_id) is not None:
            return True
        return any(
            self._blobs.size(Digest(form.digest)) is not None
            for form in self._layers.blobs(layer.diff_id)
        )

    def settle_tar(self, scan: LayerScan, entries: str, tar: str) -> Layer:
        """Commit a layer that was written as a plain tar; see `commit`."""
        with self._settling(scan.diff_id):
            known = self.known(scan.content_id)
            if known is None:
                os.rename(entries, self._layers.entries_path(scan.diff_id))
                self._layers.add(_made(scan))
                self.adopt_tar(scan.diff_id, tar, scan.size)
                return self._recorded(scan)
        os.unlink(entries)
        os.unlink(tar)
        return known

    def discard(self, name: str) -> None:
        """Remove an active directory, whoever owns what is in it."""
        try:
            # A step that changed nothing leaves an empty one.
            os.rmdir(f"{self._root}/active/{name}/fs")
            os.rmdir(f"{self._root}/active/{name}")
        except OSError:
            pass
        else:
            return
        self._jobs.call(
            "builder.layer.jobs:remove_tree",
            {"path": f"{self._root}/active/{name}"},
            cleanup=True,
        )

    def close(self) -> None:
        """Remove what this process kept for itself."""
        if self._sweeper is not None:
            self._sweeper.close()
        if os.path.isdir(self._scratch):
            self._jobs.call("builder.layer.jobs:remove_tree", {"path": self._scratch}, cleanup=True)


def _scan(found: object) -> LayerScan:
    from builder.layer.scanned import LayerScan

    return msgspec.convert(found, LayerScan)


def means_damage(error: LapstrakeError) -> bool:
    """Tell whether an error is about what was read, not about an interrupt or a full disk."""
    return isinstance(error, LayerError) or error.code in _DAMAGE


def _made(scan: LayerScan) -> Layer:
    return Layer(scan.diff_id, scan.content_id, scan.size, scan.count, time.time())


def unique_name() -> str:
    """Return a name that no other process or thread will choose."""
    return os.urandom(12).hex()
