"""A build for several platforms: one graph of all, in which what they share is done once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from builder.engine.lowering import Plan
from builder.errors import LapstrakeError
from builder.graph.merging import merged
from builder.graph.vertex import Graph, Vertex

Located = Callable[[LapstrakeError, Vertex], LapstrakeError]


def together(plans: Sequence[Plan]) -> tuple[Graph, tuple[Plan, ...]]:
    """Return the graph of all plans, and the plans as parts of it."""
    graph, places = merged([plan.graph for plan in plans])
    parts = []
    for plan, place in zip(plans, places, strict=True):
        target = plan.graph.target
        own = msgspec.structs.replace(graph, target=None if target is None else place[target])
        history = tuple(
            step
            if step.vertex is None
            else msgspec.structs.replace(step, vertex=place[step.vertex])
            for step in plan.history
        )
        parts.append(msgspec.structs.replace(plan, graph=own, history=history))
    return graph, tuple(parts)


def naming_platforms(located: Located) -> Located:
    """Return what gives errors of steps their place, and names the platform that they are for."""

    def named(error: LapstrakeError, vertex: Vertex) -> LapstrakeError:
        found = located(error, vertex)
        if vertex.platform:
            found.notes = (*found.notes, _of(vertex.platform))
        return found

    return named


def for_platform(error: LapstrakeError, platform: str) -> None:
    """Say of an error which platform it is about."""
    note = _of(platform)
    if note not in error.notes:
        error.notes = (*error.notes, note)


def _of(platform: str) -> str:
    return f"it was being built for `{platform}`"
