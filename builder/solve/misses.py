"""The steps of one build that the cache has, and those that it has not: what explains these is loaded with the first."""

from __future__ import annotations

import os
from _thread import allocate_lock  # `threading` is on no cached build's way
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from builder.errors import LapstrakeError
from builder.events import Cause, Difference, Event, EventSink, Explained
from builder.graph.keys import CacheKey
from builder.graph.operations import CopyOp, MakeDirOp, RunOp
from builder.graph.vertex import Graph
from builder.solve.lookup import Lookup, Step
from builder.store.cache import Observation
from builder.store.layers import Layer, State
from builder.store.root import Store

if TYPE_CHECKING:
    from builder.solve.explaining import Explainer, Explanation, Missed


class Misses:
    """Hears of every step of a graph; `stamp` gives the number of a step and the time, for its events.

    `project` is what the steps are remembered under; `layers` grows while the graph is solved.
    """

    def __init__(
        self,
        graph: Graph,
        layers: Mapping[int, Layer],
        *,
        store: Store,
        lookup: Lookup,
        project: tuple[str, ...],
        images: Mapping[tuple[str, str], State],
        events: EventSink,
        stamp: Callable[[int], tuple[int, float]],
    ) -> None:
        self._graph = graph
        self._layers = layers
        self._store = store
        self._lookup = lookup
        self._project = project
        self._images = images
        self._events = events
        self._stamp = stamp
        self._keys: dict[int, CacheKey] = {}
        self._explainer: Explainer | None = None
        self._lock = allocate_lock()

    def hit(self, index: int, key: CacheKey) -> None:
        """Hear that a step is in the cache."""
        self._keys[index] = key

    def hits(self) -> list[int]:
        """Return the steps that the cache had."""
        return sorted(self._keys)

    def missed(
        self,
        index: int,
        op: Step,
        key: CacheKey,
        *,
        asked: Difference | None,
        seen: tuple[Observation, ...] = (),
        made: Layer | None = None,
    ) -> Missed:
        """Say why a step is executed; see `Explainer.missed`."""
        explainer = self._explained()
        return explainer.missed(index, op, key, asked=asked, seen=seen, made=made)

    def asked(self, index: int, key: CacheKey, base: State) -> Difference | None:
        """Return what asks for a step to be executed although nothing may have changed."""
        vertex = self._graph.vertices[index]
        if vertex.no_cache:
            return Difference(cause=Cause.ASKED, subject=vertex.no_cache)
        if self._lookup.expired(key, base, vertex.ttl):
            return Difference(cause=Cause.EXPIRED, subject=lasting(vertex.ttl))
        return None

    def settled(self, missed: Missed, layer: Layer) -> str:
        """Keep what a step was; see `Explainer.settled`."""
        return self._explained().settled(missed, layer)

    def ended(self) -> None:
        """Keep what cached steps were, where something was executed beside them or this project is new."""
        if self._explainer is None and os.path.exists(self._store.trace_path(self._project)):
            return
        cached = {
            index: (op, key)
            for index, key in self._keys.items()
            if isinstance(op := self._graph.vertices[index].op, RunOp | CopyOp | MakeDirOp)
        }
        if cached:
            with suppress(LapstrakeError):  # what it explains some day must not end a build
                self._explained().remember_cached(cached)

    def _explained(self) -> Explainer:
        with self._lock:
            if self._explainer is None:
                from builder.solve.explaining import Explainer

                self._explainer = Explainer(
                    self._graph,
                    self._layers,
                    store=self._store,
                    project=self._project,
                    images=self._images,
                    tell=self._tell,
                )
            return self._explainer

    def _tell(self, index: int, explanation: Explanation) -> None:
        from builder.graph.explain import reason

        differences, since = explanation
        number, at = self._stamp(index)
        event: Event = Explained(
            at=at, id=number, reason=reason(differences), differences=differences, since=since
        )
        self._events.emit(event)


def lasting(seconds: int) -> str:
    """Return a duration as it is written in a Dockerfile: `1d`, `90m`."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"
