"""How much registries take at once."""

from __future__ import annotations

CHUNK = 16 * 1024 * 1024
"""Bytes that are sent at once where all at once are too many; less where these are, too."""

LEAST = 256 * 1024
"""Bytes that every registry takes at once."""


class Limits:
    """How many bytes registries take at once, as far as that is known; shared by all uploads of a client."""

    def __init__(self) -> None:
        self._most: dict[str, int] = {}

    def most(self, registry: str) -> int | None:
        """Return how many bytes a registry takes at once, None for any number."""
        return self._most.get(registry)

    def lower(self, registry: str, size: int) -> int:
        """Remember that `size` bytes were too many; return how many may be few enough."""
        lower = min(CHUNK, max(size // 4, LEAST))
        self._most[registry] = min(lower, self._most.get(registry, CHUNK))
        return self._most[registry]
