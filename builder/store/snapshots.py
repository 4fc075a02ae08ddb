"""File system states, kept in the way that the walls and the store's file system allow."""

from __future__ import annotations

from _thread import allocate_lock  # `threading` is on no cached build's way
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from builder.store.blobs import BlobStore
from builder.store.choice import Recall, Remember, choose
from builder.store.forms import LayerForms, unique_name
from builder.store.jobs import Jobs
from builder.store.layers import Layer, LayerIndex, State
from builder.store.snapshotter import ActiveSnapshot, Snapshotter

if TYPE_CHECKING:
    from builder.layer.scanned import LayerScan
    from builder.store.arrival import Incoming


class Snapshots(LayerForms):
    """The states of one store; see `Snapshotter` for what is passed on to the one in use."""

    def __init__(
        self,
        root: str,
        layers: LayerIndex,
        blobs: BlobStore,
        jobs: Jobs,
        *,
        recall: Recall,
        remember: Remember,
        room: Callable[[], None],
    ) -> None:
        super().__init__(root, layers, blobs, jobs)
        self.make_room = room
        """See to it that there is room before a step writes; see `limit`."""
        self._recall = recall
        self._remember = remember
        self._chosen: Snapshotter | None = None
        self._choosing = allocate_lock()

    @property
    def _snapshotter(self) -> Snapshotter:
        if self._chosen is None:
            with self._choosing:
                if self._chosen is None:
                    self._chosen = self._choose()
        return self._chosen

    def _choose(self) -> Snapshotter:
        directory = f"{self.scratch()}/{unique_name()}.trial"
        match choose(self.jobs, directory, self._recall, self._remember):
            case "overlay":
                from builder.store.overlay import OverlaySnapshotter

                return OverlaySnapshotter(self)
            case _:
                from builder.store.trees import CopyingSnapshotter

                return CopyingSnapshotter(self)

    @property
    def kind(self) -> str:
        """How states are kept: `overlay` or `copying`. Opens the walls."""
        return "overlay" if self._snapshotter.layers_apart else "copying"

    def close(self) -> None:
        """Let go of what this process kept for itself."""
        if self._chosen is not None:
            self._chosen.close()
        super().close()

    @property
    def layers_apart(self) -> bool:
        """Whether each layer has a directory of its own."""
        return self._snapshotter.layers_apart

    def directories(self, state: State) -> tuple[str, ...]:
        """Return directories that show a state."""
        return self._snapshotter.directories(state)

    def unpack(self, state: State, incoming: Mapping[str, Incoming]) -> None:
        """Make what `directories` needs while blobs are coming."""
        self._snapshotter.unpack(state, incoming)

    def view(self, state: State) -> AbstractContextManager[tuple[str, ...]]:
        """Show a state for as long as a block lasts."""
        return self._snapshotter.view(state)

    def prepare(self, state: State) -> AbstractContextManager[ActiveSnapshot]:
        """Give a writable file system above a state."""
        self.make_room()
        return self._snapshotter.prepare(state)

    def commit(self, active: ActiveSnapshot) -> Layer:
        """Turn what a step wrote into a layer."""
        return self._snapshotter.commit(active)

    def settle(self, active: ActiveSnapshot, scan: LayerScan, entries: str) -> Layer:
        """Commit a directory whose entry list is written already."""
        return self._snapshotter.settle(active, scan, entries)
