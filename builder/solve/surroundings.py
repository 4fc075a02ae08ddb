"""What the steps of one build see of the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from builder.solve.agents import Agents
    from builder.solve.secrets import Secrets


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What every RUN of a build sees of the host: name resolution, and the network that `default` means.

    `secrets` and `agents` are what steps may ask for, None where nothing was given. With `leaks_allowed`, what a step
    wrote is not searched for the secrets that it saw. `certificates`, each in DER, are trusted besides those of the image.
    """

    files: tuple[tuple[str, bytes], ...] = ()
    network: str = "default"
    secrets: Secrets | None = None
    agents: Agents | None = None
    leaks_allowed: bool = False
    certificates: tuple[bytes, ...] = ()


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """Who hears of a step: its output as it comes, and what it waits for."""

    log: Callable[[bytes], None]
    waiting: Callable[[str], None]
