"""Runs cached steps again, to see whether they come to what the cache holds of them.

What comes out is dropped: the build goes on with what was recorded, and says what differs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import islice

import msgspec

from builder.diagnostics import Diagnostic, Severity
from builder.errors import Cancelled, LapstrakeError
from builder.events import EventSink, Outcome, VertexDone, Warned
from builder.graph.explain import place_of
from builder.graph.operations import CopyOp, MakeDirOp, RunOp
from builder.graph.vertex import Graph, Vertex
from builder.layer.difference import differences, how
from builder.layer.entries import read_entries
from builder.solve.execution import Execution
from builder.solve.lookup import Input
from builder.store.layers import Layer
from builder.store.root import Store

_LONGEST_WAIT = 0.2
"""Seconds."""

MOST_SHOWN = 10
"""Paths that a warning names."""


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """A step that was run again: what is said of it, and the warning if it came to something else."""

    note: str
    warning: Diagnostic | None = None


def sample(indexes: Sequence[int], percent: int) -> list[int]:
    """Return which steps are run again: so many of a hundred, another choice each time, and one at least."""
    count = -(-len(indexes) * percent // 100)
    return sorted(random.sample(list(indexes), count))


def verified(vertex: Vertex, recorded: Layer, store: Store, again: Callable[[], Layer]) -> Verified:
    """Run a step again and compare; a step that fails is one that differs.

    Raises: Cancelled.
    """
    try:
        layer = again()
    except Cancelled:
        raise
    except LapstrakeError as error:
        return _differs(vertex, (f"run again, it fails: {error.message}",), "failed")
    if layer.content_id == recorded.content_id:
        return Verified(note="verified: the same as in the cache")
    return _differs(vertex, tuple(_shown(recorded, layer, store)), "differs from the cache")


class Verifier:
    """Runs steps of one graph again and tells what comes of it; `layers` are what was recorded."""

    def __init__(
        self,
        graph: Graph,
        layers: Mapping[int, Layer],
        store: Store,
        execution: Execution,
        events: EventSink,
    ) -> None:
        self._graph = graph
        self._layers = layers
        self._store = store
        self._execution = execution
        self._events = events

    def run(self, steps: Mapping[int, tuple[Input, ...]], *, jobs: int) -> None:
        """Run steps, each with its inputs, again, so many at once.

        Raises: Cancelled.
        """
        with ThreadPoolExecutor(max_workers=jobs) as pool:
            running = {pool.submit(self._step, index, each) for index, each in steps.items()}
            while running:
                # Not for ever: Python handles signals between two waits.
                done, running = wait(running, timeout=_LONGEST_WAIT)
                for future in done:
                    future.result()

    def _step(self, index: int, inputs: tuple[Input, ...]) -> None:
        vertex = self._graph.vertices[index]
        op = vertex.op

        def again() -> Layer:
            if isinstance(op, RunOp):
                return self._execution.run(index, op, inputs)
            assert isinstance(op, CopyOp | MakeDirOp)
            return self._execution.copy(index, op, inputs).layer

        found = verified(vertex, self._layers[index], self._store, again)
        if found.warning is not None:
            self._events.emit(Warned(diagnostic=found.warning))
        number, at = self._execution.stamp(index)
        done = VertexDone(at=at, id=number, outcome=Outcome.EXECUTED, note=found.note)
        self._events.emit(done)


def _differs(vertex: Vertex, notes: tuple[str, ...], note: str) -> Verified:
    step = place_of(vertex.name)[2]
    return Verified(
        note=note,
        warning=Diagnostic(
            severity=Severity.WARNING,
            code="build.cache-differs",
            message=f"run again, a cached step does not come to the same: {step}",
            span=vertex.span,
            notes=notes,
            hint="look for times, random numbers and what it reads from the network",
        ),
    )


def _shown(recorded: Layer, again: Layer, store: Store) -> Iterator[str]:
    lists = store.layers.entries_path
    try:
        found = list(
            differences(read_entries(lists(recorded.diff_id)), read_entries(lists(again.diff_id)))
        )
    except (OSError, LapstrakeError):
        yield "which files differ is not known, as the recorded layer has no list of them"
        return
    for before, after in islice(found, MOST_SHOWN):
        path = (after or before).path  # type: ignore[union-attr]  # never both absent
        yield f"/{path.decode('utf-8', 'backslashreplace')}: {how(before, after)}"
    if len(found) > MOST_SHOWN:
        yield f"and {len(found) - MOST_SHOWN} more"
