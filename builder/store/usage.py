"""How much there is in a store, and what a tree takes on disk."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import msgspec

if TYPE_CHECKING:
    from builder.store.root import Store

_BLOCK = 512


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers and bytes; `layer_bytes` are those of the tars that the directory forms were made of."""

    images: int
    layers: int
    records: int
    cache_mounts: int
    blob_bytes: int
    layer_bytes: int
    index_bytes: int


class DiskUsage(msgspec.Struct, frozen=True, kw_only=True):
    """The trees to measure or to remove, host paths."""

    paths: tuple[str, ...]


def usage(store: Store) -> Usage:
    """Return what there is; no layer is read for it."""

    def number(statement: str) -> int:
        row = store.db.row(statement)
        return 0 if row is None else cast("int", row[0])

    blobs = [store.blobs.size(digest) or 0 for digest in store.blobs.digests()]
    return Usage(
        images=number("SELECT count(*) FROM images"),
        layers=number("SELECT count(*) FROM layers"),
        records=number("SELECT count(*) FROM records"),
        cache_mounts=len(store.cache_mounts.all()),
        blob_bytes=sum(blobs),
        layer_bytes=number(
            "SELECT coalesce(sum(max(size, 0)), 0) FROM layers JOIN directories USING (diff_id)"
        ),
        index_bytes=os.stat(f"{store.root}/index.db").st_size,
    )


def disk_usage(
    arguments: object, fds: tuple[int, ...], report: Callable[[object], object]
) -> object:
    """Do `DiskUsage`, as a job: rootless trees have directories that only their own root may read.

    Returns: `bytes`, a list: those of all blocks below each path; a file with several names there counts once.
    """
    del fds, report
    return {"bytes": [_measured(path) for path in msgspec.convert(arguments, DiskUsage).paths]}


def remove_trees(
    arguments: object, fds: tuple[int, ...], report: Callable[[object], object]
) -> object:
    """Remove the trees of a `DiskUsage`, as a job.

    Returns: `bytes`: how many of them the disk got back.
    """
    from builder.layer.remove import remove_tree

    del fds, report
    freed = 0
    for path in msgspec.convert(arguments, DiskUsage).paths:
        freed += _measured(path)
        remove_tree(path)
    return {"bytes": freed}


def file_bytes(path: str) -> int:
    """Return the bytes of a file's blocks; 0 where there is none."""
    try:
        return os.lstat(path).st_blocks * _BLOCK
    except FileNotFoundError:
        return 0


def _measured(path: str) -> int:
    """Walk a tree, without following links; what goes meanwhile is not counted."""
    seen: set[tuple[int, int]] = set()
    total = 0
    waiting = [path]
    while waiting:
        path = waiting.pop()
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            continue
        directory = stat.S_ISDIR(status.st_mode)
        if status.st_nlink > 1 and not directory:
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
        total += status.st_blocks * _BLOCK
        if directory:
            waiting += (f"{path}/{name}" for name in _names(path))
    return total


def _names(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:  # a mode that forbids it, or a path that is too long: counted as empty
        return []
