"""Verifies a whole store, and mends it: what is damaged is dropped, so that it is made or pulled again.

    index ─► blobs ─► entry lists ─► directory forms ─► layers ─► records ─► images ─► names ─► leftovers

Each looks only at what those before it found whole. Nothing goes that could be whole: a layer of which one form is
damaged keeps the others, an image goes when nothing is left of a layer or of its configuration, or if it can be pulled again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

import msgspec

from builder.errors import LapstrakeError, ReferenceInvalid
from builder.graph.keys import KeyPart
from builder.oci.digest import Digest
from builder.oci.document import parse_config
from builder.oci.reference import Reference
from builder.store.cache import Observation
from builder.store.forms import unique_name
from builder.store.layers import Layer
from builder.store.ours import unused

if TYPE_CHECKING:
    from builder.store.root import Store

_PARTS = msgspec.msgpack.Decoder(tuple[KeyPart, ...])
_OBSERVATIONS = msgspec.msgpack.Decoder(tuple[Observation, ...])


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not as it should be: what it is, why, and what mends it; "" where nothing here does."""

    kind: str
    name: str
    reason: str
    mend: str


class Checkup(msgspec.Struct, frozen=True, kw_only=True):
    """How many things of each kind were looked at, the problems, and whether what mends them was done.

    `whole` tells that nothing is left to be done.
    """

    checked: dict[str, int]
    problems: tuple[Problem, ...]
    repaired: bool

    @property
    def whole(self) -> bool:
        """Whether the store is in order now."""
        return all(each.mend and self.repaired for each in self.problems)


def check(store: Store, *, repair: bool = False) -> Checkup:
    """Verify everything; with `repair`, also mend it.

    Raises: StoreError: `store.busy`: to mend a store, nobody else may use it.
    """
    if repair:
        with store.exclusive(), store.reserve.given():
            return _Check(store, repair=True, alone=True).run()
    with store.alone() as alone:
        return _Check(store, repair=False, alone=alone).run()


class _Check:
    """One look at a store."""

    def __init__(self, store: Store, *, repair: bool, alone: bool) -> None:
        self._store = store
        self._repair = repair
        self._alone = alone
        self._problems: list[Problem] = []
        self._checked: dict[str, int] = {}
        self._blobs: set[str] = set()
        """Those that are whole, by digest."""
        self._usable: set[str] = set()
        """Layers that can be shown to a step, by diff id."""
        self._bare: set[str] = set()
        """Those of which there is only a directory that does not give their tar."""
        self._trash: list[str] = []

    def run(self) -> Checkup:
        """Look at everything in turn."""
        self._check_index()
        self._check_blobs()
        self._check_layers()
        self._check_records()
        self._check_images()
        self._check_names()
        if self._alone:
            self._check_leftovers()
        for path in self._trash:
            self._store.jobs.call("builder.layer.jobs:remove_tree", {"path": path})
        return Checkup(checked=self._checked, problems=tuple(self._problems), repaired=self._repair)

    def _found(self, kind: str, name: str, reason: str, mend: str) -> bool:
        """Take a problem; tell whether it is to be mended."""
        self._problems.append(Problem(kind=kind, name=name, reason=reason, mend=mend))
        return self._repair and bool(mend)

    def _forget(self, statement: str, *parameters: object) -> None:
        self._store.db.execute(statement, parameters)

    def _check_index(self) -> None:
        self._checked["index"] = 1
        for said in self._said_of_index():
            if self._found("index", "index.db", said, "sorted anew"):
                self._forget("REINDEX")
        if self._repair and self._problems:
            left = self._said_of_index()
            self._problems = [
                Problem(kind="index", name="index.db", reason=said, mend="") for said in left
            ] or self._problems

    def _said_of_index(self) -> list[str]:
        rows = self._store.db.rows("PRAGMA integrity_check")
        return [str(said) for (said,) in rows if said != "ok"]

    def _check_blobs(self) -> None:
        store = self._store
        digests = store.blobs.digests()
        self._checked["blobs"] = len(digests)
        for digest in digests:
            try:
                whole = store.blobs.verify(digest)
            except (OSError, LapstrakeError):
                whole = False
            if whole:
                self._blobs.add(str(digest))
            elif self._found("blob", str(digest), "its bytes have another digest", "removed"):
                store.blobs.remove(digest)
        damaged = {each.name for each in self._problems}
        for row in store.db.rows("SELECT diff_id, digest FROM blobs"):
            name = str(row[1])
            if name in self._blobs:
                continue
            if name not in damaged:
                self._found("blob", name, "it is missing", "forgotten")
            if self._repair:
                self._forget("DELETE FROM blobs WHERE diff_id = ? AND digest = ?", *row)

    def _check_layers(self) -> None:
        rows = self._store.db.rows("SELECT diff_id, content_id, size, entries, created FROM layers")
        self._checked["layers"] = len(rows)
        for row in rows:
            layer = Layer(*row)  # type: ignore[arg-type]  # the schema says so
            blobs = [
                str(digest)
                for (digest,) in self._store.db.rows(
                    "SELECT digest FROM blobs WHERE diff_id = ?", (layer.diff_id,)
                )
            ]
            usable = any(digest in self._blobs for digest in blobs)
            pulled = layer.content_id == layer.diff_id.partition(":")[2]
            if pulled and not usable and not layer.empty:
                self._bare.add(layer.diff_id)
            usable |= self._check_directories(layer)
            if usable or layer.empty:
                self._usable.add(layer.diff_id)
            elif self._found("layer", layer.diff_id, "no form of it is left", "forgotten"):
                for table in ("layers", "directories", "blobs"):
                    self._forget(f"DELETE FROM {table} WHERE diff_id = ?", layer.diff_id)  # noqa: S608  no input
                self._unlink(self._store.layers.entries_path(layer.diff_id))

    def _check_directories(self, layer: Layer) -> bool:
        """Look at a layer's entry list and directories; tell whether one of these is whole."""
        names = self._store.layers.directory_names(layer.diff_id)
        path = self._store.layers.entries_path(layer.diff_id)
        if not names and not os.path.exists(path):
            return False
        pulled = layer.content_id == layer.diff_id.partition(":")[2]
        refused = self._ask("entries", {"entries_path": path})
        if refused and self._found("entry list", layer.diff_id, refused, "removed"):
            self._unlink(path)
        whole = False
        for name in names:
            root = f"{self._store.root}/layers/{name}/fs"
            wrong = "its entry list is damaged" if refused else ""
            if not os.path.isdir(root):
                wrong = "it is missing"
            elif not wrong:
                diff_id = "" if pulled else layer.diff_id
                asked = {"entries_path": path, "root": root, "diff_id": diff_id}
                wrong = self._ask("directory", asked)
            if not wrong:
                whole = True
            elif self._found("directory", f"layers/{name}", wrong, "removed"):
                self._store.layers.drop_directory(name)
                self._discard(f"{self._store.root}/layers/{name}")
        return whole

    def _ask(self, what: str, arguments: dict[str, str]) -> str:
        found = self._store.jobs.call(f"builder.store.proof:prove_{what}", arguments)
        return cast("dict[str, str]", found)["refused"]

    def _check_records(self) -> None:
        rows = self._store.db.rows("SELECT key, base, diff_id, observations, parts FROM records")
        self._checked["records"] = len(rows)
        for key, base, diff_id, observations, parts in rows:
            reason = "" if diff_id in self._usable else "its layer is not there"
            try:
                _OBSERVATIONS.decode(cast("bytes", observations))
                _PARTS.decode(cast("bytes", parts))
            except (msgspec.MsgspecError, TypeError):
                reason = "it cannot be read"
            if reason and self._found("record", str(key), reason, "forgotten"):
                self._forget("DELETE FROM records WHERE key = ? AND base = ?", key, base)

    def _check_images(self) -> None:
        images = self._store.images.all()
        self._checked["images"] = len(images)
        for image in images:
            reason, mend = self._wrong_with(image.id)
            if reason and self._found("image", image.id, reason, mend):
                self._store.images.remove(image.id)

    def _wrong_with(self, image_id: str) -> tuple[str, str]:
        """Return what is wrong with an image, and what mends it."""
        if image_id not in self._blobs:
            return "its configuration is not there", "removed"
        try:
            config = parse_config(self._store.blobs.read(Digest(image_id)))
        except LapstrakeError as error:
            return error.message, "removed"
        for diff_id in config.diff_ids:
            if diff_id not in self._usable:
                return f"its layer {diff_id} is not there", "removed"
            if diff_id in self._bare:
                # Whatever came from a registry comes again when it is asked for; what was built on it is whole then.
                pulled = any(name.digest for name in self._store.images.names(image_id))
                why = f"its layer {diff_id} can be shown to a step, but not be sent"
                return why, "removed, to be pulled again" if pulled else ""
        return "", ""

    def _check_names(self) -> None:
        names = self._store.images.names()
        self._checked["names"] = len(names)
        known = {image.id for image in self._store.images.all()}
        for name in names:
            reason = "" if name.image in known else "it names no image"
            try:
                shown = Reference.parse(name.reference).familiar()
            except ReferenceInvalid as error:
                shown, reason = name.reference, error.message
            gone = any(each.name == name.image and each.kind == "image" for each in self._problems)
            if reason and not gone and self._found("name", shown, reason, "removed"):
                self._store.images.remove_name(name.reference)

        for each in self._store.images.platforms():
            reason = "" if each.image in known else f"it names no image for {each.platform}"
            if reason and self._found("name", each.reference, reason, "removed"):
                self._store.images.remove(each.image)

    def _check_leftovers(self) -> None:
        store = self._store
        mine = {os.path.basename(store.snapshots.scratch())}
        left = [
            *unused(store.root, "layers", store.layers.all_directories()),
            *unused(store.root, "active", {os.path.basename(path) for path in self._trash}),
            *unused(store.root, "scratch", mine),
        ]
        for path in left:
            if self._found("leftover", os.path.relpath(path, store.root), "no use", "removed"):
                self._discard(path)
        for path in unused(store.root, "entries", store.layers.all_entries()):
            if self._found("leftover", os.path.relpath(path, store.root), "no use", "removed"):
                self._unlink(path)

    def _discard(self, path: str) -> None:
        """Have a directory removed at the end; until then it is out of the way."""
        target = f"{self._store.root}/active/{unique_name()}"
        if os.path.lexists(path):
            os.rename(path, target)
            self._trash.append(target)

    def _unlink(self, path: str) -> None:
        if os.path.lexists(path):
            os.unlink(path)


def counted(checkup: Checkup) -> Iterable[str]:
    """Say what was looked at, in words."""
    for kind, number in checkup.checked.items():
        if kind != "index":
            yield f"{number} {kind if number != 1 else kind.removesuffix('s')}"
