"""Makes what mounts need and an image lacks, so that nothing of it is left behind.

A mount needs a directory or file to lie on. Where the image has none, an empty one stands in a layer of its own,
between the writable directory and the image's layers:

    upper   what the command changes
    stubs   etc/resolv.conf cache/      only what is missing, parents with the attributes that they have below
    lower   the image

The writable directory is therefore never touched, whatever happens to the process; there is nothing to remove and no
time to restore afterwards. Only `/proc`, `/sys` and `/dev` are made in it: an image without them has them after its first
RUN, as everywhere. Parents take all attributes of the image's own, so that a command that changes
them finds, and copies up, what the image had.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping

import msgspec

from runtime.beneath import walk
from runtime.errors import SetupFailed
from runtime.syscalls import Syscalls

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW
_LAYER = "stubs"
_OWN = frozenset({"dev", "proc", "sys"})
"""Covered by mounts of our own, where targets are made when they are needed."""


class Target(msgspec.Struct, frozen=True):
    """Something that will be mounted on; with a `source`, it must be of that kind, else a directory or a file.

    `source` is a host path; with `prepared`, the source is the descriptor that is kept by that name.
    `optional` ones are made only in a directory that is there.
    `real` ones must not be links: the file systems of the kernel go where they belong or nowhere.
    """

    path: str
    directory: bool = True
    source: str = ""
    prepared: str = ""
    real: bool = False
    optional: bool = False


class Missing(msgspec.Struct, frozen=True):
    """A target that the root file system lacks: where it belongs, links resolved, and what it is to be."""

    path: tuple[str, ...]
    directory: bool
    real: bool


def find_missing(
    calls: Syscalls, root: int, targets: tuple[Target, ...], *, prepared: Mapping[str, int]
) -> tuple[Missing, ...]:
    """Return which of `targets` are missing in `root`, a view of the image; `prepared` are descriptors of sources.

    Raises: SetupFailed: a target of the kernel's own file systems is no directory. OSError.
    """
    missing: list[Missing] = []
    for target in targets:
        found = walk(calls, root, target.path, follow=not target.real)
        mode = calls.status(found.descriptor).st_mode
        calls.close(found.descriptor)
        if found.missing:
            if target.optional and found.missing > 1:
                continue
            if found.path[0] not in _OWN or len(found.path) == 1:
                directory = _is_directory(calls, target, prepared)
                missing.append(Missing(found.path, directory, target.real))
        elif target.real and not stat.S_ISDIR(mode):
            kind = "a symbolic link" if stat.S_ISLNK(mode) else "not a directory"
            raise SetupFailed(
                f"mount on `{target.path}`",
                f"it is {kind} in the root file system",
                hint=f"use a base image in which `{target.path}` is a directory",
            )
    return tuple(missing)


def make_stub_layer(
    calls: Syscalls, root: int, missing: tuple[Missing, ...], place: tuple[int, str]
) -> str | None:
    """Make what is `missing` in a new directory and return its path, or None where nothing is.

    `root` is a view of the image, `place` the descriptor and the path of where the directory is made.

    Raises: OSError.
    """
    if not missing:
        return None
    calls.make_directory(_LAYER, place[0], 0o755)
    layer = _Layer(calls, root, calls.open(_LAYER, _DIRECTORY, directory=place[0]))
    for each in missing:
        layer.add(each.path, directory=each.directory)
    layer.finish()
    return f"{place[1]}/{_LAYER}"


def _is_directory(calls: Syscalls, target: Target, prepared: Mapping[str, int]) -> bool:
    """Tell whether a target has to be a directory."""
    if target.prepared:
        return stat.S_ISDIR(calls.status(prepared[target.prepared]).st_mode)
    if not target.source:
        return target.directory
    source = calls.open(target.source, os.O_PATH)
    try:
        return stat.S_ISDIR(calls.status(source).st_mode)
    finally:
        calls.close(source)


class _Layer:
    """A layer in the making: per directory, its descriptor there and in the image, if the image has it."""

    def __init__(self, calls: Syscalls, root: int, own: int) -> None:
        self._calls = calls
        self._made: dict[tuple[str, ...], tuple[int, int | None]] = {(): (own, root)}

    def add(self, path: tuple[str, ...], *, directory: bool) -> None:
        """Make an empty directory or file at `path`, and its parents."""
        parent = self._directory(path[:-1])
        if directory:
            self._directory(path)
            return
        try:
            self._calls.make_file(path[-1], parent[0])
        except FileExistsError:
            return  # the same target twice

    def _directory(self, path: tuple[str, ...]) -> tuple[int, int | None]:
        made = self._made.get(path)
        if made is not None:
            return made
        parent, parent_origin = self._directory(path[:-1])
        self._calls.make_directory(path[-1], parent)
        own = self._calls.open(path[-1], _DIRECTORY, directory=parent)
        origin = None
        if parent_origin is not None:
            try:
                origin = self._calls.open(path[-1], _DIRECTORY, directory=parent_origin)
            except OSError as error:
                if error.errno != errno.ENOENT:
                    raise
        self._made[path] = (own, origin)
        return own, origin

    def finish(self) -> None:
        """Copy the attributes, the deepest first, so that nothing made later changes a time again."""
        for path in sorted(self._made, key=len, reverse=True):
            own, origin = self._made[path]
            if origin is not None:
                self._calls.copy_attributes(origin, own)
            self._calls.close(own)
            if origin is not None and path:
                self._calls.close(origin)
