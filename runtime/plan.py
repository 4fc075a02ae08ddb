"""What to run and what the host allows, turned into the ordered list of steps that set it up.

Pure: nothing is opened or asked here, so a plan can be printed and tested without privileges.
"""

from __future__ import annotations

from typing import assert_never

from runtime import kernel_mounts, mounts
from runtime import operations as op
from runtime.devices import DEVICE_LINKS, DEVICES, MORE_DEVICES
from runtime.errors import SetupFailed, StartFailed
from runtime.features import Features
from runtime.scene import Operation
from runtime.spec import (
    BindMount,
    ContainerSpec,
    FileMount,
    Mount,
    Network,
    Security,
    SocketMount,
    StackMount,
    TmpfsMount,
)
from runtime.stubs import Target
from runtime.syscalls import ATTR_NOEXEC, ATTR_NOSUID

# Source: moby, daemon/pkg/oci/defaults.go, "MaskedPaths" and "ReadonlyPaths".
HIDDEN_IN_PROC = (
    "acpi",
    "asound",
    "interrupts",
    "kcore",
    "keys",
    "latency_stats",
    "sched_debug",
    "scsi",
    "timer_list",
    "timer_stats",
)
HIDDEN_IN_SYS = ("devices/virtual/powercap", "firmware", "fs/cgroup")
HIDDEN_IN_HOST_SYS = ("fs/bpf", "fs/pstore", "kernel/debug", "kernel/security", "kernel/tracing")
"""Where a host mounts more file systems; in a fresh sysfs these are empty."""
FROZEN_IN_PROC = ("bus", "fs", "irq", "sys", "sysrq-trigger")
_TERMINAL_GROUP = 5
APT_SETTINGS = FileMount(
    target="/etc/apt/apt.conf.d/99-single-id", content=b'APT::Sandbox::User "root";\n'
)
"""Where there is one id, apt cannot become the user as whom it downloads, and looks whether it did."""


def plan(spec: ContainerSpec, features: Features) -> tuple[Operation, ...]:
    """Return the steps that set up `spec`, in order, up to the working directory.

    Raises: SetupFailed, StartFailed: the specification contradicts itself.
    """
    check(spec)
    if features.chroot:
        from runtime import chroot

        return chroot.plan(spec)
    own_network = spec.network is not Network.HOST
    insecure = spec.security is Security.INSECURE
    # Without privileges, the kernel gives a sysfs only to the owner of the network namespace.
    fresh_sys = features.fresh_sys and (own_network or not features.own_ids)
    hidden_in_sys = HIDDEN_IN_SYS if fresh_sys else HIDDEN_IN_SYS + HIDDEN_IN_HOST_SYS
    ordered = in_order(spec.mounts)
    steps: list[Operation] = [
        op.MakeScratch(),
        *(
            mounts.PrepareStack(f"stack{number}", mount, features.layers_one_by_one)
            for number, mount in enumerate(ordered)
            if isinstance(mount, StackMount)
        ),
        op.StackRoot(
            lowers=spec.rootfs.lowers,
            upper=spec.rootfs.upper,
            work=spec.rootfs.work,
            targets=targets(spec, features),
            one_by_one=features.layers_one_by_one,
        ),
        op.FindUser(spec.process.user),
        *_for_one_id(spec, features),
        kernel_mounts.MountProc(features.fresh_proc),
        kernel_mounts.MountSys(fresh_sys, read_only=not insecure),
        kernel_mounts.MountDevices(DEVICES, DEVICE_LINKS, obeyed=insecure),
        kernel_mounts.MountInDevices(
            "devpts",
            "pts",
            (
                ("newinstance", None),
                ("ptmxmode", "0666"),
                ("mode", "0620"),
                *(() if features.single_id else (("gid", str(_TERMINAL_GROUP)),)),
            ),
            ATTR_NOSUID | ATTR_NOEXEC,
        ),
        kernel_mounts.MountInDevices(
            "tmpfs", "shm", (("mode", "1777"), ("size", str(spec.shared_memory)))
        ),
        kernel_mounts.MountInDevices("mqueue", "mqueue"),
        *(
            (kernel_mounts.MoreDevices(MORE_DEVICES),)
            if insecure
            else (
                kernel_mounts.Hide(HIDDEN_IN_PROC, hidden_in_sys),
                kernel_mounts.Freeze(FROZEN_IN_PROC, HIDDEN_IN_PROC),
            )
        ),
        *(_mount(mount, number) for number, mount in enumerate(ordered)),
        *(
            mounts.ShowFile(f"file{number}", FileMount(target=target, content=content))
            for number, (target, content) in enumerate(spec.files)
        ),
        *(mounts.ShowFile("apt", APT_SETTINGS, optional=True) for _ in range(features.single_id)),
        op.SetHostName(spec.hostname),
    ]
    if own_network:
        steps.append(op.BringUpLoopback())
    if spec.resources is not None or spec.network is Network.PRIVATE:
        # First, so that what the kernel keeps of the mounts counts for the limits, too.
        steps.insert(0, op.JoinOutside())
    steps += [op.Pivot(), op.EnterDirectory(spec.process.cwd)]
    return tuple(steps)


def in_order(given: tuple[Mount, ...]) -> list[Mount]:
    """Return mounts in an order in which one can lie in another."""
    return sorted(given, key=lambda mount: mount.target.strip("/").count("/"))


def describe(steps: tuple[Operation, ...]) -> str:
    """Return a plan as text, one step a line."""
    return "\n".join(step.describe() for step in steps)


def _mount(mount: Mount, number: int) -> Operation:
    match mount:
        case BindMount():
            return mounts.Bind(mount.source, mount.target, mount.read_only)
        case TmpfsMount():
            return mounts.Tmpfs(mount.target, mount.mode, mount.size, mount.read_only)
        case StackMount():
            return mounts.ShowPrepared(f"stack{number}", mount.target)
        case FileMount():
            return mounts.ShowFile(f"mount{number}", mount)
        case SocketMount():
            return mounts.ShowSocket(mount)
        case _ as unreachable:
            assert_never(unreachable)


def targets(spec: ContainerSpec, features: Features) -> tuple[Target, ...]:
    """Return all that is mounted on, those that others may lie in first."""
    return (
        *(Target(f"/{name}", real=True) for name in ("proc", "sys", "dev")),
        *(_target(mount, number) for number, mount in enumerate(in_order(spec.mounts))),
        *(Target(target, directory=False) for target, _ in spec.files),
        *(
            Target(APT_SETTINGS.target, directory=False, optional=True)
            for _ in range(features.single_id)
        ),
    )


def _for_one_id(spec: ContainerSpec, features: Features) -> tuple[Operation, ...]:
    if not features.single_id or spec.rootfs.work is None:
        return ()
    return (op.NoteUser(spec.rootfs.work),)


def _target(mount: Mount, number: int) -> Target:
    match mount:
        case BindMount():
            return Target(mount.target, source=mount.source)
        case TmpfsMount():
            return Target(mount.target)
        case StackMount():
            return Target(mount.target, prepared=f"stack{number}")
        case FileMount() | SocketMount():
            return Target(mount.target, directory=False)
        case _ as unreachable:
            assert_never(unreachable)


def check(spec: ContainerSpec) -> None:
    """Refuse a specification that contradicts itself.

    Raises: SetupFailed, StartFailed.
    """
    if not spec.process.argv:
        raise StartFailed("there is no command to run", exit_code=126)
    texts = (*spec.process.argv, *spec.process.env, spec.process.cwd, spec.process.user)
    if any("\0" in text for text in texts):
        raise StartFailed(
            "the command, its environment, directory or user contains a NUL byte", exit_code=126
        )
    if not spec.rootfs.lowers and spec.rootfs.upper is None:
        raise SetupFailed("stack a root", "there are no layers")
    if (spec.rootfs.upper is None) != (spec.rootfs.work is None):
        raise SetupFailed("stack a root", "`upper` and `work` go together")
    for target in (*(mount.target for mount in spec.mounts), *(path for path, _ in spec.files)):
        if "\0" in target or target.strip("/") in {"", ".", ".."}:
            raise SetupFailed(f"mount on `{target[:60]}`", "that is not a place below the root")
