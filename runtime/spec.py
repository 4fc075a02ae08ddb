"""What to run and behind which walls, as data, in the words of the OCI runtime specification.

Nothing here touches the system. Host paths are paths of the builder's own view; everything under
`Process` and every `target` is a path inside the root file system.

Source: OCI runtime-spec, config.md and config-linux.md.
"""

from __future__ import annotations

from enum import Enum

import msgspec


class MountKind(Enum):
    """What is mounted at a target."""

    BIND = "bind"
    TMPFS = "tmpfs"


class Network(Enum):
    """Which network a process sees: the host's, or its own with loopback only."""

    HOST = "host"
    NONE = "none"


class IsolationName(Enum):
    """Which walls; `auto` picks the strongest that works here and is not `chroot`."""

    AUTO = "auto"
    ROOT = "root"
    USERNS_ROOT = "userns-root"
    ROOTLESS = "rootless"
    SINGLE_ID = "single-id"
    CHROOT = "chroot"


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """One mount beyond the standard ones; `source` is a host path of a BIND, `size` the bytes of a TMPFS.

    A missing target is made (a directory or an empty file, like the source) and removed again after the
    command, with the times of its parent restored, so that it leaves no trace in the layer.
    """

    kind: MountKind
    target: str
    source: str = ""
    read_only: bool = False
    mode: int = 0o1777
    size: int | None = None


class Rootfs(msgspec.Struct, frozen=True, kw_only=True):
    """The root file system: directories to be stacked, host paths, the *topmost lower first*.

    With `upper`, changes land there (`work` is an empty directory on the same file system); without, the
    root is read-only.
    """

    lowers: tuple[str, ...]
    upper: str | None = None
    work: str | None = None


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """The command: `user` is `name|uid[:group|gid]` and is looked up inside the root file system.

    `env` holds `NAME=value`; HOME is added from the passwd entry where it is not set, PATH never.
    `terminal` asks for a new pseudo-terminal as the three standard streams.
    """

    argv: tuple[str, ...]
    env: tuple[str, ...] = ()
    cwd: str = "/"
    user: str = ""
    terminal: bool = False


class ContainerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """All that `Isolation.run` needs, apart from descriptors."""

    rootfs: Rootfs
    process: Process
    mounts: tuple[Mount, ...] = ()
    hostname: str = "buildkitsandbox"
    network: Network = Network.HOST
    files: tuple[tuple[str, bytes], ...] = ()
    """Small files shown read-only at a target for the time of the command: /etc/resolv.conf, /etc/hosts."""


class ExitStatus(msgspec.Struct, frozen=True):
    """How a process ended: with a code, or by a signal (then `code` is 128 + its number)."""

    code: int
    signal: int | None = None
