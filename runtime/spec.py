"""What to run and behind which walls, as data, in the words of the OCI runtime specification.

Nothing here touches the system. Host paths are paths of the builder's own view; everything under
`Process` and every `target` is a path inside the root file system.

Source: OCI runtime-spec, config.md and config-linux.md.
"""

from __future__ import annotations

from enum import Enum

import msgspec


class Network(Enum):
    """Which network a process sees: the host's, its own with loopback only, or its own with a way out."""

    HOST = "host"
    NONE = "none"
    PRIVATE = "private"


class Security(Enum):
    """How much a command may do: what Docker's containers may, or all that the walls themselves may."""

    SANDBOX = "sandbox"
    INSECURE = "insecure"


class IsolationName(Enum):
    """Which walls; `auto` picks the strongest that works here and is not `chroot`."""

    AUTO = "auto"
    ROOT = "root"
    USERNS_ROOT = "userns-root"
    ROOTLESS = "rootless"
    SINGLE_ID = "single-id"
    CHROOT = "chroot"


class Rootfs(msgspec.Struct, frozen=True, kw_only=True):
    """The root file system: directories to be stacked, host paths, the *topmost lower first*.

    With `upper`, changes land there (`work` is an empty directory on the same file system); without, the
    root is read-only. An `upper` without lowers is a plain tree that is changed in place. What mounts need is put into
    that for the time of the command; inodes that were out of the way meanwhile are listed in `work/moved`.
    """

    lowers: tuple[str, ...]
    upper: str | None = None
    work: str | None = None

    @property
    def plain(self) -> bool:
        """Whether it is a tree that is changed in place."""
        return not self.lowers and self.upper is not None


class BindMount(msgspec.Struct, frozen=True, kw_only=True, tag="bind"):
    """A file or directory of the host, with what is mounted below it; `source` is a host path.

    An `ours` one is a directory of the builder's own on the file system of the root, which may be moved there for a while.
    """

    target: str
    source: str
    read_only: bool = False
    ours: bool = False


class TmpfsMount(msgspec.Struct, frozen=True, kw_only=True, tag="tmpfs"):
    """An empty directory in memory; `size` is in bytes, None for half of the machine's memory."""

    target: str
    mode: int = 0o1777
    size: int | None = None
    read_only: bool = False


class StackMount(msgspec.Struct, frozen=True, kw_only=True, tag="stack"):
    """The directory or file at `path` ("" is the whole) of directories that are stacked as a root file system is.

    `path` is resolved inside the stack. What is written goes to the stack's `upper`; without one it is read-only.
    """

    target: str
    rootfs: Rootfs
    path: str = ""


class FileMount(msgspec.Struct, frozen=True, kw_only=True, tag="file"):
    """A small file of the builder's making, read-only; its bytes are in memory alone, and end with the step.

    One that is not `secret` may lie on the disk for that time, where nothing can be mounted.
    """

    target: str
    content: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    secret: bool = False


class SocketMount(msgspec.Struct, frozen=True, kw_only=True, tag="socket"):
    """A socket on which the builder listens; `source` is a host path, and takes the mode and owner given here."""

    target: str
    source: str
    mode: int = 0o600
    uid: int = 0
    gid: int = 0


Mount = BindMount | TmpfsMount | StackMount | FileMount | SocketMount
"""One mount beyond the standard ones.

A missing target is made (a directory or an empty file, like the source) and leaves no trace in the layer, nor do the
times of its parent.
"""


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


class ProcessLimit(msgspec.Struct, frozen=True, array_like=True):
    """A limit of each single process, named as in `ulimit` of Docker (`nofile`); -1 is no limit."""

    name: str
    soft: int
    hard: int


class Resources(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of all processes of a command together; None and "" set none.

    `memory` and `memory_swap` (memory and swap together, -1 for no limit) are in bytes, `cpu_period` and `cpu_quota` in
    microseconds. `cpuset_cpus` and `cpuset_mems` are lists such as `0-2,4`. `parent` is the control group to be in,
    "" that of the launcher.
    """

    memory: int | None = None
    memory_swap: int | None = None
    cpu_shares: int | None = None
    cpu_period: int | None = None
    cpu_quota: int | None = None
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids: int | None = None
    parent: str = ""


class Unset(msgspec.Struct, frozen=True, array_like=True):
    """A limit that was asked for and cannot be had here: why, and what holds instead ("" is nothing)."""

    limit: str
    reason: str
    instead: str = ""


SHARED_MEMORY = 64 << 20
"""Bytes of /dev/shm where nothing else was asked for, as with Docker."""


class ContainerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """All that `Isolation.run` needs, apart from descriptors."""

    rootfs: Rootfs
    process: Process
    mounts: tuple[Mount, ...] = ()
    hostname: str = "buildkitsandbox"
    network: Network = Network.HOST
    files: tuple[tuple[str, bytes], ...] = ()
    """Small files shown read-only at a target for the time of the command: /etc/resolv.conf, /etc/hosts."""
    security: Security = Security.SANDBOX
    limits: tuple[ProcessLimit, ...] = ()
    resources: Resources | None = None
    shared_memory: int = SHARED_MEMORY
    """Bytes that /dev/shm may hold."""


class ExitStatus(msgspec.Struct, frozen=True):
    """How a process ended: with a code, or by a signal (then `code` is 128 + its number).

    `reached` are the limits, such as `memory`, that its control group made something fail by.
    """

    code: int
    signal: int | None = None
    reached: tuple[str, ...] = ()
