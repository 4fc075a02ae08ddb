"""A step without walls: the root directory is changed, and what mounts would show is put into the tree meanwhile.

Only for who asks for it. A step sees the processes and the network around it, and as root can leave its root directory: this
keeps apart what steps read and write, not who they are. There is no `/proc` and no `/sys`, and `/dev` has what is harmless.
"""

from __future__ import annotations

import os
import stat
from typing import assert_never

from runtime import operations as op
from runtime.beneath import open_beneath
from runtime.devices import DEVICES
from runtime.errors import Unsupported
from runtime.furniture import Furniture
from runtime.scene import Operation, Scene
from runtime.spec import (
    SHARED_MEMORY,
    BindMount,
    ContainerSpec,
    FileMount,
    Mount,
    Network,
    SocketMount,
    StackMount,
    TmpfsMount,
)
from runtime.stubs import Target
from runtime.syscalls import Syscalls

_FROM_PROC = ("cpuinfo", "filesystems", "loadavg", "meminfo", "uptime", "version")
"""What programs read of proc that is of the machine, as files with what they say now."""

_LARGEST = 1 << 20
_HINT = "build where walls can be had: `lapstrake doctor` tells what is missing"


class ChangeRoot(Operation, frozen=True):
    """The root directory of the process."""

    def describe(self) -> str:
        """Return what is done."""
        return "change the root directory"

    def execute(self, calls: Syscalls, scene: Scene) -> None:
        """Change it to the tree."""
        calls.change_directory(scene.root)
        calls.change_root()


class OpenRoot(Operation, frozen=True):
    """The plain tree that becomes the root."""

    tree: str

    def describe(self) -> str:
        """Return what is done."""
        return "open the root"

    def execute(self, calls: Syscalls, scene: Scene) -> None:
        """Open it."""
        scene.root = calls.open(self.tree, os.O_PATH | os.O_DIRECTORY)


def plan(spec: ContainerSpec) -> tuple[Operation, ...]:
    """Return the steps that set up `spec` without walls; the tree is furnished.

    Raises: Unsupported: it needs what only walls give.
    """
    tree = spec.rootfs.upper
    if not spec.rootfs.plain or tree is None:
        raise _refused("a root file system of several layers")
    own: tuple[Operation, ...] = ()
    if spec.network is Network.NONE:
        own = (op.BringUpLoopback(),)
    if spec.network is Network.PRIVATE:
        raise _refused("a network of one's own with a way out")
    if spec.process.terminal:
        raise _refused("a terminal")
    if spec.shared_memory != SHARED_MEMORY:
        raise _refused("a size of /dev/shm")
    if spec.resources is not None:
        own = (op.JoinOutside(), *own)
    return (
        OpenRoot(tree),
        op.FindUser(spec.process.user),
        *own,
        ChangeRoot(),
        op.EnterDirectory(spec.process.cwd),
    )


def furnish(calls: Syscalls, furniture: Furniture, spec: ContainerSpec) -> None:
    """Put into the tree what mounts would show: copies, and what is the builder's own by moving or linking it.

    Raises: Unsupported: something can only be mounted. OSError.
    """
    for mount in spec.mounts:
        _check(mount)
    furniture.put(
        tuple(Target(f"/{name}", real=True) for name in ("proc", "sys", "dev")), prepared={}
    )
    for name, major, minor in DEVICES:
        furniture.show_device(f"/dev/{name}", os.makedev(major, minor))
    furniture.show_directory("/dev/shm", 0o1777)  # noqa: S108 - of the step's own tree
    for name in _FROM_PROC:
        furniture.show_file(f"/proc/{name}", _read(f"/proc/{name}"), 0o444)
    for target, content in spec.files:
        furniture.show_file(target, content, 0o644)
    for mount in spec.mounts:
        _show(calls, furniture, mount)


def _check(mount: Mount) -> None:
    match mount:
        case BindMount():
            if mount.ours:
                return
            if not (mount.read_only and stat.S_ISREG(os.stat(mount.source).st_mode)):
                raise _refused(f"a directory mounted on `{mount.target}`")
        case FileMount():
            if mount.secret:
                raise _refused(
                    f"a secret as the file `{mount.target}`",
                    hint="give it as a variable: `RUN --mount=type=secret,id=ID,env=NAME`",
                )
        case TmpfsMount() | SocketMount():
            pass
        case StackMount():
            if len(mount.rootfs.lowers) > 1:
                raise _refused(f"several layers mounted on `{mount.target}`")
        case _ as unreachable:
            assert_never(unreachable)


def _show(calls: Syscalls, furniture: Furniture, mount: Mount) -> None:
    match mount:
        case BindMount() if mount.ours:
            furniture.show_moved(mount.target, mount.source)
        case BindMount():
            mode = stat.S_IMODE(os.stat(mount.source).st_mode)
            furniture.show_file(mount.target, _read(mount.source, whole=True), mode)
        case FileMount():
            owner = (mount.uid, mount.gid)
            furniture.show_file(mount.target, mount.content, mount.mode, owner=owner)
        case TmpfsMount():
            furniture.show_directory(mount.target, mount.mode)
        case SocketMount():
            source = calls.open(mount.source, os.O_PATH | os.O_NOFOLLOW)
            calls.give(source, mount.uid, mount.gid, mount.mode)
            calls.close(source)
            furniture.show_link(mount.target, mount.source)
        case StackMount():
            root = calls.open(
                mount.rootfs.upper or mount.rootfs.lowers[0], os.O_PATH | os.O_DIRECTORY
            )
            found = open_beneath(root, mount.path.strip("/"), os.O_PATH, syscalls=calls)
            furniture.show_copy(mount.target, f"/proc/self/fd/{found}")
            calls.close(found)
            calls.close(root)
        case _ as unreachable:
            assert_never(unreachable)


def _read(path: str, *, whole: bool = False) -> bytes:
    with open(path, "rb") as file:
        return file.read() if whole else file.read(_LARGEST)


def _refused(what: str, *, hint: str = _HINT) -> Unsupported:
    return Unsupported(what, "isolation `chroot` has no mounts and no namespaces", hint=hint)
