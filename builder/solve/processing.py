"""One step of a build: looked up once more, executed where the cache has it not, explained and recorded."""

from __future__ import annotations

import time
from typing import assert_never

from builder.errors import BuildError, Cancelled
from builder.graph.keys import CacheKey, framed_digest
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
from builder.solve.execution import Execution
from builder.solve.lookup import Input, Lookup, Result, base_of, copy_key, make_dir_key
from builder.solve.misses import Misses
from builder.solve.steps.copy import stands_on
from builder.solve.translate import Behind
from builder.store.cache import Observation
from builder.store.root import Store


class Processing:
    """Works on the steps of one graph, on the threads of a pool."""

    def __init__(
        self,
        graph: Graph,
        *,
        store: Store,
        behind: Behind,
        lookup: Lookup,
        misses: Misses,
        execution: Execution,
        normalize: tuple[str, ...],
    ) -> None:
        self._graph = graph
        self._store = store
        self._behind = behind
        self._lookup = lookup
        self._misses = misses
        self._execution = execution
        self._normalize = normalize

    def step(self, index: int, inputs: tuple[Input, ...]) -> Result:
        """Look a step up, execute it if need be, record it.

        Raises: LapstrakeError: it fails. Cancelled.
        """
        if self._behind.cancellation.cancelled:
            raise Cancelled
        vertex = self._graph.vertices[index]
        match vertex.op:
            case RunOp():
                return self._run(index, vertex, vertex.op, inputs)
            case CopyOp() | MakeDirOp():
                return self._copy(index, vertex, vertex.op, inputs)
            case HttpSource() | GitSource():
                fetched = self._execution.fetch(index, vertex.op)
                return Result(fetched.context, fetched.cached, fetched.note)
            case ImageSource() | ContextSource():
                raise BuildError("a source is not executed", code="internal")
            case _:
                assert_never(vertex.op)

    def _run(self, index: int, vertex: Vertex, op: RunOp, inputs: tuple[Input, ...]) -> Result:
        base = base_of(inputs)
        key = self._lookup.key(op, inputs)
        found = None if vertex.no_cache else self._lookup.find(key, base, vertex.ttl)
        if found is not None:
            self._misses.hit(index, key)
            return Result(found, cached=True)
        told = self._execution.told(index)
        if vertex.no_cache:
            return self._execute(index, op, key, inputs)
        with self._store.in_flight.alone(
            framed_digest((key.digest, base.id)),
            waiting=lambda: told.waiting("another build, which runs the same step"),
            cancelled=lambda: self._behind.cancellation.cancelled,
        ) as lock:
            # Somebody may have run it since it was looked up.
            found = self._lookup.find(key, base, vertex.ttl)
            if found is not None:
                self._misses.hit(index, key)
                return Result(found, cached=True)
            return self._execute(index, op, key, inputs, (lock,))

    def _execute(
        self,
        index: int,
        op: RunOp,
        key: CacheKey,
        inputs: tuple[Input, ...],
        locks: tuple[int, ...] = (),
    ) -> Result:
        base = base_of(inputs)
        self._lookup.have_inputs(inputs)
        key = self._lookup.own_key(op, inputs, key)
        asked = self._misses.asked(index, key, base)
        missed = self._misses.missed(index, op, key, asked=asked)
        began = time.monotonic()
        layer = self._execution.run(index, op, inputs, locks)
        self._store.cache.record(key, base.id, layer.diff_id, (), time.monotonic() - began)
        if self._normalize:
            from builder.solve.normalizing import normalized

            told = self._execution.told(index).log
            earlier = normalized(self._store, base, layer, missed.result, self._normalize, told)
            layer = earlier or layer
        same = self._misses.settled(missed, layer)
        return Result(layer, cached=False, same=bool(same), note=same)

    def _copy(
        self, index: int, vertex: Vertex, op: CopyOp | MakeDirOp, inputs: tuple[Input, ...]
    ) -> Result:
        base = stands_on(op, base_of(inputs))
        if not vertex.no_cache and (
            isinstance(op, MakeDirOp) or self._lookup.worth_selecting(op, inputs)
        ):
            key = self._lookup.key(op, inputs)
            layer = self._lookup.find(key, base, vertex.ttl)
            if layer is not None:
                self._misses.hit(index, key)
                return Result(layer, cached=True)
        self._lookup.have_inputs(inputs)
        began = time.monotonic()
        copied = self._execution.copy(index, op, inputs)
        # The key is that of what was really copied, whatever was there when it was looked at before.
        key = copy_key(op, copied.contents) if isinstance(op, CopyOp) else make_dir_key(op)
        if isinstance(op, CopyOp) and vertex.no_cache:
            self._lookup.remember(op, inputs, copied.contents)
        layer, cached = copied.layer, False
        same = ""
        if not vertex.no_cache:
            found = self._lookup.find(key, base, vertex.ttl)
            layer, cached = (found, True) if found is not None else (layer, False)
        if cached:
            self._misses.hit(index, key)
        else:
            asked = self._misses.asked(index, key, base)
            seen = copied.observations
            observations = seen or (Observation("/", "directory"),)
            seconds = time.monotonic() - began
            self._store.cache.record(key, base.id, layer.diff_id, observations, seconds)
            missed = self._misses.missed(index, op, key, asked=asked, seen=seen, made=layer)
            same = self._misses.settled(missed, layer)
        word = "file" if copied.files == 1 else "files"
        files = f"{copied.files} {word}, {copied.bytes} bytes" if copied.files else ""
        note = "; ".join(each for each in (files, same) if each)
        return Result(layer, cached, note, bool(same))
