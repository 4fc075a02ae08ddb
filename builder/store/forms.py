"""The forms of layers, whatever states are made of them: blobs, entry lists, and directories that some layers have.

    scratch/<process>/   work directories, entry lists and tars being written; removed as a whole
    active/<name>/fs     a directory that is being written

What is not recorded in the database does not count: a killed process leaves directories that nobody refers
to, and the next start that is alone in the store sweeps them.
"""

from __future__ import annotations

import os
import time
from _thread import allocate_lock  # `threading` is on no cached build's way
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

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
Made = TypeVar("Made")


class LayerForms:
    """Keeps and derives the forms of layers."""

    def __init__(self, root: str, layers: LayerIndex, blobs: BlobStore, jobs: Jobs) -> None:
        self.root = root
        self.layers = layers
        self.blobs = blobs
        self.jobs = jobs
        self._scratch = f"{root}/scratch/{unique_name()}"
        self._sweeper: Sweeper | None = None
        self._lock = allocate_lock()
        self.exact = False
        """Whether layers that are made stay what they are, where others differ from them in times alone."""
        self.elsewhere: Callable[[Layer], None] | None = None
        """Has a layer of which nothing is here brought from elsewhere, if it is known there; raises LayerLost."""

    def scratch(self) -> str:
        """Return this process's own directory for what never becomes part of the store."""
        os.makedirs(self._scratch, exist_ok=True)
        return self._scratch

    def empty(self) -> str:
        """Return an empty directory, for a stack without layers."""
        path = f"{self.scratch()}/empty"
        os.makedirs(path, exist_ok=True)
        return path

    def from_blob(
        self, layer: Layer, make: Callable[[BlobForm], Made], directory: str | None
    ) -> Made:
        """Return what `make` makes of the first blob form that is whole; a damaged one is forgotten.

        `directory` is a directory form from which a blob can be made where none is left.

        Raises: StoreError: `store.corrupt`: no form of a layer is left, or none agrees with its diff id.
            LayerError: a layer came like this, and cannot be unpacked.
        """
        refused: list[str] = []
        unusable: LapstrakeError | None = None
        for form in self.layers.blobs(layer.diff_id):
            if self.blobs.size(Digest(form.digest)) is None:
                self.layers.drop_blob(layer.diff_id, form.variant)
                continue
            try:
                return make(form)
            except LapstrakeError as error:
                if not means_damage(error):
                    raise
                refused.append(error.message)
                if not self._drop_if_damaged(layer, form) and form.pulled:
                    unusable = error
        other = directory or self._any_directory(layer.diff_id)
        if other is not None:
            return make(self.pack(layer, other))
        if self.elsewhere is not None and not refused:
            self.elsewhere(layer)
            for form in self.layers.blobs(layer.diff_id):
                return make(form)
        if unusable is not None:
            # It came like this: to build or pull it again would not help.
            raise unusable
        raise LayerLost(layer.diff_id, notes=tuple(refused))

    def forget(self, layer: Layer) -> None:
        """Forget the forms of a layer from which its tar cannot be had, so that it is made or pulled again.

        The directory of a pulled layer stays: it never gives the tar again, and is as good as ever for a step.
        """
        for form in self.layers.blobs(layer.diff_id):
            self._drop_if_damaged(layer, form)
        pulled = layer.content_id == layer.diff_id.partition(":")[2]
        if not pulled and not self.layers.blobs(layer.diff_id):
            for name in self.layers.directory_names(layer.diff_id):
                self.layers.drop_directory(name)

    def _drop_if_damaged(self, layer: Layer, form: BlobForm) -> bool:
        """Forget a blob that is not what its digest says, so that a good one can take its place.

        Returns: whether it was damaged.
        """
        digest = Digest(form.digest)
        if self.blobs.contains(digest) and self.blobs.verify(digest):
            return False
        self.blobs.remove(digest)
        self.layers.drop_blob(layer.diff_id, form.variant)
        return True

    def _any_directory(self, diff_id: str) -> str | None:
        for name in self.layers.directory_names(diff_id):
            path = f"{self.root}/layers/{name}/fs"
            if os.path.isdir(path):
                return path
        return None

    def pack(self, layer: Layer, directory: str) -> BlobForm:
        """Make the plain tar form of a layer from a directory form, as the blob named by its diff id."""
        temporary = f"{self.scratch()}/{unique_name()}.tar"
        self.jobs.call(
            "builder.layer.jobs:pack_layer",
            {
                "entries_path": self.layers.entries_path(layer.diff_id),
                "root": directory,
                "path": temporary,
                "compression": "none",
                "expected": layer.diff_id,
            },
        )
        return self.adopt_tar(layer.diff_id, temporary, layer.size)

    def adopt_tar(self, diff_id: str, path: str, size: int) -> BlobForm:
        """Move a finished plain tar into the store, under its diff id."""
        self.blobs.adopt(path, Digest(diff_id))
        form = BlobForm(
            digest=diff_id, size=size, media_type=OCI_LAYER, compression="none", pulled=False
        )
        self.layers.add_blob(diff_id, form)
        return form

    @contextmanager
    def settling(self, diff_id: str, name: str | None = None) -> Iterator[None]:
        """Record all of a block or nothing; what a layer's record cannot be made of is taken back.

        From the beginning the layer is in use, so that nobody removes what is put in place before it is recorded.
        """
        self.layers.hold(diff_id)
        try:
            with self.layers.transaction():
                yield
        except BaseException:
            if name and os.path.exists(f"{self.root}/layers/{name}"):
                os.rename(f"{self.root}/layers/{name}", f"{self.root}/active/{name}")
            with suppress(OSError, LapstrakeError):
                if self.layers.get(diff_id) is None:
                    os.unlink(self.layers.entries_path(diff_id))
            raise

    def settle_list(self, layer: Layer, entries: str) -> None:
        """Give a layer the entry list that was made when it was unpacked, unless it has that of the step that made it.

        That one also says which times were read off a clock.
        """
        from builder.layer.entries import read_summary

        path = self.layers.entries_path(layer.diff_id)
        if layer.content_id != layer.diff_id.partition(":")[2]:
            with suppress(OSError, StoreError):
                if read_summary(path) == read_summary(entries):
                    os.unlink(entries)
                    return
        os.rename(entries, path)

    def sweep(self, work: str) -> None:
        """Have a work directory removed beside the next step."""
        with self._lock:
            if self._sweeper is None:
                from builder.store.sweeper import Sweeper

                self._sweeper = Sweeper(self.jobs)
        self._sweeper.remove(work)

    def recorded(self, scan: LayerScan) -> Layer:
        """Return a layer as it is recorded: equal bytes may have been, with the time of then."""
        return self.layers.get(scan.diff_id) or made_layer(scan)

    def known(self, scan: LayerScan) -> Layer | None:
        """Return the layer that stands for one just made: the store still has these contents in some form."""
        found = self.layers.by_content(scan.content_id)
        if self.exact:
            found = tuple([each for each in found if each.diff_id == scan.diff_id])
        return next((layer for layer in found if self.usable(layer)), None)

    def usable(self, layer: Layer) -> bool:
        """Tell whether some form of a layer is there, without reading it."""
        if layer.empty or self._any_directory(layer.diff_id) is not None:
            return True
        return any(
            self.blobs.size(Digest(form.digest)) is not None
            for form in self.layers.blobs(layer.diff_id)
        )

    def copy_to(self, state: State, path: str) -> None:
        """Put what is in a state of at most one layer into an empty directory, a host path."""
        for layer in state.layers:
            if layer.empty:
                continue
            blobs = self.layers.blobs(layer.diff_id)
            directory = self._any_directory(layer.diff_id)
            if not blobs and directory is None and self.elsewhere is not None:
                self.elsewhere(layer)
                blobs = self.layers.blobs(layer.diff_id)
            if not blobs and directory is None:
                raise LayerLost(layer.diff_id)
            form = blobs[0] if blobs or directory is None else self.pack(layer, directory)
            entries = f"{self.scratch()}/{unique_name()}.entries"
            self.jobs.call(
                "builder.layer.jobs:apply_layer",
                {
                    "blob": self.blobs.path(Digest(form.digest)),
                    "compression": form.compression,
                    "root": path,
                    "entries_path": entries,
                },
            )

    def settle_tar(self, scan: LayerScan, entries: str, tar: str) -> Layer:
        """Commit a layer that was written as a plain tar; see `commit`."""
        with self.settling(scan.diff_id):
            known = self.known(scan)
            if known is None:
                os.rename(entries, self.layers.entries_path(scan.diff_id))
                self.layers.add(made_layer(scan))
                self.adopt_tar(scan.diff_id, tar, scan.size)
                return self.recorded(scan)
        os.unlink(entries)
        os.unlink(tar)
        return known

    def discard(self, name: str) -> None:
        """Remove an active directory, whoever owns what is in it."""
        try:
            # A step that changed nothing leaves an empty one.
            os.rmdir(f"{self.root}/active/{name}/fs")
            os.rmdir(f"{self.root}/active/{name}")
        except OSError:
            pass
        else:
            return
        self.jobs.call(
            "builder.layer.jobs:remove_tree",
            {"path": f"{self.root}/active/{name}"},
            cleanup=True,
        )

    def close(self) -> None:
        """Remove what this process kept for itself."""
        if self._sweeper is not None:
            self._sweeper.close()
        if os.path.isdir(self._scratch):
            self.jobs.call("builder.layer.jobs:remove_tree", {"path": self._scratch}, cleanup=True)


def scan_of(found: object) -> LayerScan:
    """Return what a job returned as a dictionary."""
    from builder.layer.scanned import LayerScan

    return msgspec.convert(found, LayerScan)


def check_diff_id(scan: LayerScan, layer: Layer) -> None:
    """Refuse what was unpacked if it is not the layer that it should be.

    Raises: StoreError: `store.digest-mismatch`.
    """
    if scan.diff_id != layer.diff_id:
        raise StoreError(
            f"a layer unpacks to {scan.diff_id[:19]}…, but is listed as {layer.diff_id[:19]}…",
            code="store.digest-mismatch",
            notes=("the image's configuration and its layers do not belong together",),
        )


def means_damage(error: LapstrakeError) -> bool:
    """Tell whether an error is about what was read, not about an interrupt or a full disk."""
    return isinstance(error, LayerError) or error.code in _DAMAGE


def made_layer(scan: LayerScan) -> Layer:
    """Return the layer that has been written just now."""
    return Layer(scan.diff_id, scan.content_id, scan.size, scan.count, time.time())


def unique_name() -> str:
    """Return a name that no other process or thread will choose."""
    return os.urandom(12).hex()
