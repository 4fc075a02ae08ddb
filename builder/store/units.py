"""What a store could do without, piece by piece, and which pieces are the least useful.

A piece is a layer that steps gave, with the records of these steps, or that a failed one left; a cache mount; what is known of a context; a
download; a checkout; the tree of a state; what is remembered of a build or a project. What images or running commands need is none.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, cast

import msgspec

from builder.store.kept import kept_layers
from builder.store.ours import unused
from builder.store.pruning import Kind

if TYPE_CHECKING:
    from builder.store.needs import Needs
    from builder.store.root import Store

_PACE = {
    Kind.CACHE_MOUNTS: 5e6,
    Kind.DOWNLOADS: 10e6,
    Kind.CHECKOUTS: 5e6,
    Kind.TREES: 200e6,
    Kind.CONTEXTS: 1e3,
    Kind.BUILDS: 1e9,
    Kind.TRACES: 1e9,
}
"""Bytes a second at which a piece could be had again, where nobody has measured it."""

_HOUR = 3600.0


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """A piece: `name` is a diff id, the id of a build, or a host path.

    `used` is when it was of use last, in seconds since the epoch, `seconds` what it takes to have it again, -1 where
    nobody knows; `bytes` those on disk, -1 until it is measured.
    """

    kind: Kind
    name: str
    used: float
    seconds: float = -1.0
    bytes: int = -1

    @property
    def place(self) -> str:
        """What it is called in a lease."""
        if self.kind in (Kind.DOWNLOADS, Kind.CHECKOUTS):
            return "/".join(self.name.split("/")[-3:])
        return self.name

    def usefulness(self, now: float) -> float:
        """Return the seconds that a byte is likely to save, falling with the time since it was of use."""
        seconds = self.seconds
        if seconds < 0:
            seconds = self.bytes / _PACE.get(self.kind, 10e6)
        hours = max(now - self.used, 0.0) / _HOUR
        return (seconds + 0.001) / (max(self.bytes, 1) * (hours + 1))


def units(store: Store, needs: Needs) -> Iterator[Unit]:
    """Yield what the store could do without, if nobody holds it: see `Unit.place`."""
    yield from _steps(store, needs)
    yield from _files(store, "mounts", Kind.CACHE_MOUNTS)
    yield from _files(store, "contexts", Kind.CONTEXTS)
    yield from _files(store, "trees", Kind.TREES)
    yield from _files(store, "traces", Kind.TRACES)
    yield from _fetched(store, "http", Kind.DOWNLOADS)
    yield from _fetched(store, "git", Kind.CHECKOUTS)
    for about in store.builds.all():
        if about.outcome != "running":
            ended = about.started + about.seconds
            yield Unit(kind=Kind.BUILDS, name=about.id, used=ended, seconds=0.0)


def _steps(store: Store, needs: Needs) -> Iterator[Unit]:
    rows = store.db.rows(
        "SELECT key, base, diff_id, used, seconds FROM records ORDER BY diff_id, used"
    )
    found: dict[str, Unit] = {}
    for key, base, diff_id, used, seconds in rows:
        if (key, base) in needs.records or diff_id in needs.layers:
            continue
        name = str(diff_id)
        longest = cast("float", seconds)
        if name in found:
            longest = max(longest, found[name].seconds)
        found[name] = Unit(kind=Kind.STEPS, name=name, used=cast("float", used), seconds=longest)
    for diff_id, ended in kept_layers(store).items():
        if diff_id not in needs.layers:
            found.setdefault(diff_id, Unit(kind=Kind.STEPS, name=diff_id, used=ended))
    yield from found.values()


def _files(store: Store, room: str, kind: Kind) -> Iterator[Unit]:
    if not os.path.isdir(f"{store.root}/{room}"):
        return
    for path in unused(store.root, room, ()):
        yield Unit(kind=kind, name=path, used=_changed(path))


def _fetched(store: Store, which: str, kind: Kind) -> Iterator[Unit]:
    place = f"{store.root}/downloads/{which}"
    try:
        names = sorted(os.listdir(place))
    except FileNotFoundError:
        return
    for name in names:
        path = f"{place}/{name}"
        yield Unit(kind=kind, name=path, used=max(_changed(path), _changed(f"{path}/record")))


def _changed(path: str) -> float:
    try:
        return os.lstat(path).st_mtime
    except OSError:
        return 0.0


def least_useful(candidates: Iterable[Unit], to_free: int) -> list[Unit]:
    """Return the pieces that are of the least use for their size, until they make up `to_free` bytes."""
    now = time.time()
    chosen: list[Unit] = []
    freed = 0
    for unit in sorted(candidates, key=lambda each: (each.usefulness(now), each.name)):
        if freed >= to_free:
            break
        if unit.bytes > 0:
            chosen.append(unit)
            freed += unit.bytes
    return chosen
