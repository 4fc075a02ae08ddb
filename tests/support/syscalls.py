"""A kernel that does nothing: it records what is asked of it and hands out descriptors."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from runtime.syscalls import Syscalls


class Asked(NamedTuple):
    """One call with its arguments; descriptors are shown as what they stand for."""

    name: str
    arguments: tuple[object, ...]


class RecordingSyscalls(Syscalls):
    """Takes everything for a directory that exists, except what `missing`, `files` and `links` name."""

    def __init__(
        self,
        *,
        missing: frozenset[str] = frozenset(),
        files: frozenset[str] = frozenset(),
        devices: dict[str, tuple[int, int]] | None = None,
    ) -> None:
        self.asked: list[Asked] = []
        self.open_now: dict[int, str] = {}
        self._missing = missing
        self._files = files
        self._devices = devices or {}
        self._next = 100

    def names(self) -> list[str]:
        """Return the names of the calls in order."""
        return [asked.name for asked in self.asked]

    def _note(self, name: str, *arguments: object) -> None:
        shown = tuple(
            self.open_now.get(argument, argument) if isinstance(argument, int) else argument
            for argument in arguments
        )
        self.asked.append(Asked(name, shown))

    def _new(self, what: str) -> int:
        self._next += 1
        self.open_now[self._next] = what
        return self._next

    def new_mount(self, kind, options=(), *, attributes=0):
        self._note("new_mount", kind, options, attributes)
        if any(str(value).endswith("/stubs") for _, value in options):
            self._missing = frozenset()
        return self._new(f"<{kind}>")

    def clone_tree(self, descriptor, *, recursive=False):
        self._note("clone_tree", descriptor, recursive)
        return self._new(f"clone of {self.open_now[descriptor]}")

    def restrict(self, mount, attributes, *, recursive=False):
        self._note("restrict", mount, f"{attributes:#x}", recursive)

    def attach(self, mount, target):
        self._note("attach", mount, target)

    def pivot(self, root, *, above):
        self._note("pivot", root)

    def entries(self, directory):
        self._note("entries", directory)
        return [("1", False), ("self", True), ("meminfo", False)]

    def open_resolved(self, directory, path, flags, mode, resolve):
        return self.open(path, flags, directory=directory)

    def open(self, path, flags, *, directory=None, mode=0o777):
        base = "" if directory is None else self.open_now[directory]
        place = base if path == "." else f"{base}/{path}".replace("//", "/")
        inside = place.partition(">")[2] or place
        if inside in self._missing:
            raise FileNotFoundError(2, "No such file or directory", place)
        return self._new(place)

    def close(self, descriptor):
        del self.open_now[descriptor]

    def change_directory(self, directory):
        self._note("change_directory", directory)

    def status(self, descriptor):
        place = self.open_now[descriptor]
        inside = place.partition(">")[2] or place
        kind, device = stat.S_IFDIR, 0
        if inside in self._files:
            kind = stat.S_IFREG
        elif place in self._devices:
            kind, device = stat.S_IFCHR, os.makedev(*self._devices[place])
        mount = sum(place.partition(">")[0].encode())  # another number for another file system
        inode = sum(inside.encode())
        return os.stat_result((kind | 0o755, inode, mount, *[0] * 7), {"st_rdev": device})

    def make_directory(self, name, directory, mode=0o755):
        self._note("make_directory", name, directory)

    def give(self, descriptor, uid, gid, mode):
        self._note("give", descriptor, uid, gid, f"{mode:o}")

    def make_file(self, name, directory, content=b"", mode=0o644):
        self._note("make_file", name, directory, content)

    def make_link(self, target, name, directory):
        self._note("make_link", target, name, directory)

    def copy_attributes(self, source, target):
        self._note("copy_attributes", source, target)

    def set_host_name(self, name):
        self._note("set_host_name", name)
