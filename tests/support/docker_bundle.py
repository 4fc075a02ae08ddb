"""A container as Docker starts it, as a bundle for `runc`: its capabilities, filter, mounts and masked paths by default.

The root file system is an overlay, as with Docker, and the network is the machine's, so that registries on loopback are reached.

Source: moby, daemon/pkg/oci/defaults.go; moby/profiles, seccomp/default_linux.go; OCI runtime-spec, config-linux.md.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from runtime.capabilities import DEFAULT
from runtime.plan import HIDDEN_IN_PROC
from runtime.seccomp_names import ALLOWED

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NAMESPACE_FLAGS = 2114060288
NAMESPACES = (
    "clone",
    "clone3",
    "unshare",
    "setns",
    "mount",
    "umount2",
    "pivot_root",
    "sethostname",
)
NEW_MOUNTS = ("fsopen", "fsconfig", "fsmount", "fspick", "open_tree", "move_mount", "mount_setattr")


class Profile(Enum):
    """How much of Docker's default is left: all, what cluster owners open for builders, or what `unconfined` leaves."""

    DEFAULT = "default"
    NAMESPACES = "namespaces"
    UNCONFINED = "unconfined"


def run_in_container(
    rootfs: Path,
    argv: Sequence[str],
    place: Path,
    *,
    profile: Profile = Profile.DEFAULT,
    environment: dict[str, str] | None = None,
    volumes: dict[str, Path] | None = None,
    user: int = 0,
) -> subprocess.CompletedProcess[str]:
    """Run a command in a container above `rootfs`, which stays as it is; `place` is an empty directory for it.

    `volumes` are directories of the machine by where they are in the container.
    """
    bundle = place / "bundle"
    for name in ("bundle/rootfs", "upper", "work"):
        (place / name).mkdir(parents=True)
    document = _document(argv, profile, environment or {}, volumes or {}, user)
    (bundle / "config.json").write_text(json.dumps(document))
    options = f"lowerdir={rootfs},upperdir={place / 'upper'},workdir={place / 'work'}"
    script = (
        f'mount -t overlay overlay -o "{options}" "$1/rootfs" && exec runc run --bundle "$1" "$2"'
    )
    # In a mount namespace of its own, so that nothing stays mounted whatever happens.
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", bundle, f"lapstrake-tests-{place.name}"],
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        timeout=600,
    )


def _document(
    argv: Sequence[str],
    profile: Profile,
    environment: dict[str, str],
    volumes: dict[str, Path],
    user: int,
) -> dict[str, Any]:
    capabilities = sorted(DEFAULT)
    effective = capabilities if user == 0 else []
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": user, "gid": user},
            "args": list(argv),
            "env": [f"{name}={value}" for name, value in {"PATH": PATH, **environment}.items()],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities,
                "effective": effective,
                "permitted": effective,
            },
        },
        "root": {"path": "rootfs", "readonly": False},
        "hostname": "container",
        "mounts": [*_MOUNTS, *(_bound(target, source) for target, source in volumes.items())],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "cgroup")],
            "resources": {"devices": [{"allow": False, "access": "rwm"}, *_DEVICES]},
            **(
                {}
                if profile is Profile.UNCONFINED
                else {
                    "seccomp": _seccomp(profile),
                    "maskedPaths": [
                        *(f"/proc/{name}" for name in HIDDEN_IN_PROC),
                        *("/sys/firmware", "/sys/devices/virtual/powercap"),
                    ],
                    "readonlyPaths": [
                        f"/proc/{name}" for name in ("bus", "fs", "irq", "sys", "sysrq-trigger")
                    ],
                }
            ),
        },
    }


def _seccomp(profile: Profile) -> dict[str, Any]:
    allowed = set(ALLOWED)
    special = [
        _rule("clone", "SCMP_CMP_MASKED_EQ", NAMESPACE_FLAGS, 0),
        *(_rule("personality", "SCMP_CMP_EQ", each) for each in (0, 8, 0x20000, 0x20008)),
        _rule("personality", "SCMP_CMP_EQ", 0xFFFFFFFF),
        _rule("socket", "SCMP_CMP_NE", 40),
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
    ]
    if profile is Profile.NAMESPACES:
        allowed |= {*NAMESPACES, *NEW_MOUNTS}
        special = [each for each in special if each["names"][0] not in NAMESPACES]
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [{"names": sorted(allowed), "action": "SCMP_ACT_ALLOW"}, *special],
    }


def _rule(name: str, operator: str, value: int, second: int | None = None) -> dict[str, Any]:
    argument: dict[str, Any] = {"index": 0, "value": value, "op": operator}
    if second is not None:
        argument["valueTwo"] = second
    return {"names": [name], "action": "SCMP_ACT_ALLOW", "args": [argument]}


def _mount(target: str, kind: str, *options: str) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": kind, "options": list(options)}


def _bound(target: str, source: Path) -> dict[str, Any]:
    return {
        "destination": target,
        "type": "bind",
        "source": str(source),
        "options": ["rbind", "rprivate", "rw"],
    }


_CLOSED = ("nosuid", "noexec", "nodev")
_MOUNTS = [
    _mount("/proc", "proc", *_CLOSED),
    _mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
    _mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
    _mount("/sys", "sysfs", *_CLOSED, "ro"),
    _mount("/dev/mqueue", "mqueue", *_CLOSED),
    _mount("/dev/shm", "tmpfs", *_CLOSED, "mode=1777", "size=65536k"),
]
_DEVICES = [
    {"allow": True, "type": "c", "access": "m"},
    {"allow": True, "type": "b", "access": "m"},
    *(
        {"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"}
        for major, minor in ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2))
    ),
    {"allow": True, "type": "c", "major": 136, "access": "rwm"},
]
