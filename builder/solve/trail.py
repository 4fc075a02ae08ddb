"""What of a build must be known to look into its steps later: what they stood on, what they made, how commands ran.

A trail is data alone, in the order in which things happened. Secrets are not on it, nor are the proxies of the caller, whose
addresses may hold passwords.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from builder.graph.operations import ImageSource, RunOp
from builder.graph.vertex import Graph
from builder.solve.surroundings import Limits
from builder.store.layers import State


class PlannedStep(msgspec.Struct, frozen=True, array_like=True):
    """One vertex: `run` is how its command runs, None where there is none; `layers` are the diff ids of an image."""

    inputs: tuple[int, ...]
    run: RunOp | None = None
    layers: tuple[str, ...] = ()


class Planned(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """All vertices by index, and what every command sees of the host; see `Surroundings`."""

    steps: tuple[PlannedStep, ...]
    network: str
    hosts: tuple[tuple[str, str], ...]
    limits: Limits


class Executing(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Not all comes from the cache: from now on there is something to lose."""


class Began(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A vertex has the number `id` in the log."""

    index: int
    id: int


class Made(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A vertex gave a layer."""

    index: int
    diff_id: str


class Kept(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """What a command wrote that then failed is kept, as a layer."""

    index: int
    diff_id: str


Trace = Planned | Executing | Began | Made | Kept


def planned(
    graph: Graph,
    images: Mapping[tuple[str, str], State],
    *,
    network: str,
    hosts: tuple[tuple[str, str], ...],
    limits: Limits,
) -> Planned:
    """Return what is known before anything has run."""
    steps: list[PlannedStep] = []
    for vertex in graph.vertices:
        op = vertex.op
        if isinstance(op, RunOp):
            steps.append(PlannedStep(vertex.inputs, msgspec.structs.replace(op, hidden_env=())))
        elif isinstance(op, ImageSource):
            layers = images[op.reference, op.platform].layers
            steps.append(PlannedStep((), None, tuple([each.diff_id for each in layers])))
        else:
            steps.append(PlannedStep(vertex.inputs))
    return Planned(tuple(steps), network, hosts, limits)


class Trail:
    """What is known of the steps of one build by index, once it is over."""

    def __init__(self, traces: Iterable[Trace]) -> None:
        self.plan: Planned | None = None
        self.numbers: dict[int, int] = {}
        """Indexes by the numbers in the log."""
        self.made: dict[int, str] = {}
        """Diff ids of layers."""
        self.kept: dict[int, str] = {}
        """Diff ids of what failed commands wrote."""
        for trace in traces:
            match trace:
                case Planned():
                    self.plan = trace
                case Executing():
                    pass
                case Began():
                    self.numbers[trace.id] = trace.index
                case Made():
                    self.made[trace.index] = trace.diff_id
                case Kept():
                    self.kept[trace.index] = trace.diff_id

    def below(self, plan: Planned, index: int) -> tuple[str | None, ...]:
        """Return the layers that a vertex stands on, bottom first; None stands for one that was never made."""
        chain: list[str | None] = []
        while (step := plan.steps[index]).inputs:
            index = step.inputs[0]
            if plan.steps[index].inputs:
                chain.append(self.made.get(index))
            else:
                chain += reversed(plan.steps[index].layers)
        return tuple(reversed(chain))

    def of(self, plan: Planned, index: int) -> tuple[str | None, ...]:
        """Return the layers of the state after a vertex, likewise."""
        if not plan.steps[index].inputs:
            return plan.steps[index].layers
        return (*self.below(plan, index), self.made.get(index))

    def run_near(self, plan: Planned, index: int) -> RunOp | None:
        """Return how a vertex's command runs; where it has none, that of the next one below, or else above, in its stage."""
        at: int | None = index
        while at is not None:
            step = plan.steps[at]
            if step.run is not None:
                return step.run
            at = step.inputs[0] if step.inputs else None
        above = index
        for at in range(index + 1, len(plan.steps)):
            step = plan.steps[at]
            if step.inputs and step.inputs[0] == above:
                if step.run is not None:
                    return step.run
                above = at
        return None
