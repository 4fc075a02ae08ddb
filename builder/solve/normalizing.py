"""Results that differ from those of the time before by noise alone, where the caller asked not to see that.

The record of a step keeps what the step really made; that it counts as something earlier is remembered apart, so that
builds which do not ask for it never see it.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from builder.errors import LapstrakeError
from builder.layer.difference import differences
from builder.layer.entries import read_entries
from builder.layer.noise import GZIP, PYC, kind_of
from builder.store.layers import Layer, State
from builder.store.root import Store

MOST = 10_000
"""Files that differ: beyond that nobody would call it noise."""


def remembered(store: Store, layer: Layer, asked: tuple[str, ...]) -> Layer:
    """Return the earlier layer that a layer counts as, or itself."""
    earlier = store.cache.selection(_room(asked), layer.content_id)
    found = None if earlier is None else store.layers.get(earlier)
    return found if found is not None and store.snapshots.usable(found) else layer


def normalized(
    store: Store,
    base: State,
    layer: Layer,
    before: str,
    asked: tuple[str, ...],
    tell: Callable[[bytes], None],
) -> Layer | None:
    """Return the layer of the time before, `before` by its diff id, if the new one differs by noise alone.

    What was ignored is told, a line a file.
    """
    earlier = store.layers.get(before) if before else None
    if earlier is None or earlier == layer or not store.snapshots.usable(earlier):
        return None
    found = _noise(store, earlier, layer, asked)
    if found is None or not _is_so(store, base, earlier, layer, found):
        return None
    store.cache.remember_selection(_room(asked), layer.content_id, earlier.diff_id)
    for path, kind in found:
        tell(b"ignored: /%s (%s)\n" % (path, kind.encode()))
    return earlier


def _noise(
    store: Store, earlier: Layer, layer: Layer, asked: tuple[str, ...]
) -> list[tuple[bytes, str]] | None:
    """Return the files that may differ by noise alone; None if anything else differs."""
    lists = store.layers.entries_path
    found: list[tuple[bytes, str]] = []
    try:
        for before, after in differences(
            read_entries(lists(earlier.diff_id)), read_entries(lists(layer.diff_id))
        ):
            kind = kind_of(before, after, asked)
            if kind is None or after is None or len(found) >= MOST:
                return None
            found.append((after.path, kind))
    except (OSError, LapstrakeError):
        return None
    return found


def _is_so(
    store: Store, base: State, earlier: Layer, layer: Layer, found: list[tuple[bytes, str]]
) -> bool:
    """Tell whether files whose data have to tell differ by noise alone."""
    doubtful = tuple(each for each in found if each[1] in (GZIP, PYC))
    if not doubtful:
        return True
    snapshots = store.snapshots
    with (
        snapshots.view(base.with_layer(earlier)) as before,
        snapshots.view(base.with_layer(layer)) as after,
    ):
        answer = store.jobs.call(
            "builder.layer.noise:all_noise",
            {"before": before, "after": after, "files": doubtful},
        )
    return msgspec.convert(answer, bool)


def _room(asked: tuple[str, ...]) -> str:
    return "normalized/1 " + ",".join(sorted(set(asked)))
