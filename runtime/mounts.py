"""The steps that show directories, files and sockets in a root file system besides its own."""

from __future__ import annotations

import errno
import os
import stat

from runtime.beneath import open_beneath, walk
from runtime.errors import SetupFailed
from runtime.scene import CLOSED, Operation, Scene
from runtime.spec import FileMount, SocketMount, StackMount
from runtime.stack import overlay
from runtime.syscalls import ATTR_NODEV, ATTR_NOSUID, ATTR_READ_ONLY, Syscalls

_REAL_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW


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
        target = open_target(calls, scene, self.target, directory=directory)
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
        target = open_target(calls, scene, self.target, directory=True)
        calls.attach(mount, target)
        calls.close(mount)
        calls.close(target)


class PrepareStack(Operation, frozen=True):
    """Stack directories aside, and find in them what will be shown: its kind decides what its target must be."""

    name: str
    mount: StackMount
    one_by_one: bool

    def describe(self) -> str:
        """Return what is done."""
        return f"find `/{self.mount.path.strip('/')}` for the mount on `{self.mount.target}`"

    def execute(self, calls: Syscalls, scene: Scene) -> None:
        """Stack in the private directory, since only what is attached can be cloned; resolve the path inside."""
        rootfs = self.mount.rootfs
        stacked = overlay(
            calls,
            rootfs.lowers,
            upper=rootfs.upper,
            work=rootfs.work,
            one_by_one=self.one_by_one,
            scratch=scene.scratch,
            name=f"{self.name}-links",
        )
        calls.make_directory(self.name, scene.scratch, 0o700)
        place = calls.open(self.name, _REAL_DIRECTORY, directory=scene.scratch)
        calls.attach(stacked, place)
        calls.close(place)
        scene.prepared[self.name] = open_beneath(
            stacked, self.mount.path.strip("/"), os.O_PATH, syscalls=calls
        )
        calls.close(stacked)


class ShowPrepared(Operation, frozen=True):
    """What `PrepareStack` found, at its target."""

    name: str
    target: str

    def describe(self) -> str:
        """Return what is done."""
        return f"mount on `{self.target}`"

    def execute(self, calls: Syscalls, scene: Scene) -> None:
        """Clone it and attach it on the target's descriptor."""
        source = scene.prepared.pop(self.name)
        directory = stat.S_ISDIR(calls.status(source).st_mode)
        mount = calls.clone_tree(source)
        target = open_target(calls, scene, self.target, directory=directory)
        calls.attach(mount, target)
        for descriptor in (source, mount, target):
            calls.close(descriptor)


class ShowFile(Operation, frozen=True):
    """A small file of our making, read-only at a target; its bytes are in memory alone.

    One that is `optional` is left out where its target has no directory to be in.
    """

    name: str
    mount: FileMount
    optional: bool = False

    def describe(self) -> str:
        """Return what is done."""
        return f"show `{self.mount.target}`"

    def execute(self, calls: Syscalls, scene: Scene) -> None:
        """Write it in the private directory and bind it."""
        given = self.mount
        if self.optional and not _is_there(calls, scene.root, given.target):
            return
        calls.make_file(self.name, scene.scratch, given.content, given.mode)
        source = calls.open(self.name, os.O_PATH | os.O_NOFOLLOW, directory=scene.scratch)
        if (given.uid, given.gid) != (0, 0):
            calls.give(source, given.uid, given.gid, given.mode)
        mount = calls.clone_tree(source)
        calls.restrict(mount, CLOSED | ATTR_READ_ONLY)
        target = open_target(calls, scene, given.target, directory=False)
        calls.attach(mount, target)
        for descriptor in (source, mount, target):
            calls.close(descriptor)


class ShowSocket(Operation, frozen=True):
    """A socket of the builder's at a target."""

    mount: SocketMount

    def describe(self) -> str:
        """Return what is done."""
        return f"show a socket at `{self.mount.target}`"

    def execute(self, calls: Syscalls, scene: Scene) -> None:
        """Bind it; the builder made it for this step alone, so that its owner can be what the step asks for."""
        given = self.mount
        source = calls.open(given.source, os.O_PATH | os.O_NOFOLLOW)
        if not stat.S_ISSOCK(calls.status(source).st_mode):
            raise OSError(errno.ENOTSOCK, os.strerror(errno.ENOTSOCK), given.source)
        calls.give(source, given.uid, given.gid, given.mode)
        mount = calls.clone_tree(source)
        calls.restrict(mount, CLOSED)
        target = open_target(calls, scene, given.target, directory=False)
        calls.attach(mount, target)
        for descriptor in (source, mount, target):
            calls.close(descriptor)


def _is_there(calls: Syscalls, root: int, path: str) -> bool:
    place = walk(calls, root, path)
    calls.close(place.descriptor)
    return not place.missing


def open_target(calls: Syscalls, scene: Scene, path: str, *, directory: bool) -> int:
    """Open the target of a mount below the root, and make it where it is missing in what is mounted there.

    Raises: OSError: it is of the other kind, or cannot be made. SetupFailed: it is where the set-up itself looks.
    """
    root = scene.root
    try:
        target = open_beneath(root, path, os.O_PATH, syscalls=calls)
    except FileNotFoundError:
        place = walk(calls, root, path)
        names = place.path[len(place.path) - place.missing :]
        if directory:
            make_missing(calls, place.descriptor, names)
        else:
            calls.make_file(names[-1], make_missing(calls, place.descriptor, names[:-1]))
        target = open_beneath(root, path, os.O_PATH, syscalls=calls)
    if stat.S_ISDIR(calls.status(target).st_mode) != directory:
        number = errno.ENOTDIR if directory else errno.EISDIR
        raise OSError(number, os.strerror(number), path)
    if directory:
        _refuse_ours(calls, scene, path, target)
    return target


def _refuse_ours(calls: Syscalls, scene: Scene, path: str, target: int) -> None:
    """Refuse to cover the devices as a whole and directories of proc: what follows asks there about this process."""
    found = calls.status(target)
    devices = calls.status(scene.devices)
    if found.st_dev == calls.status(scene.proc).st_dev:
        place = "/proc"
    elif (found.st_dev, found.st_ino) == (devices.st_dev, devices.st_ino):
        place = "/dev"
    else:
        return
    raise SetupFailed(
        f"mount on `{path}`",
        f"every command has its own `{place}`",
        hint="choose a target elsewhere, and a link to it if need be",
    )


def make_missing(calls: Syscalls, base: int, names: tuple[str, ...]) -> int:
    """Make directories, one in the other, below `base`; return a descriptor of the last."""
    for name in names:
        calls.make_directory(name, base)
        base = calls.open(name, _REAL_DIRECTORY, directory=base)
    return base
