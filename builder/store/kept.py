"""Layers of steps that failed: no image and no record needs them, and only so many are kept."""

from __future__ import annotations

import os
from contextlib import suppress

from builder.errors import StoreError
from builder.oci.digest import Digest
from builder.store.needs import chain_of
from builder.store.root import Store

MOST = 10


def kept_layers(store: Store) -> dict[str, float]:
    """Return the diff ids of what failed steps wrote and is still here, the newest first, and when their builds ended."""
    found: dict[str, float] = {}
    for about in store.builds.all():
        for diff_id in about.kept:
            known = store.db.row("SELECT 1 FROM layers WHERE diff_id = ?", (diff_id,))
            if known is not None:
                found.setdefault(diff_id, about.started + about.seconds)
    return found


def tidy(store: Store, most: int = MOST) -> None:
    """Forget what the oldest failed steps wrote, beyond the newest `most`; while others use the store, nothing."""
    _forget(store, tuple(kept_layers(store))[most:])


def forget_newest(store: Store) -> None:
    """Forget what the failed steps of the newest build wrote, unless those of another wrote the same."""
    newest, *others = store.builds.all()
    known = {diff_id for about in others for diff_id in about.kept}
    _forget(store, tuple(diff_id for diff_id in newest.kept if diff_id not in known))


def _forget(store: Store, diff_ids: tuple[str, ...]) -> None:
    """Remove layers that nothing but failed builds knows of; while others use the store, nothing."""
    if not diff_ids:
        return
    with suppress(StoreError), store.exclusive():
        needed = {diff_id for image in store.images.all() for diff_id in chain_of(store, image)}
        for diff_id in diff_ids:
            recorded = store.db.row("SELECT 1 FROM records WHERE diff_id = ?", (diff_id,))
            if recorded is None and diff_id not in needed:
                _remove(store, diff_id)


def _remove(store: Store, diff_id: str) -> None:
    names = store.layers.directory_names(diff_id)
    forms = store.layers.blobs(diff_id)
    with store.db.transaction():
        for table in ("layers", "directories", "blobs"):
            store.db.execute(f"DELETE FROM {table} WHERE diff_id = ?", (diff_id,))  # noqa: S608  no input
    with suppress(FileNotFoundError):
        os.unlink(store.layers.entries_path(diff_id))
    for form in forms:
        store.blobs.remove(Digest(form.digest))
    for name in names:
        path = {"path": f"{store.root}/layers/{name}"}
        store.jobs.call("builder.layer.jobs:remove_tree", path, cleanup=True)
