"""Where a step stands: its network, and the files by which it finds names."""

from __future__ import annotations

from builder.errors import BuildError
from builder.graph.operations import RunOp
from builder.solve.surroundings import GATEWAY, Surroundings
from runtime.spec import IsolationName, Network

HOSTNAME = "buildkitsandbox"
"""What every step is called, as with Docker, unless the build says otherwise."""

_LOOPBACK = "127.0.0.1"
_ANYWHERE = "192.0.2.1"
"""An address for documentation: nothing is sent there, only the way is asked for. Source: RFC 5737."""


def network_of(op: RunOp, surroundings: Surroundings) -> Network:
    """Return the network that a step runs on."""
    wanted = surroundings.network if op.network == "default" else op.network
    return Network.HOST if wanted == "default" else Network(wanted)


def hostname_of(op: RunOp, walls: IsolationName) -> str:
    """Return what the host of a step is called.

    Raises: BuildError: it is to have another name than usual, and has that of the host around it.
    """
    if op.hostname and walls is IsolationName.CHROOT:
        raise BuildError(
            "without walls, a step cannot have a host name of its own",
            code="build.setup-failed",
            hint="leave out the build argument `BUILDKIT_SANDBOX_HOSTNAME`",
        )
    return op.hostname or HOSTNAME


def files_of(
    op: RunOp, network: Network, surroundings: Surroundings
) -> tuple[tuple[str, bytes], ...]:
    """Return /etc/resolv.conf and /etc/hosts, which a step is shown unless it mounts its own."""
    mounted = {mount.target for mount in op.mounts}
    files = (
        ("/etc/resolv.conf", _resolver(network, surroundings.resolver).encode()),
        ("/etc/hosts", _hosts(op, network, surroundings).encode()),
    )
    return tuple(file for file in files if file[0] not in mounted)


def _resolver(network: Network, text: str) -> str:
    """On a private network, what carries its packets answers; it asks as the host does."""
    if network is not Network.PRIVATE:
        return text
    from runtime.private_network import NAME_SERVER

    kept = [line for line in text.splitlines() if line.startswith(("search ", "options "))]
    return "\n".join([f"nameserver {NAME_SERVER}", *kept, ""])


def _hosts(op: RunOp, network: Network, surroundings: Surroundings) -> str:
    lines = [
        f"{_LOOPBACK}\tlocalhost {op.hostname or HOSTNAME}",
        "::1\tlocalhost ip6-localhost ip6-loopback",
    ]
    for name, address in surroundings.hosts:
        reached = _this_host(network) if address == GATEWAY else address
        lines.append(f"{reached}\t{name}")
    return "\n".join([*lines, ""])


def _this_host(network: Network) -> str:
    """Return an address under which a step reaches this host: loopback, or on a private network that of its way out."""
    if network is not Network.PRIVATE:
        return _LOOPBACK
    from _socket import AF_INET, SOCK_DGRAM, socket

    asking = socket(AF_INET, SOCK_DGRAM)
    try:
        asking.connect((_ANYWHERE, 9))
        return str(asking.getsockname()[0])
    except OSError:
        return _LOOPBACK
    finally:
        asking.close()
