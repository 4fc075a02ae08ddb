"""The file systems of the kernel below /proc, /sys and /dev, and what of them a step may not see or change."""

from __future__ import annotations

import errno
import os
import stat

from runtime.beneath import open_beneath
from runtime.scene import CLOSED, Operation, Scene
from runtime.syscalls import (
    ATTR_NODEV,
    ATTR_NOEXEC,
    ATTR_NOSUID,
    ATTR_READ_ONLY,
    Syscalls,
)

_REAL_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW


class MountProc(Operation, frozen=True):
    """The processes of this PID namespace; where a fresh proc is refused, all those that are around us.

    What belongs to another user namespace cannot be looked into, but names and arguments are seen, and a process is
    shown by its outer number: `/proc/self` is right, `/proc/$$` is not.
    """

    fresh: bool = True

    def describe(self) -> str:
        """Return what is done."""
        return "mount proc on `/proc`"

    def execute(self, calls: Syscalls, scene: Scene) -> None:
        """Mount a fresh proc, or bind all that is around us there."""
        if self.fresh:
            scene.proc = calls.new_mount("proc", attributes=CLOSED)
        else:
            scene.proc = _around(calls, "/proc", CLOSED)
        _attach_on_directory(calls, scene.proc, scene.root, "proc")


class MountSys(Operation, frozen=True):
    """Kernel objects, read-only for most; without privileges and an own network, those that the host has mounted."""

    fresh: bool
    read_only: bool = True

    def describe(self) -> str:
        """Return what is done."""
        return "mount sysfs on `/sys`"

    def execute(self, calls: Syscalls, scene: Scene) -> None:
        """Mount a fresh sysfs, or bind all that the host has there."""
        attributes = CLOSED | (ATTR_READ_ONLY if self.read_only else 0)
        if self.fresh:
            scene.sys = calls.new_mount("sysfs", attributes=attributes)
        else:
            scene.sys = _around(calls, "/sys", attributes)
        _attach_on_directory(calls, scene.sys, scene.root, "sys")


class MountDevices(Operation, frozen=True):
    """A tmpfs on /dev; the devices that are harmless are bound into it, one by one, and others are only obeyed if `obeyed`.

    They are the host's: bound read-only, so that root in a step gives them no other mode, owner or time. Devices are
    written to all the same.
    """

    devices: tuple[tuple[str, int, int], ...]
    links: tuple[tuple[str, str], ...]
    obeyed: bool = False

    def describe(self) -> str:
        """Return what is done."""
        return "make the devices in `/dev`"

    def execute(self, calls: Syscalls, scene: Scene) -> None:
        """Mount the tmpfs, bind the host's devices, make the links."""
        options = (("mode", "0755"), ("size", "65536k"))
        attributes = ATTR_NOSUID | (0 if self.obeyed else ATTR_NODEV)
        scene.devices = calls.new_mount("tmpfs", options, attributes=attributes)
        _attach_on_directory(calls, scene.devices, scene.root, "dev")
        for name, major, minor in self.devices:
            calls.make_file(name, scene.devices, mode=0o666)
            device = calls.open(f"/dev/{name}", os.O_PATH | os.O_NOFOLLOW)
            status = calls.status(device)
            if not stat.S_ISCHR(status.st_mode) or status.st_rdev != os.makedev(major, minor):
                raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), f"/dev/{name}")
            mount = calls.clone_tree(device)
            calls.restrict(mount, ATTR_READ_ONLY | ATTR_NOSUID | ATTR_NOEXEC)
            target = calls.open(name, os.O_PATH | os.O_NOFOLLOW, directory=scene.devices)
            calls.attach(mount, target)
            calls.close(target)
            calls.close(mount)
            if name == "null":
                scene.device_null = device
            else:
                calls.close(device)
        for name, target_path in self.links:
            calls.make_link(target_path, name, scene.devices)


class MoreDevices(Operation, frozen=True):
    """Devices of the host that a command may use which may do everything; those that are not there are left out."""

    names: tuple[str, ...]

    def describe(self) -> str:
        """Return what is done."""
        return "show more devices in `/dev`"

    def execute(self, calls: Syscalls, scene: Scene) -> None:
        """Bind each to a file of its name."""
        for name in self.names:
            try:
                device = calls.open(f"/dev/{name}", os.O_PATH | os.O_NOFOLLOW)
            except OSError:
                continue
            directory = scene.devices
            if "/" in name:
                calls.make_directory(os.path.dirname(name), scene.devices)
                directory = calls.open(
                    os.path.dirname(name), _REAL_DIRECTORY, directory=scene.devices
                )
            calls.make_file(os.path.basename(name), directory, mode=0o666)
            mount = calls.clone_tree(device)
            target = calls.open(
                os.path.basename(name), os.O_PATH | os.O_NOFOLLOW, directory=directory
            )
            calls.attach(mount, target)
            for descriptor in (target, mount, device):
                calls.close(descriptor)
            if directory != scene.devices:
                calls.close(directory)


class MountInDevices(Operation, frozen=True):
    """A file system of its own below /dev: terminals, shared memory, message queues."""

    kind: str
    name: str
    options: tuple[tuple[str, str | None], ...] = ()
    attributes: int = CLOSED

    def describe(self) -> str:
        """Return what is done."""
        return f"mount {self.kind} on `/dev/{self.name}`"

    def execute(self, calls: Syscalls, scene: Scene) -> None:
        """Make the directory in our own tmpfs and mount there."""
        calls.make_directory(self.name, scene.devices)
        mount = calls.new_mount(self.kind, self.options, attributes=self.attributes)
        _attach_on_directory(calls, mount, scene.devices, self.name)
        calls.close(mount)


class Hide(Operation, frozen=True):
    """Files and directories of proc and sysfs that tell or change too much; those that do not exist are left out."""

    proc: tuple[str, ...] = ()
    sys: tuple[str, ...] = ()

    def describe(self) -> str:
        """Return what is done."""
        return "hide paths below `/proc` and `/sys`"

    def execute(self, calls: Syscalls, scene: Scene) -> None:
        """Mount /dev/null over files and an empty read-only directory over directories."""
        empty = calls.new_mount("tmpfs", (("mode", "0555"),), attributes=CLOSED | ATTR_READ_ONLY)
        first = True
        for base, paths in ((scene.proc, self.proc), (scene.sys, self.sys)):
            for path in paths:
                target = _existing(calls, base, path)
                if target is None:
                    continue
                if not stat.S_ISDIR(calls.status(target).st_mode):
                    cover = calls.clone_tree(scene.device_null)
                    calls.restrict(cover, ATTR_READ_ONLY | ATTR_NOSUID | ATTR_NOEXEC)
                elif first:
                    # A mount that is attached nowhere cannot be cloned, so the first use attaches it.
                    cover, first = empty, False
                    calls.attach(cover, target)
                    calls.close(target)
                    continue
                else:
                    cover = calls.clone_tree(empty)
                calls.attach(cover, target)
                calls.close(target)
                calls.close(cover)
        calls.close(empty)


class Freeze(Operation, frozen=True):
    """What of proc belongs to no process may be read, and neither written nor given another mode or owner.

    Mode and owner of such a file are the same in every proc that is mounted: who changes them in one changes them for the
    host. Only its root may, and where that is nobody in here, `paths` do, which obey what is written.
    """

    paths: tuple[str, ...]
    hidden: tuple[str, ...]

    def describe(self) -> str:
        """Return what is done."""
        return "make `/proc` read-only outside of processes"

    def execute(self, calls: Syscalls, scene: Scene) -> None:
        """Bind each path over itself, read-only, but for what is `hidden`."""
        for path in self.paths if calls.status(scene.proc).st_uid else self._all(calls, scene.proc):
            target = _existing(calls, scene.proc, path)
            if target is None:
                continue
            mount = calls.clone_tree(target)
            calls.restrict(mount, CLOSED | ATTR_READ_ONLY)
            calls.attach(mount, target)
            calls.close(mount)
            calls.close(target)

    def _all(self, calls: Syscalls, proc: int) -> list[str]:
        """Return what is there besides processes and links, which lead into one."""
        return [
            name
            for name, is_link in calls.entries(proc)
            if not (name.isdecimal() or is_link or name in self.hidden)
        ]


def _around(calls: Syscalls, path: str, attributes: int) -> int:
    """Return a mount of what is mounted at and below a path around us, restricted."""
    host = calls.open(path, _REAL_DIRECTORY)
    tree = calls.clone_tree(host, recursive=True)
    calls.close(host)
    calls.restrict(tree, attributes, recursive=True)
    return tree


def _attach_on_directory(calls: Syscalls, mount: int, base: int, name: str) -> None:
    """Attach on a real directory called `name`: a link there is refused."""
    target = calls.open(name, _REAL_DIRECTORY, directory=base)
    calls.attach(mount, target)
    calls.close(target)


def _existing(calls: Syscalls, base: int, path: str) -> int | None:
    try:
        return open_beneath(base, path, os.O_PATH | os.O_NOFOLLOW, syscalls=calls)
    except OSError:
        return None
