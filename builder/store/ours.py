"""Which names in a store's directory lapstrake makes itself: nothing else is ever removed from there.

A directory becomes a store only if nobody keeps anything in it, so that what is found later under such a name
was made here.
"""

from __future__ import annotations

import os
from collections.abc import Collection

ROOMS = ("layers", "entries", "contexts", "active", "scratch", "tmp")
"""The directories that every store has."""

HEADER = "header-"
"""How the name of a header begins while it is being written; the process id follows."""

BLOB = "blob-"
"""The same of a blob; random digits follow."""

PART = "part-"
"""The same of a blob that a later pull may go on with; its algorithm and digits follow."""

_HEX = frozenset("0123456789abcdef")
_NAME = 24
_BEGINNING = frozenset({"lock", "oci-layout"})
_EMPTY = frozenset(
    {*ROOMS, "builds", "downloads", "inflight", "leases", "lists", "mounts", "traces", "trees"}
)
_OF_FILES = frozenset({"entries", "contexts", "inflight", "leases", "tmp", "traces"})


def is_ours(room: str, name: str) -> bool:
    """Tell whether a name in a room of the store is one that lapstrake gives there."""
    match room:
        case "layers" | "active" | "scratch" | "mounts" | "leases":
            return _is_hex(name, _NAME)
        case "trees":
            state, _, boot = name.partition("-")
            return _is_hex(state, 64) and _is_hex(boot, 8)
        case "traces":
            return _is_hex(name, 32)
        case "inflight":
            return _is_hex(name, 40)
        case "entries":
            return _is_hex(name, 64) or _is_hex(name, 128)
        case "contexts":
            known, *unfinished = name.split(".")
            context, _, selection = known.partition("-")
            whole = _is_hex(context, 64) and (context == known or _is_hex(selection, 16))
            return whole and all(number.isdecimal() for number in unfinished)
        case "downloads":
            return name in ("http", "git")
        case "tmp":
            if name.startswith(BLOB):
                return _is_hex(name.removeprefix(BLOB), 16)
            if name.startswith(PART):
                algorithm, _, digits = name.removeprefix(PART).partition("-")
                return _is_hex(digits, {"sha256": 64, "sha512": 128}.get(algorithm, 0))
            return name.startswith(HEADER) and name.removeprefix(HEADER).isdecimal()
        case _:
            return False


def unused(root: str, room: str, used: Collection[str]) -> list[str]:
    """Return the paths in a room that lapstrake made and that are not in use, sorted; odd things are left out.

    Raises: OSError: it cannot be read. A room that only some stores have may be missing.
    """
    if room == "trees" and not os.path.isdir(f"{root}/{room}"):
        return []
    with os.scandir(f"{root}/{room}") as found:
        return sorted(
            f"{root}/{room}/{item.name}"
            for item in found
            if item.name not in used
            and is_ours(room, item.name)
            and (item.is_file if room in _OF_FILES else item.is_dir)(follow_symlinks=False)
        )


def foreign(root: str) -> str | None:
    """Return the path of something that no beginning store can hold, None if `root` may become one.

    A store that was killed before it had a header has a lock and some of its rooms, all of them empty.

    Raises: OSError: it cannot be read.
    """
    for name in sorted(os.listdir(root)):
        path = f"{root}/{name}"
        if name == "lost+found" or name in _BEGINNING or name.startswith("index.db"):
            continue
        if os.path.isdir(path) and not os.path.islink(path):
            inside = os.listdir(path)
            if name in _EMPTY and all(name == "tmp" and is_ours(name, each) for each in inside):
                continue
            if name == "blobs" and not any(_holds_files(f"{path}/{each}") for each in inside):
                continue
        return path
    return None


def _holds_files(path: str) -> bool:
    return not os.path.isdir(path) or bool(os.listdir(path))


def _is_hex(text: str, length: int) -> bool:
    return len(text) == length > 0 and _HEX.issuperset(text)
