"""Whether contexts have what the copies of a build name: found out before anything is executed.

A name that is misspelt ends a build before its first command, and all of them are told together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from builder.dockerfile.mistakes import Mistakes
from builder.errors import ContextError, LapstrakeError
from builder.graph.mounts import BindMount
from builder.graph.operations import CopyOp, CopySource, Op, RunOp, literal
from builder.graph.vertex import Graph, Vertex
from builder.solve.context import LocalContext, Origin
from builder.solve.lookup import Input
from builder.solve.steps.copy import SELECTING, source_trees
from builder.store.root import Store

_Read = tuple[CopySource, str, str]
"""Who reads, the host path of a context, and a path or pattern in it."""

Refusal = tuple[str, str, tuple[str, ...], str | None]


def refuse_missing(
    graph: Graph,
    inputs: Mapping[int, Input],
    store: Store,
    located: Callable[[LapstrakeError, Vertex], LapstrakeError],
) -> None:
    """Look for the sources of the copies and bind mounts that are still to come, as far as these are from contexts.

    Raises: ContextError: one is not there, is ignored, or is a malformed pattern. DockerfileErrors: several.
    """
    mistakes = Mistakes()
    reads = _reads_of(graph, inputs)
    for index, vertex in enumerate(graph.vertices):
        if index in inputs:
            continue
        for selection in _selections(vertex.op):
            for error in _missing_of(vertex, selection, inputs, store, reads):
                mistakes.add(located(error, vertex))
    mistakes.raise_any()


def _selections(op: Op) -> list[CopyOp]:
    """Return what an operation takes from its inputs, as copies."""
    if isinstance(op, CopyOp):
        return [op]
    if not isinstance(op, RunOp):
        return []
    return [
        CopyOp(sources=(CopySource(input=mount.input, paths=(literal(mount.path),)),), dest="/")
        for mount in op.mounts
        if isinstance(mount, BindMount)
    ]


def _reads_of(graph: Graph, inputs: Mapping[int, Input]) -> list[_Read]:
    """Return all that the steps of a build read of contexts."""
    return [
        (source, origin.root, path)
        for vertex in graph.vertices
        for selection in _selections(vertex.op)
        for source in selection.sources
        if not source.inline
        and isinstance(origin := inputs.get(vertex.inputs[source.input]), LocalContext)
        for path in source.paths
    ]


def _beside(source: CopySource, context: LocalContext, reads: list[_Read]) -> tuple[str, ...]:
    """Return what else is read of a context; of one that was fetched, all is there in any case."""
    if context.origin is not Origin.CONTEXT:
        return ("",)
    return tuple([path for by, root, path in reads if root == context.root and by is not source])


def _missing_of(
    vertex: Vertex,
    op: CopyOp,
    inputs: Mapping[int, Input],
    store: Store,
    reads: list[_Read],
) -> list[LapstrakeError]:
    given = [inputs.get(each) for each in vertex.inputs]
    origins = [each if isinstance(each, LocalContext) else None for each in given]
    sources = tuple([each for each in op.sources if not each.inline and origins[each.input]])
    if not sources:
        return []
    here = tuple([each or LocalContext(root="") for each in origins])
    trees = source_trees(
        msgspec.structs.replace(op, sources=sources), here, store.snapshots, store.root
    )
    request = {
        "sources": [{**tree, "known": ""} for tree in trees],
        "beside": [_beside(each, here[each.input], reads) for each in sources],
    }
    if any(each is not None and each.owners for each in origins):
        found = store.jobs.call(f"{SELECTING}:missing_of", request)
    else:
        from builder.solve.steps.selecting import missing_of

        found = missing_of(request, (), None)
    return [
        ContextError(message, code=code, notes=notes, hint=hint)
        for code, message, notes, hint in msgspec.convert(found, list[Refusal])
    ]
