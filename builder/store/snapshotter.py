"""The seam to file system states: how a stack of layers becomes a directory, and what was written to it a layer."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

import msgspec

from builder.store.layers import Layer, State
from runtime.spec import Rootfs

if TYPE_CHECKING:
    from builder.layer.scanned import LayerScan
    from builder.store.arrival import Incoming

FILE_CLOCK_GRAIN = 10_000_000
"""Nanoseconds: how much the clock that files get their times from may be behind."""


class ActiveSnapshot(msgspec.Struct, frozen=True):
    """A writable file system above a state, while a step runs; host paths, `lowers` topmost first.

    `rootfs` is what a step is to see, `since` when it was made, in nanoseconds since the epoch.
    """

    base: State
    name: str
    lowers: tuple[str, ...]
    upper: str
    work: str
    since: int
    rootfs: Rootfs


class Snapshotter(Protocol):
    """File system states on the disk. `layers_apart` tells that each layer has a directory of its own."""

    layers_apart: bool

    def directories(self, state: State) -> tuple[str, ...]:
        """Return directories that a read-only stack of shows the state, the topmost first; () shows nothing.

        They stay as they are until the store is closed. Idempotent.

        Raises: StoreError: `store.corrupt`: no form of a layer is left, or none agrees with its diff id.
            LayerError: a layer came like this, and cannot be unpacked.
        """

    def unpack(self, state: State, incoming: Mapping[str, Incoming]) -> None:
        """Make what `directories` needs while the blobs of layers, by diff id, are coming.

        What was made of a blob that turned out wrong is forgotten.

        Raises: StoreError: a blob does not come, or is not the layer. LayerError: it cannot be unpacked.
        """

    def view(self, state: State) -> AbstractContextManager[tuple[str, ...]]:
        """Give the same for as long as a block lasts, which may be cheaper."""

    def prepare(self, state: State) -> AbstractContextManager[ActiveSnapshot]:
        """Give a writable file system above a state; what is not committed in the block is discarded.

        Raises: as `directories` does.
        """

    def commit(self, active: ActiveSnapshot) -> Layer:
        """Turn what a step wrote into a layer, and return it.

        If a layer with the same contents is known, that one is returned, with its times: what comes after
        it stays cached, and the image's digest stays the same.
        """

    def settle(self, active: ActiveSnapshot, scan: LayerScan, entries: str) -> Layer:
        """Commit a directory whose entry list is written already; only where layers are apart."""

    def close(self) -> None:
        """Let go of what is held."""
