"""What the launcher makes for one command outside of it, and takes away after it: control groups, a network with a way out."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from runtime.syscalls import CLONE_NEWCGROUP, SyscallError, Syscalls

if TYPE_CHECKING:
    from runtime.cgroups import Cgroup
    from runtime.private_network import PrivateNetwork
    from runtime.spec import Resources


class Outside:
    """What there is for one command, most often nothing."""

    __slots__ = ("cgroup", "network")

    def __init__(self, cgroup: Cgroup | None = None, network: PrivateNetwork | None = None) -> None:
        self.cgroup = cgroup
        self.network = network

    def join(self, calls: Syscalls) -> None:
        """Move this process into what there is.

        Raises: SetupFailed: the network has no way out. OSError.
        """
        if self.cgroup is not None:
            self.cgroup.join()
            with suppress(SyscallError):  # without walls, and no right to them
                # So that the groups are the top of what it sees of them.
                calls.unshare(CLONE_NEWCGROUP)
        if self.network is not None:
            self.network.join(calls)

    def reached(self) -> tuple[str, ...]:
        """Return which limits of the control groups made something fail."""
        return () if self.cgroup is None else self.cgroup.reached()

    def close(self) -> None:
        """Take it away; the command has ended."""
        if self.network is not None:
            self.network.close()
        if self.cgroup is not None:
            self.cgroup.remove()
        self.cgroup = self.network = None


def made(calls: Syscalls, resources: Resources | None, *, private_network: bool) -> Outside:
    """Make what a command needs.

    Raises: Unsupported: there is no way to connect a network. OSError.
    """
    outside = Outside()
    try:
        if private_network:
            from runtime.private_network import connect

            outside.network = connect(calls)
        if resources is not None:
            from runtime import cgroups

            outside.cgroup = cgroups.make(resources, cgroups.here())
    except BaseException:
        outside.close()
        raise
    return outside


def sweep() -> None:
    """Remove what launchers left that were killed with their commands; what cannot be removed stays."""
    from runtime import cgroups

    cgroups.sweep_above(cgroups.here())
