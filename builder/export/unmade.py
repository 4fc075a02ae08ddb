"""Devices of an image that no tree on this host holds: the kernel lets nobody but root make them.

They are in the entry lists of the layers; see `layer.unpack`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from builder.layer.entries import read_entries
from builder.layer.entry import Entry, Kind, sort_key

_DEVICES = (Kind.CHARACTER, Kind.BLOCK)


def unmade(root: int, lists: Iterable[str]) -> list[Entry]:
    """Return, in the order of `walk`, the devices that the stacked layers have and the directory `root` has not.

    `lists` are host paths of the layers' entry lists, the lowest first.
    """
    devices: dict[bytes, Entry] = {}
    for path in lists:
        if os.path.exists(path):
            devices = _above(devices, read_entries(path))
    absent = [entry for path, entry in devices.items() if not _is_there(root, path)]
    return sorted(absent, key=lambda entry: sort_key(entry.path))


def _above(lower: dict[bytes, Entry], layer: Iterator[Entry]) -> dict[bytes, Entry]:
    """Return the devices that show when a layer lies on others."""
    left, own = dict(lower), {}
    parents = {parent for path in lower for parent in _parents(path)}
    for entry in layer:
        if entry.kind in _DEVICES:
            own[entry.path] = entry
        if entry.kind is not Kind.OPAQUE:
            left.pop(entry.path, None)
        if entry.kind is not Kind.DIRECTORY and entry.path in parents:
            below = entry.path + b"/" if entry.path else b""
            left = {path: each for path, each in left.items() if not path.startswith(below)}
    return left | own


def _parents(path: bytes) -> Iterator[bytes]:
    while path:
        path = path.rpartition(b"/")[0]
        yield path


def _is_there(root: int, path: bytes) -> bool:
    try:
        os.lstat(path, dir_fd=root)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
