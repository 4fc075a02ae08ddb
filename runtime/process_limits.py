"""Limits of each single process: what was asked for, and what stands in for groups that cannot be had.

Source: man 2 getrlimit; Linux, include/uapi/asm-generic/resource.h; docker/go-units, ulimit.go (the names).
"""

from __future__ import annotations

import errno
import os
import resource

from runtime.spec import ProcessLimit, Resources, Unset

NUMBERS = {
    "cpu": 0,
    "fsize": 1,
    "data": 2,
    "stack": 3,
    "core": 4,
    "rss": 5,
    "nproc": 6,
    "nofile": 7,
    "memlock": 8,
    "locks": 10,
    "sigpending": 11,
    "msgqueue": 12,
    "nice": 13,
    "rtprio": 14,
    "rttime": 15,
}
"""By name, as Docker's `--ulimit` knows them."""


def set_limits(limits: tuple[ProcessLimit, ...]) -> list[Unset]:
    """Set the limits of this process and return those that could not be set as asked for."""
    unset: list[Unset] = []
    for limit in limits:
        number = NUMBERS[limit.name]
        try:
            resource.setrlimit(number, (limit.soft, limit.hard))
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno not in {errno.EPERM, errno.EINVAL}:
                raise
            unset.append(_lowered(limit, number))
    return unset


def _lowered(limit: ProcessLimit, number: int) -> Unset:
    """Set as much as may be had without privileges: the hard limit only goes down."""
    most = resource.getrlimit(number)[1]
    soft = most if limit.soft < 0 or (0 <= most < limit.soft) else limit.soft
    resource.setrlimit(number, (soft, most))
    return Unset(
        f"ulimit {limit.name}={_text(limit.soft)}:{_text(limit.hard)}",
        "only a privileged user may raise a limit",
        f"it is {_text(soft)}:{_text(most)}",
    )


def _text(value: int) -> str:
    return "unlimited" if value < 0 else str(value)


def stand_in(asked: Resources, unset: list[Unset]) -> list[Unset]:
    """Set for this process what comes nearest to limits of groups that could not be set; return how it is now."""
    return [_stand_in(asked, each) for each in unset]


def _stand_in(asked: Resources, unset: Unset) -> Unset:
    name = unset.limit.partition("=")[0]
    instead = ""
    if name == "memory" and asked.memory is not None:
        set_limits((ProcessLimit("data", asked.memory, asked.memory),))
        instead = "each process alone may have that much"
    elif name == "pids" and asked.pids is not None and not _is_root_of_the_host():
        set_limits((ProcessLimit("nproc", asked.pids, asked.pids),))
        instead = "it counts for all processes of each user behind these walls"
    elif name == "cpuset-cpus":
        wanted = processors(asked.cpuset_cpus) & os.sched_getaffinity(0)
        if wanted:
            os.sched_setaffinity(0, wanted)
            instead = "the step begins there, and may change it"
    return Unset(unset.limit, unset.reason, instead)


def processors(text: str) -> set[int]:
    """Return the numbers in a list such as `0-2,4`, which is one; see `builder.cli.limits`."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def _is_root_of_the_host() -> bool:
    """Tell whether this is the one user whose processes the kernel does not count."""
    with open("/proc/self/uid_map", encoding="ascii") as file:
        inside, outside, _ = file.readline().split()
    return (inside, outside) == ("0", "0")
