"""What the steps of a plan are, and what they share."""

from __future__ import annotations

import msgspec

from runtime.outside import Outside
from runtime.syscalls import ATTR_NODEV, ATTR_NOEXEC, ATTR_NOSUID, Syscalls
from runtime.user import User

CLOSED = ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC
"""The mount attributes of whatever no program should be started from."""


class Scene:
    """What the operations of one plan share: descriptors of mounts, and who the user is."""

    __slots__ = (
        "device_null",
        "devices",
        "empty",
        "outside",
        "prepared",
        "proc",
        "root",
        "scratch",
        "sys",
        "user",
    )

    def __init__(self) -> None:
        self.scratch = -1
        self.root = -1
        self.proc = -1
        self.sys = -1
        self.devices = -1
        self.device_null = -1
        self.empty = -1
        self.prepared: dict[str, int] = {}
        self.user = User(0, 0)
        self.outside = Outside()


class Operation(msgspec.Struct, frozen=True):
    """One step; `execute` raises OSError, or a SandboxError where it can say more."""

    def describe(self) -> str:
        """Return what is done, to be read after "cannot"."""
        raise NotImplementedError

    def execute(self, calls: Syscalls, scene: Scene) -> None:
        """Do it."""
        raise NotImplementedError
