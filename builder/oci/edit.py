"""Pure changes to a configuration; each returns a new one."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from builder.oci.config import History, ImageConfig
from builder.oci.digest import Digest

UNRECORDED = History(comment="unrecorded layer")
"""What stands for a layer whose image does not say how it came to be."""


class Inherited(Struct, frozen=True, kw_only=True):
    """How much of an image came with its base: that many layers from the bottom, and lines of history.

    `passing` are numbers of its own layers with seconds: times in them after that say nothing, but when it was made or
    checked out.
    """

    layers: int = 0
    lines: int = 0
    passing: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, base: ImageConfig, passing: Iterable[tuple[int, int]] = ()) -> Inherited:
        """Return how much an image has from this base, whose history is whole; `passing` counts own layers alone."""
        below = len(base.diff_ids)
        return cls(
            layers=below,
            lines=len(base.history),
            passing=tuple([(below + number, seconds) for number, seconds in passing]),
        )


def append_layer(config: ImageConfig, diff_id: Digest, history: History) -> ImageConfig:
    """Put a layer on top, with the line of history that made it."""
    config = with_whole_history(config)
    return replace(
        config,
        diff_ids=(*config.diff_ids, str(diff_id)),
        history=(*config.history, replace(history, empty_layer=False)),
        created=history.created or config.created,
    )


def append_history(config: ImageConfig, history: History) -> ImageConfig:
    """Record a step that changed the configuration only."""
    config = with_whole_history(config)
    return replace(
        config,
        history=(*config.history, replace(history, empty_layer=True)),
        created=history.created or config.created,
    )


def with_whole_history(config: ImageConfig) -> ImageConfig:
    """Return the configuration with one line of history for each layer, in the same order.

    Images made by squashing or importing have too few lines: placeholders are added at the end, since the
    lowest layers are the ones most often described. Surplus lines are marked as having no layer.
    """
    described = sum(not entry.empty_layer for entry in config.history)
    missing = len(config.diff_ids) - described
    if missing == 0:
        return config
    if missing > 0:
        return replace(config, history=config.history + (UNRECORDED,) * missing)
    left = len(config.diff_ids)
    lines = []
    for entry in config.history:
        keeps = not entry.empty_layer and left > 0
        left -= keeps
        lines.append(entry if keeps else replace(entry, empty_layer=True))
    return replace(config, history=tuple(lines))


def chain_ids(diff_ids: tuple[str, ...]) -> tuple[Digest, ...]:
    """Return the chain id of every stack of layers from the bottom up to each one.

    Source: OCI image-spec, config.md, "Layer ChainID".
    """
    chain: list[Digest] = []
    for diff_id in diff_ids:
        chain.append(Digest.of(f"{chain[-1]} {diff_id}".encode()) if chain else Digest(diff_id))
    return tuple(chain)
