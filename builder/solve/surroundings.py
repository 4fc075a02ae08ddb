"""What the steps of one build see of the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from runtime.spec import SHARED_MEMORY, ProcessLimit, Resources, Unset

if TYPE_CHECKING:
    from builder.solve.agents import Agents
    from builder.solve.secrets import Secrets


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What every RUN of a build may use: all its processes together, each of them, and of /dev/shm in bytes."""

    resources: Resources | None = None
    processes: tuple[ProcessLimit, ...] = ()
    shared_memory: int = SHARED_MEMORY


GATEWAY = "host-gateway"
"""Stands for an address under which a step reaches this host."""


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What every RUN of a build sees of the host: name resolution, and the network that `default` means.

    `resolver` is the host's resolv.conf; `hosts` are further names with their addresses, or `GATEWAY`.
    `secrets` and `agents` are what steps may ask for, None where nothing was given. With `leaks_allowed`, what a step
    wrote is not searched for the secrets that it saw; with `keep_failed` it is kept if the step fails. `certificates`, each in DER, are trusted besides those of the image.
    """

    resolver: str = ""
    hosts: tuple[tuple[str, str], ...] = ()
    limits: Limits = Limits()
    network: str = "default"
    secrets: Secrets | None = None
    agents: Agents | None = None
    leaks_allowed: bool = False
    keep_failed: bool = False
    certificates: tuple[bytes, ...] = ()


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """Who hears of a step: its output as it comes, what it waits for, and which limits cannot be set."""

    log: Callable[[bytes], None]
    waiting: Callable[[str], None]
    unset: Callable[[Unset], None]
