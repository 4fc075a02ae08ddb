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
from builder.solve.context import LocalContext
from builder.solve.lookup import Input
from builder.solve.steps.copy import SELECTING, source_trees
from builder.store.root import Store

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
    for index, vertex in enumerate(graph.vertices):
        if index in inputs:
            continue
        for selection in _selections(vertex.op):
            for error in _missing_of(vertex, selection, inputs, store):
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


def _missing_of(
    vertex: Vertex, op: CopyOp, inputs: Mapping[int, Input], store: Store
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
    request = {"sources": [{**tree, "known": ""} for tree in trees]}
    if any(each is not None and each.owners for each in origins):
        found = store.jobs.call(f"{SELECTING}:missing_of", request)
    else:
        from builder.solve.steps.selecting import missing_of

        found = missing_of(request, (), None)
    return [
        ContextError(message, code=code, notes=notes, hint=hint)
        for code, message, notes, hint in msgspec.convert(found, list[Refusal])
    ]
