"""Removal of a whole store: the index first, so that what is left of a killed removal is litter of an empty store."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from builder.errors import StoreError
from builder.store.inflight import ROOM as INFLIGHT
from builder.store.lists import ROOM as LISTS
from builder.store.ours import ROOMS
from builder.store.usage import file_bytes

if TYPE_CHECKING:
    from builder.store.jobs import Jobs
    from builder.store.root import Store

_TREES = (
    *ROOMS,
    "blobs",
    "builds",
    "downloads",
    "leases",
    "mounts",
    "traces",
    "trees",
    INFLIGHT,
    LISTS,
)
_INDEX = ("index.db", "index.db-wal", "index.db-shm")
_FILES = ("oci-layout", "reserve", "secret-key", "store.json", "lock")


def reset(store: Store) -> int:
    """Remove all that lapstrake keeps, and the directory itself if nothing else is in it; close the store afterwards.

    Returns: the bytes given back.
    Raises: StoreError: `store.busy`: somebody uses it.
    """
    with store.exclusive():
        return _remove(store.root, store.jobs)


def is_damaged_store(root: str) -> bool:
    """Tell whether a directory was a store, although it cannot be opened as one."""
    present = set(os.listdir(root)) if os.path.isdir(root) else set()
    return {"lock", "layers", "blobs"} <= present and not present.isdisjoint(
        {"index.db", "store.json"}
    )


def reset_damaged(root: str, jobs: Jobs) -> int:
    """Do `reset` where the index or the header is damaged or gone; only what has the names of a store's parts goes.

    Returns: the bytes given back.
    Raises: StoreError: `store.busy`: somebody uses it.
    """
    with open(f"{root}/lock", "rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(
                "another command is using the store",
                code="store.busy",
                hint="wait for it to finish, then try again",
            ) from error
        return _remove(root, jobs)


def _remove(root: str, jobs: Jobs) -> int:
    freed = sum(_unlinked(f"{root}/{name}") for name in _INDEX)
    for name in _TREES:
        path = f"{root}/{name}"
        found = jobs.call("builder.store.usage:remove_trees", {"paths": (path,)})
        freed += cast("dict[str, int]", found)["bytes"]
    freed += sum(_unlinked(f"{root}/{name}") for name in _FILES)
    with suppress(OSError):  # somebody keeps something there, or it is a mount point
        os.rmdir(root)
    return freed


def _unlinked(path: str) -> int:
    size = file_bytes(path)
    with suppress(FileNotFoundError):
        os.unlink(path)
    return size
