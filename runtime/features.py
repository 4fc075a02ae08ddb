"""What this kernel and user allow, found by trying.

`Features` is what plans depend on. The refusals that a person can do something about name the switch.
"""

from __future__ import annotations

import os

import msgspec

from runtime.errors import Unsupported
from runtime.syscalls import (
    ATTR_READ_ONLY,
    CLONE_NEWNET,
    CLONE_NEWPID,
    SyscallError,
    Syscalls,
)

SUBORDINATE_FILES = ("/etc/subuid", "/etc/subgid")
_KNOBS = (
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "sysctl -w kernel.unprivileged_userns_clone=1",
    ),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
    ("/proc/sys/user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=65536"),
)


class Features(msgspec.Struct, frozen=True, kw_only=True):
    """What plans depend on.

    `layers_one_by_one`: overlay takes its lower directories one at a time (Linux 6.7), so their number and
    names are not limited by the length of one option text. `own_ids`: the sandbox lives in a user namespace.
    `single_id`: it knows one user and one group. `chroot`: there are no walls. `filtered`: a container around us filters
    calls already.
    `fresh_proc` and `fresh_sys`: it may mount its own; not where a container around us hides parts of its own.
    """

    layers_one_by_one: bool = True
    own_ids: bool = False
    single_id: bool = False
    chroot: bool = False
    filtered: bool = False
    fresh_proc: bool = True
    fresh_sys: bool = True
    last_capability: int = 40
    machine: str = "x86_64"


def probe(syscalls: Syscalls, *, own_ids: bool, single_id: bool = False) -> Features:
    """Try what plans depend on, in the namespaces where they will be executed.

    Raises: Unsupported: this kernel is too old or has no overlay file system.
    """
    try:
        one_by_one = syscalls.takes_option("overlay", "lowerdir+", "/")
    except SyscallError as error:
        raise Unsupported(
            "stacking layers",
            f"the kernel refused an overlay file system ({error})",
            hint="load the module with `modprobe overlay`; Linux 5.12 or newer is needed",
        ) from error
    fresh = _kernel_views(syscalls) if own_ids else {"proc": True, "sysfs": True}
    return Features(
        layers_one_by_one=one_by_one,
        own_ids=own_ids,
        single_id=single_id,
        fresh_proc=fresh["proc"],
        fresh_sys=fresh["sysfs"],
        last_capability=last_capability(),
        machine=os.uname().machine,
    )


def _kernel_views(syscalls: Syscalls) -> dict[str, bool]:
    """Try which of the kernel's file systems may be mounted in namespaces of one's own.

    A user namespace may not see more of them than what is around it shows.
    """
    kinds = ("proc", "sysfs")
    child = syscalls.clone(CLONE_NEWPID | CLONE_NEWNET)
    if child == 0:
        code = 0
        for bit, kind in enumerate(kinds):
            try:
                syscalls.new_mount(kind, attributes=ATTR_READ_ONLY)
            except OSError:
                code |= 1 << bit
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {kind: not code & 1 << bit for bit, kind in enumerate(kinds)}


def last_capability() -> int:
    """Return the number of the highest capability that this kernel knows."""
    return int(_first_line("/proc/sys/kernel/cap_last_cap") or 40)


def status_field(name: str) -> str:
    """Return what the kernel says of this process under a name, "" where it does not."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            found = [line.partition(":")[2].strip() for line in file if line.startswith(f"{name}:")]
    except OSError:
        return ""
    return found[0] if found else ""


def why_no_user_namespace(error: OSError) -> Unsupported:
    """Explain a refused user namespace by the switch that is off."""
    for path, off, command in _KNOBS:
        if _first_line(path) == off:
            return Unsupported(
                "a user namespace", f"`{path}` is {off}", hint=f"as root, run `{command}`"
            )
    return Unsupported(
        "a user namespace",
        f"the kernel refused it ({error.strerror})",
        hint="inside a container, allow user namespaces there (for example with `--security-opt seccomp=unconfined`)",
    )


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.readline().strip()
    except OSError:
        return ""
