"""What the steps of one build see of the host."""

from __future__ import annotations

import msgspec


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What every RUN of a build sees of the host: name resolution, and the network that `default` means."""

    files: tuple[tuple[str, bytes], ...] = ()
    network: str = "default"
