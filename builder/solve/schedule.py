"""Which step is next: of those whose inputs are there, the one with the longest way still to go behind it.

Pure: what runs, and where, is the solver's affair.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from heapq import heappop, heappush

from builder.graph.operations import CopyOp, GitSource, HttpSource, Op, RunOp
from builder.graph.vertex import Graph

_COMMAND, _REMOTE, _COPY, _OTHER = 8, 4, 2, 1
"""How long things take, roughly, where nobody has measured them."""


class Schedule:
    """The order of what is left of a graph; `done` are the vertices whose results are here.

    `work` says what a vertex whose inputs are there will do: of equal work one goes first, and the others wait for it.
    """

    def __init__(self, graph: Graph, done: Iterable[int], work: Callable[[int], Hashable]) -> None:
        self._work = work
        self._done = set(done)
        self._ranks = ranks(graph)
        self._users: dict[int, list[int]] = {}
        self._missing: dict[int, int] = {}
        self._ready: list[tuple[int, int]] = []
        self._running: dict[Hashable, int] = {}
        self._works: dict[int, Hashable] = {}
        self._equal: dict[Hashable, list[int]] = {}
        for index, vertex in enumerate(graph.vertices):
            if index in self._done:
                continue
            inputs = {each for each in vertex.inputs if each not in self._done}
            self._missing[index] = len(inputs)
            for each in inputs:
                self._users.setdefault(each, []).append(index)
            if not inputs:
                self._push(index)

    @property
    def left(self) -> bool:
        """Whether anything is not done yet."""
        return bool(self._missing)

    def next(self) -> int | None:
        """Take what is to be started next, None if everything that is left waits for something."""
        while self._ready:
            _, index = heappop(self._ready)
            work = self._work(index)
            if work in self._running:
                self._equal.setdefault(work, []).append(index)
                continue
            self._running[work] = index
            self._works[index] = work
            return index
        return None

    def finish(self, index: int) -> None:
        """Take note that a vertex has ended well: what waited for it may start."""
        work = self._works.pop(index)
        del self._running[work]
        del self._missing[index]
        self._done.add(index)
        for waiting in self._equal.pop(work, ()):
            self._push(waiting)
        for user in self._users.pop(index, ()):
            self._missing[user] -= 1
            if not self._missing[user]:
                self._push(user)

    def _push(self, index: int) -> None:
        heappush(self._ready, (-self._ranks[index], index))


def ranks(graph: Graph) -> list[int]:
    """Return, for each vertex, how long the longest way from its start to the end of the build is."""
    found = [0] * len(graph.vertices)
    for index in range(len(graph.vertices) - 1, -1, -1):
        vertex = graph.vertices[index]
        found[index] += _weight(vertex.op)
        for each in vertex.inputs:
            found[each] = max(found[each], found[index])
    return found


def _weight(operation: Op) -> int:
    match operation:
        case RunOp():
            return _COMMAND
        case HttpSource() | GitSource():
            return _REMOTE
        case CopyOp():
            return _COPY
        case _:
            return _OTHER
