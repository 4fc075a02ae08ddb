"""Give every vertex of a graph its state: from the cache where possible, by execution where not.

A first pass on the calling thread takes what the cache has; a build that is wholly cached starts no thread.
What is left goes to a pool, each vertex as soon as its inputs are there. All bookkeeping is done by the
calling thread alone. Each finished step is recorded at once, so that nothing done is lost.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, assert_never

import msgspec

from builder.diagnostics import Diagnostic
from builder.errors import (
    ContextError,
    LapstrakeError,
    LayerLost,
    RunFailed,
)
from builder.events import (
    EventSink,
    Outcome,
    VertexDone,
    VertexFailed,
    VertexStarted,
)
from builder.graph.operations import (
    ContextSource,
    CopyOp,
    GitSource,
    HttpSource,
    ImageSource,
    MakeDirOp,
    RunOp,
)
from builder.graph.vertex import Graph, Vertex
from builder.solve.context import LocalContext, Remotes
from builder.solve.lookup import CacheBackend, Input, Lookup, Result, base_of, below
from builder.solve.misses import Misses
from builder.solve.surroundings import Surroundings
from builder.solve.trail import Began, Executing, Kept, Made, Trace
from builder.solve.translate import Behind
from builder.store.layers import Layer, State
from builder.store.root import Store

if TYPE_CHECKING:
    from concurrent.futures import Future

    from builder.solve.execution import Execution
    from builder.solve.executor import Executor
    from builder.solve.processing import Processing

_LONGEST_WAIT = 0.2
"""Seconds."""

_FEWEST_JOBS = 4
"""Steps at once where nobody says how many: much of what they do is waiting."""


class Solved(msgspec.Struct, frozen=True):
    """The states and layers of all vertices by index, and how many steps there were and were cached."""

    states: dict[int, State]
    layers: dict[int, Layer]
    steps: int
    cached: int


class Solver:
    """Solves one graph; `images` gives the state of each by reference and platform, `contexts` by name.

    `project` is what the steps are remembered under, for when one of them is to be explained. At most `jobs` steps run
    at once, None leaves that to the number of processors. `verify` is how many of a hundred cached steps are run again,
    `normalize` which noise does not tell two results of a command apart; see `builder.layer.noise`.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        store: Store,
        behind: Behind,
        executor: Executor,
        images: Mapping[tuple[str, str], State],
        contexts: Mapping[str, LocalContext],
        remotes: Remotes,
        surroundings: Surroundings,
        events: EventSink,
        first_id: int = 1,
        elsewhere: CacheBackend | None = None,
        located: Callable[[LapstrakeError, Vertex], LapstrakeError],
        project: tuple[str, ...],
        trail: Callable[[Trace], None],
        jobs: int | None = None,
        verify: int = 0,
        normalize: tuple[str, ...] = (),
    ) -> None:
        self._graph = graph
        self._store = store
        self._behind = behind
        self._images = images
        self._contexts = contexts
        self._remotes = remotes
        self._surroundings = surroundings
        self._events = events
        self._next_id = first_id
        self._ids: dict[int, int] = {}
        self._located = located
        self._trail = trail
        self._lookup = Lookup(store, elsewhere, normalize, surroundings.secrets)
        self._inputs: dict[int, Input] = {}
        self._layers: dict[int, Layer] = {}
        self._cached = 0
        self._restarts = 0
        self._started = time.monotonic()
        self._misses = Misses(
            graph,
            self._layers,
            store=store,
            lookup=self._lookup,
            project=project,
            images=images,
            events=events,
            stamp=self._stamp,
        )
        self._verify = verify
        self._normalize = normalize
        self._executor = executor
        self._jobs = jobs or max(_FEWEST_JOBS, os.cpu_count() or 1)

    def solve(self) -> Solved:
        """Return the states of all vertices.

        Raises: LapstrakeError: of the vertex that failed first, with its place; what was finished stays
            recorded. Cancelled: the build was interrupted.
        """
        self._take_sources()
        try:
            self._take_all()
        finally:
            self._misses.ended()
        if self._verify:
            self._verify_cached()
        states = {at: each for at, each in self._inputs.items() if isinstance(each, State)}
        return Solved(states, self._layers, len(self._layers), self._cached)

    def _take_all(self) -> None:
        while True:
            try:
                self._take_cached()
                if len(self._inputs) < len(self._graph.vertices):
                    self._refuse_missing()
                    self._execute_rest()
                self._have_result()
            except LayerLost as lost:
                if not self._can_be_made_again(lost):
                    raise
                self._start_over()
            else:
                return

    def _have_result(self) -> None:
        """Have the layers of the image here: what the store calls an image is whole."""
        for each in (self._graph.target, *self._graph.others):
            result = None if each is None else self._inputs[each]
            if isinstance(result, State):
                self._lookup.have(result)

    def _take_sources(self) -> None:
        for index, vertex in enumerate(self._graph.vertices):
            match vertex.op:
                case ImageSource():
                    state = self._images[(vertex.op.reference, vertex.op.platform)]
                    self._inputs[index] = state
                case ContextSource():
                    self._inputs[index] = self._contexts[vertex.op.name]
                case HttpSource() | GitSource():
                    here = self._remotes.here(vertex.op)
                    if here is not None:
                        self._start(index)
                        self._finish(index, Result(here, cached=True))
                case RunOp() | CopyOp() | MakeDirOp():
                    pass
                case _:
                    assert_never(vertex.op)

    def _can_be_made_again(self, error: LapstrakeError) -> bool:
        """Tell whether a layer was lost that a step of this build gave: no record finds it now, so the step runs."""
        if not isinstance(error, LayerLost) or self._restarts > len(self._graph.vertices):
            return False
        return error.diff_id in {layer.diff_id for layer in self._layers.values()}

    def _start_over(self) -> None:
        """Forget what was found of this build's steps; what is left of them is found again."""
        self._restarts += 1
        for index in self._layers:
            del self._inputs[index]
        self._layers.clear()
        self._cached = 0

    def _take_cached(self) -> None:
        """Take from the cache, in order, what needs neither execution nor much reading."""
        for index, vertex in enumerate(self._graph.vertices):
            if index in self._inputs or not self._ready(vertex) or vertex.no_cache:
                continue
            op = vertex.op
            if not isinstance(op, RunOp | CopyOp | MakeDirOp):
                continue  # a remote source, which has to be asked
            inputs = self._inputs_of(vertex)
            try:
                if isinstance(op, CopyOp) and not self._lookup.worth_selecting(op, inputs):
                    continue
                key = self._lookup.key(op, inputs)
                layer = self._lookup.find(key, below(op, inputs), vertex.ttl)
            except LapstrakeError as error:
                if isinstance(error, ContextError):
                    self._refuse_missing()  # which tells of the others too
                self._start(index)
                raise self._failed(index, error) from error
            if layer is not None:
                self._misses.hit(index, key)
                self._start(index)
                self._finish(index, Result(layer, cached=True))

    def _refuse_missing(self) -> None:
        from builder.solve.presence import refuse_missing

        refuse_missing(self._graph, self._inputs, self._store, self._located)

    def _execute_rest(self) -> None:
        running: dict[Future[Result], int] = {}
        self._trail(Executing())
        try:
            self._execute_in_pool(running, self._processing())
        finally:
            self._behind.renew()

    def _processing(self) -> Processing:
        """Return what executes steps; a cached build does not load it."""
        from builder.solve.processing import Processing

        return Processing(
            self._graph,
            store=self._store,
            behind=self._behind,
            lookup=self._lookup,
            misses=self._misses,
            execution=self._execution(),
            normalize=self._normalize,
        )

    def _execution(self) -> Execution:
        from builder.solve.execution import Execution

        return Execution(
            self._executor,
            surroundings=self._surroundings,
            remotes=self._remotes,
            events=self._events,
            stamp=self._stamp,
            mounted=_mounted(self._graph),
        )

    def _execute_in_pool(self, running: dict[Future[Result], int], processing: Processing) -> None:
        from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

        from builder.solve.schedule import Schedule

        schedule = Schedule(self._graph, self._inputs, self._work)
        with ThreadPoolExecutor(max_workers=self._jobs) as pool:
            try:
                while schedule.left:
                    while len(running) < self._jobs and (index := schedule.next()) is not None:
                        self._start(index)
                        inputs = self._inputs_of(self._graph.vertices[index])
                        running[pool.submit(processing.step, index, inputs)] = index
                    # Not for ever: Python handles signals between two waits, and may miss one that
                    # comes as a wait begins, or that another thread was given.
                    done, _ = wait(running, timeout=_LONGEST_WAIT, return_when=FIRST_COMPLETED)
                    for future in done:
                        index = running.pop(future)
                        self._finish(index, self._outcome(index, future))
                        schedule.finish(index)
            except BaseException:
                self._abandon(running)
                raise

    def _work(self, index: int) -> tuple[object, ...]:
        vertex = self._graph.vertices[index]
        inputs = self._inputs_of(vertex)
        return (vertex.op, *(each.id if isinstance(each, State) else each for each in inputs))

    def _outcome(self, index: int, future: Future[Result]) -> Result:
        try:
            return future.result()
        except LapstrakeError as error:
            raise self._failed(index, error) from error

    def _abandon(self, running: dict[Future[Result], int]) -> None:
        """End the other steps after a failure or an interrupt; what they finished stays recorded."""
        self._behind.abandon()
        for future, index in running.items():
            future.cancel()
            self._events.emit(
                VertexDone(at=self._at(), id=self._id(index), outcome=Outcome.CANCELLED)
            )

    def _verify_cached(self) -> None:
        from builder.solve.verifying import Verifier, sample

        chosen = sample(self._misses.hits(), self._verify)
        for index in chosen:
            self._start(index, "[verify] ")
        inputs = {index: self._inputs_of(self._graph.vertices[index]) for index in chosen}
        execution = self._execution()
        verifier = Verifier(self._graph, self._layers, self._store, execution, self._events)
        try:
            verifier.run(inputs, jobs=self._jobs)
        except BaseException:
            self._behind.abandon()
            raise
        finally:
            self._behind.renew()

    def _ready(self, vertex: Vertex) -> bool:
        return all(each in self._inputs for each in vertex.inputs)

    def _inputs_of(self, vertex: Vertex) -> tuple[Input, ...]:
        return tuple(self._inputs[each] for each in vertex.inputs)

    def _id(self, index: int) -> int:
        return self._ids[index]

    def _stamp(self, index: int) -> tuple[int, float]:
        return self._id(index), self._at()

    def _at(self) -> float:
        return time.monotonic() - self._started

    def _start(self, index: int, why: str = "") -> None:
        vertex = self._graph.vertices[index]
        self._ids[index] = self._next_id
        self._next_id += 1
        self._trail(Began(index, self._id(index)))
        self._events.emit(
            VertexStarted(
                at=self._at(),
                id=self._id(index),
                name=f"{why}{vertex.name}",
                span=vertex.span,
                stage=vertex.stage,
            )
        )

    def _finish(self, index: int, result: Result) -> None:
        if isinstance(result.made, Layer):
            base = base_of(self._inputs_of(self._graph.vertices[index]))
            self._inputs[index] = base.with_layer(result.made)
            self._layers[index] = result.made
            self._trail(Made(index, result.made.diff_id))
            self._cached += result.cached
        else:
            self._inputs[index] = result.made
        again = Outcome.SAME if result.same else Outcome.EXECUTED
        outcome = Outcome.CACHED if result.cached else again
        self._events.emit(
            VertexDone(at=self._at(), id=self._id(index), outcome=outcome, note=result.note)
        )

    def _failed(self, index: int, error: LapstrakeError) -> LapstrakeError:
        if self._can_be_made_again(error):
            cancelled = VertexDone(at=self._at(), id=self._id(index), outcome=Outcome.CANCELLED)
            self._events.emit(cancelled)
            return error
        if isinstance(error, RunFailed) and error.kept:
            self._trail(Kept(index, error.kept))
        located = self._located(error, self._graph.vertices[index])
        diagnostic: Diagnostic = located.diagnostic()
        self._events.emit(VertexFailed(at=self._at(), id=self._id(index), diagnostic=diagnostic))
        return located


def _mounted(graph: Graph) -> set[int]:
    """Return the vertices whose files another step will need on disk."""
    return {
        each
        for vertex in graph.vertices
        if isinstance(vertex.op, RunOp | CopyOp | MakeDirOp)
        for each in vertex.inputs
    }
