"""Executes single steps of one build, whatever the cache knows of them; callable from many threads."""

from __future__ import annotations

from collections.abc import Callable

from builder.events import EventSink, Progress, VertexLog, Waiting, Warned
from builder.graph.operations import CopyOp, GitSource, HttpSource, MakeDirOp, RunOp
from builder.solve.context import Fetched, Remotes
from builder.solve.executor import Executor
from builder.solve.limits import UnsetLimits
from builder.solve.lookup import Input, base_of
from builder.solve.steps.copy import Copied, stands_on
from builder.solve.surroundings import Surroundings, Told
from builder.store.layers import Layer, State


class Execution:
    """What the steps of one build are executed with.

    `stamp` gives the number of a step and the time, for its events; `mounted` are the steps whose files another
    step will need on disk.
    """

    def __init__(
        self,
        executor: Executor,
        *,
        surroundings: Surroundings,
        remotes: Remotes,
        events: EventSink,
        stamp: Callable[[int], tuple[int, float]],
        mounted: set[int],
    ) -> None:
        self._executor = executor
        self._surroundings = surroundings
        self._remotes = remotes
        self._events = events
        self._mounted = mounted
        self._unset = UnsetLimits(lambda found: events.emit(Warned(diagnostic=found)))
        self.stamp = stamp

    def run(
        self, index: int, op: RunOp, inputs: tuple[Input, ...], locks: tuple[int, ...] = ()
    ) -> Layer:
        """Run a command; see `Executor.run`."""
        return self._executor.run(
            op,
            tuple(each if isinstance(each, State) else State() for each in inputs),
            surroundings=self._surroundings,
            told=self.told(index),
            locks=locks,
        )

    def copy(self, index: int, op: CopyOp | MakeDirOp, inputs: tuple[Input, ...]) -> Copied:
        """Copy, or make a directory; see `Executor.copy`."""
        base = stands_on(op, base_of(inputs))
        return self._executor.copy(op, inputs, base, as_directory=index in self._mounted)

    def fetch(self, index: int, op: HttpSource | GitSource) -> Fetched:
        """Have a remote source here; see `Remotes.fetch`."""
        number, _ = self.stamp(index)

        def progress(item: str, done: int, total: int | None) -> None:
            at = self.stamp(index)[1]
            self._events.emit(Progress(at=at, id=number, item=item, done=done, total=total))

        return self._remotes.fetch(op, progress=progress, log=self.told(index).log)

    def told(self, index: int) -> Told:
        """Return who hears of a step."""
        number, _ = self.stamp(index)

        def log(data: bytes) -> None:
            self._events.emit(VertexLog(at=self.stamp(index)[1], id=number, data=data))

        def waiting(on: str) -> None:
            self._events.emit(Waiting(at=self.stamp(index)[1], id=number, on=on))

        return Told(log=log, waiting=waiting, unset=self._unset.hear)
