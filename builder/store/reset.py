"""Removal of a whole store: the index first, so that what is left of a killed removal is litter of an empty store."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from builder.store.inflight import ROOM as INFLIGHT
from builder.store.ours import ROOMS
from builder.store.usage import file_bytes

if TYPE_CHECKING:
    from builder.store.root import Store

_TREES = (*ROOMS, "blobs", "builds", "downloads", "leases", "mounts", "traces", "trees", INFLIGHT)
_INDEX = ("index.db", "index.db-wal", "index.db-shm")
_FILES = ("oci-layout", "reserve", "secret-key", "store.json", "lock")


def reset(store: Store) -> int:
    """Remove all that lapstrake keeps, and the directory itself if nothing else is in it; close the store afterwards.

    Returns: the bytes given back.
    Raises: StoreError: `store.busy`: somebody uses it.
    """
    with store.exclusive():
        freed = sum(_unlinked(f"{store.root}/{name}") for name in _INDEX)
        trees = [f"{store.root}/{name}" for name in _TREES]
        for path in trees:
            found = store.jobs.call("builder.store.usage:remove_trees", {"paths": (path,)})
            freed += cast("dict[str, int]", found)["bytes"]
        freed += sum(_unlinked(f"{store.root}/{name}") for name in _FILES)
        with suppress(OSError):  # somebody keeps something there, or it is a mount point
            os.rmdir(store.root)
    return freed


def _unlinked(path: str) -> int:
    size = file_bytes(path)
    with suppress(FileNotFoundError):
        os.unlink(path)
    return size
