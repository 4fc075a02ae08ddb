"""What this host allows, found by doing it: each thing is tried in a process of its own, which ends with it.

Nothing that is tried here changes the caller: walls that have been entered cannot be left again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from runtime.emulation import Emulation
from runtime.errors import SandboxError
from runtime.spec import IsolationName, Resources

if TYPE_CHECKING:
    from runtime.syscalls import Syscalls

_LARGEST = 1 << 20

WALLS: tuple[IsolationName, ...] = tuple(
    name for name in IsolationName if name is not IsolationName.AUTO
)
"""All kinds, the strongest first."""


LIMITS: dict[str, Resources] = {
    "memory": Resources(memory=1 << 30),
    "cpu": Resources(cpu_shares=1024),
    "cpuset": Resources(cpuset_cpus="0"),
    "pids": Resources(pids=1 << 15),
}
"""What is tried of each kind of limit."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """How trying something ended: `reason` says why not, `hint` what would allow it; "" where there is nothing to say.

    `facts` are what was seen meanwhile, by name.
    """

    ok: bool
    reason: str = ""
    hint: str = ""
    facts: dict[str, bool] = {}


def try_walls(name: IsolationName) -> Attempt:
    """Enter walls for real; `facts` are the features that plans may use behind them.

    A refusal of `auto` says of each kind why not.
    """
    return _apart(lambda: _walls(name))


def try_behind(name: IsolationName, act: Callable[[Syscalls], Attempt]) -> Attempt:
    """Enter walls and do something behind them, in a process of its own."""
    return _apart(lambda: _behind(name, act))


def try_filter(name: IsolationName) -> Attempt:
    """Load the system call filter behind walls."""
    return try_behind(name, _filter)


def try_own_network(name: IsolationName) -> Attempt:
    """Give a process a network of its own behind walls, and bring its loopback up."""
    return try_behind(name, _own_network)


def try_private_network(name: IsolationName) -> Attempt:
    """Give a process a network of its own with a way out, behind walls."""
    return try_behind(name, _private_network)


def try_limits(name: IsolationName) -> dict[str, Attempt]:
    """Make control groups with limits behind walls; how that ended for each kind of limit."""
    ended = try_behind(name, _limits)
    if not ended.ok:
        return dict.fromkeys(LIMITS, ended)
    said = dict(line.split(": ", 1) for line in ended.reason.splitlines())
    return {name: Attempt(ok=name not in said, reason=said.get(name, "")) for name in LIMITS}


class Tried(msgspec.Struct, frozen=True):
    """How programs of a machine run behind walls; `version` is that of their emulator, "" where there is none."""

    emulation: Emulation
    version: str = ""


def try_machines(
    name: IsolationName, machines: tuple[str, ...], directory: str
) -> tuple[Tried, ...]:
    """Run a program of each machine behind walls; none where that process was killed.

    It is put into `directory`, a host path, for a moment.
    """
    said = _said_apart(lambda: msgspec.json.encode(_machines(name, machines, directory)))
    return msgspec.json.decode(said, type=tuple[Tried, ...]) if said else ()


def _machines(name: IsolationName, machines: tuple[str, ...], directory: str) -> tuple[Tried, ...]:
    from runtime.emulation import Emulators, version_of
    from runtime.isolation import enter
    from runtime.syscalls import Syscalls

    calls = Syscalls()
    emulators = Emulators(calls, enter(name, calls).features)
    found = [emulators.ready(machine, directory) for machine in machines]
    return tuple(Tried(each, version_of(each.emulator) if each.emulator else "") for each in found)


def _walls(name: IsolationName) -> Attempt:
    from runtime.isolation import enter
    from runtime.syscalls import Syscalls

    walls = enter(name, Syscalls())
    features = msgspec.structs.asdict(walls.features)
    facts = {key: value for key, value in features.items() if isinstance(value, bool)}
    return Attempt(ok=True, facts=facts)


def _behind(name: IsolationName, act: Callable[[Syscalls], Attempt]) -> Attempt:
    from runtime.isolation import enter
    from runtime.syscalls import Syscalls

    calls = Syscalls()
    enter(name, calls)
    return act(calls)


def _filter(calls: Syscalls) -> Attempt:
    from runtime import seccomp

    machine = os.uname().machine
    program = seccomp.program(machine)
    if program is None:
        return Attempt(
            ok=False,
            reason=f"there is no table of system calls for `{machine}`",
            hint="build on x86-64 or arm64 what you do not trust",
        )
    calls.load_filter(program)
    return Attempt(ok=True)


def _own_network(calls: Syscalls) -> Attempt:
    from runtime.isolation import OWN_NETWORK
    from runtime.network import bring_up_loopback

    calls.unshare(OWN_NETWORK)
    bring_up_loopback()
    return Attempt(ok=True)


def _private_network(calls: Syscalls) -> Attempt:
    from runtime.private_network import connect

    network = connect(calls)
    try:
        network.join(calls)
    finally:
        network.close()
    return Attempt(ok=True)


def _limits(_: Syscalls) -> Attempt:
    """Return, a line each, the limits that cannot be set and why not."""
    from runtime import cgroups

    said = []
    for name, asked in LIMITS.items():
        made = cgroups.make(asked, cgroups.here())
        said += [f"{name}: {unset.reason}" for unset in made.unset[:1]]
        made.remove()
    return Attempt(ok=True, reason="\n".join(said))


def _apart(act: Callable[[], Attempt]) -> Attempt:
    """Return what `act` returns, called in a copy of this process, which should have one thread."""
    said = _said_apart(lambda: msgspec.json.encode(_ended(act)))
    if not said:
        return Attempt(ok=False, reason="the process that tried it was killed")
    return msgspec.json.decode(said, type=Attempt)


def _said_apart(act: Callable[[], bytes]) -> bytes:
    reads, writes = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        try:
            os.close(reads)
            with open(writes, "wb") as pipe:
                pipe.write(act())
        finally:
            os._exit(0)
    os.close(writes)
    with open(reads, "rb") as pipe:
        said = pipe.read(_LARGEST)
    os.waitpid(child, 0)
    return said


def _ended(act: Callable[[], Attempt]) -> Attempt:
    try:
        return act()
    except SandboxError as error:
        reason = "; ".join(error.notes) if error.notes else getattr(error, "reason", error.message)
        return Attempt(ok=False, reason=str(reason), hint=error.hint or "")
    except OSError as error:
        return Attempt(ok=False, reason=str(error.strerror or error))
