"""The steps that turn a fresh process in new namespaces into one that may become the command.

Each is plain data with `describe()`, in words that complete "cannot …", and `execute()`, which works on a `Scene` through
`Syscalls`. Until the pivot, all mount targets are descriptors opened below the new root; no path of the root file
system is ever resolved in the view of the host.
"""

from __future__ import annotations

import errno
import os
import stat

from runtime.beneath import open_beneath, walk
from runtime.network import bring_up_loopback
from runtime.scene import CLOSED, Operation, Scene
from runtime.stack import overlay
from runtime.stubs import Target, make_stub_layer
from runtime.syscalls import (
    ATTR_NODEV,
    ATTR_NOSUID,
    ATTR_READ_ONLY,
    Syscalls,
)
from runtime.user import find_user

_REAL_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW


class MakeScratch(Operation, frozen=True):
    """A private tmpfs on top of the old root, which nobody sees and the pivot throws away."""

    def describe(self) -> str:
        """Return what is done."""
        return "make a private directory"

    def execute(self, calls: Syscalls, scene: Scene) -> None:
        """Attach a tmpfs over `/`: paths still start below it, descriptors reach it."""
        scene.scratch = calls.new_mount("tmpfs", (("mode", "0700"),), attributes=CLOSED)
        top = calls.open("/", _REAL_DIRECTORY)
        calls.attach(scene.scratch, top)
        calls.close(top)


class StackRoot(Operation, frozen=True, kw_only=True):
    """The root file system: the stack of directories, and below the writable one whatever mounts need."""

    lowers: tuple[str, ...]
    upper: str | None
    work: str | None
    targets: tuple[Target, ...]
    one_by_one: bool

    def describe(self) -> str:
        """Return what is done."""
        kind = "writable" if self.upper else "read-only"
        return f"stack {len(self.lowers)} layers as a {kind} root"

    def execute(self, calls: Syscalls, scene: Scene) -> None:
        """Look first, read-only, which targets of mounts are missing; then stack once, with a layer that has them.

        A read-only stack costs a fortieth of a writable one, which makes files on the disk.
        """
        layers = self.lowers if self.upper is None else (self.upper, *self.lowers)
        look = overlay(calls, layers, one_by_one=self.one_by_one, scratch=scene.scratch)
        place, place_path = scene.scratch, f"/proc/self/fd/{scene.scratch}"
        if self.work is not None:
            place, place_path = calls.open(self.work, _REAL_DIRECTORY), self.work
        stubs = make_stub_layer(calls, look, self.targets, (place, place_path))
        if stubs is None and self.upper is None:
            scene.root = look
        else:
            calls.close(look)
            scene.root = self._stack(calls, scene, place, stubs)
        calls.attach(scene.root, scene.scratch)

    def _stack(self, calls: Syscalls, scene: Scene, place: int, stubs: str | None) -> int:
        lowers, work = self.lowers, self.work
        if stubs is not None:
            lowers = (stubs, *lowers)
            if work is not None:
                # No layer may lie inside the work directory, so that moves down, too.
                calls.make_directory("work", place, 0o700)
                work = f"{work}/work"
        return overlay(
            calls,
            lowers,
            upper=self.upper,
            work=work,
            one_by_one=self.one_by_one,
            scratch=scene.scratch,
        )


class FindUser(Operation, frozen=True):
    """Who will run the command, by the files of the root file system alone."""

    user: str

    def describe(self) -> str:
        """Return what is done."""
        return f"find the user `{self.user or '0'}`"

    def execute(self, calls: Syscalls, scene: Scene) -> None:
        """Look it up before anything is mounted over the files."""
        scene.user = find_user(scene.root, self.user, syscalls=calls)


class Bind(Operation, frozen=True):
    """A file or directory of the host at a target in the root file system."""

    source: str
    target: str
    read_only: bool

    def describe(self) -> str:
        """Return what is done."""
        return f"mount `{self.source}` on `{self.target}`"

    def execute(self, calls: Syscalls, scene: Scene) -> None:
        """Clone the source's mounts, restrict them and attach them on the target's descriptor."""
        source = calls.open(self.source, os.O_PATH)
        directory = stat.S_ISDIR(calls.status(source).st_mode)
        mount = calls.clone_tree(source, recursive=True)
        attributes = ATTR_NODEV | (ATTR_READ_ONLY if self.read_only else 0)
        calls.restrict(mount, attributes, recursive=True)
        target = _target(calls, scene.root, self.target, directory=directory)
        calls.attach(mount, target)
        for descriptor in (source, mount, target):
            calls.close(descriptor)


class Tmpfs(Operation, frozen=True):
    """An empty directory in memory at a target in the root file system."""

    target: str
    mode: int
    size: int | None
    read_only: bool

    def describe(self) -> str:
        """Return what is done."""
        return f"mount a tmpfs on `{self.target}`"

    def execute(self, calls: Syscalls, scene: Scene) -> None:
        """Make it and attach it on the target's descriptor."""
        options: tuple[tuple[str, str | None], ...] = (("mode", f"{self.mode:o}"),)
        if self.size is not None:
            options = (*options, ("size", str(self.size)))
        attributes = ATTR_NOSUID | ATTR_NODEV | (ATTR_READ_ONLY if self.read_only else 0)
        mount = calls.new_mount("tmpfs", options, attributes=attributes)
        target = _target(calls, scene.root, self.target, directory=True)
        calls.attach(mount, target)
        calls.close(mount)
        calls.close(target)


class ShowFile(Operation, frozen=True):
    """A small file of our making, read-only at a target; its bytes are in memory alone."""

    name: str
    target: str
    content: bytes

    def describe(self) -> str:
        """Return what is done."""
        return f"show `{self.target}`"

    def execute(self, calls: Syscalls, scene: Scene) -> None:
        """Write it in the private directory and bind it."""
        calls.make_file(self.name, scene.scratch, self.content)
        source = calls.open(self.name, os.O_PATH | os.O_NOFOLLOW, directory=scene.scratch)
        mount = calls.clone_tree(source)
        calls.restrict(mount, CLOSED | ATTR_READ_ONLY)
        target = _target(calls, scene.root, self.target, directory=False)
        calls.attach(mount, target)
        for descriptor in (source, mount, target):
            calls.close(descriptor)


class SetHostName(Operation, frozen=True):
    """The host name of the own UTS namespace."""

    name: str

    def describe(self) -> str:
        """Return what is done."""
        return f"set the host name `{self.name}`"

    def execute(self, calls: Syscalls, scene: Scene) -> None:  # noqa: ARG002 - as all operations
        """Set it."""
        calls.set_host_name(self.name)


class BringUpLoopback(Operation, frozen=True):
    """The loopback interface of the own network namespace."""

    def describe(self) -> str:
        """Return what is done."""
        return "bring up the loopback interface"

    def execute(self, calls: Syscalls, scene: Scene) -> None:  # noqa: ARG002 - as all operations
        """Set it up."""
        bring_up_loopback()


class Pivot(Operation, frozen=True):
    """From here on `/` is the new root, and the old one is gone."""

    def describe(self) -> str:
        """Return what is done."""
        return "change to the new root"

    def execute(self, calls: Syscalls, scene: Scene) -> None:
        """Pivot and detach the old root, with the private directory that lies over it."""
        calls.pivot(scene.root, above=1)


class EnterDirectory(Operation, frozen=True):
    """The working directory; made, owned by root, where it is missing."""

    path: str

    def describe(self) -> str:
        """Return what is done."""
        return f"enter the directory `{self.path}`"

    def execute(self, calls: Syscalls, scene: Scene) -> None:
        """Open it below the root, so that no link of proc leads out, and change to it."""
        place = walk(calls, scene.root, self.path)
        _make_missing(calls, place.descriptor, place.path[len(place.path) - place.missing :])
        directory = open_beneath(scene.root, self.path, os.O_PATH | os.O_DIRECTORY, syscalls=calls)
        calls.change_directory(directory)
        calls.close(directory)
        calls.close(place.descriptor)


def _target(calls: Syscalls, root: int, path: str, *, directory: bool) -> int:
    """Open the target of a mount below the root, and make it where it is missing in what is mounted there."""
    try:
        target = open_beneath(root, path, os.O_PATH, syscalls=calls)
    except FileNotFoundError:
        place = walk(calls, root, path)
        names = place.path[len(place.path) - place.missing :]
        if directory:
            _make_missing(calls, place.descriptor, names)
        else:
            calls.make_file(names[-1], _make_missing(calls, place.descriptor, names[:-1]))
        target = open_beneath(root, path, os.O_PATH, syscalls=calls)
    if stat.S_ISDIR(calls.status(target).st_mode) != directory:
        number = errno.ENOTDIR if directory else errno.EISDIR
        raise OSError(number, os.strerror(number), path)
    return target


def _make_missing(calls: Syscalls, base: int, names: tuple[str, ...]) -> int:
    for name in names:
        calls.make_directory(name, base)
        base = calls.open(name, _REAL_DIRECTORY, directory=base)
    return base
