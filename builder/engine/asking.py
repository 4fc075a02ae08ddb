"""What the flags of a build say of its steps: which are executed anyway, and what each RUN is."""

from __future__ import annotations

import msgspec

from builder.diagnostics import Diagnostic, Severity
from builder.engine.requests import BuildRequest
from builder.graph.operations import CopyOp, MakeDirOp, RunOp
from builder.graph.vertex import Graph, Vertex

FILTER = "--no-cache-filter"


def as_asked(graph: Graph, request: BuildRequest) -> tuple[Graph, tuple[Diagnostic, ...]]:
    """Return a graph with what the flags say of every step, and a warning for each filter that fits none."""
    fitting: set[str] = set()
    vertices = []
    for vertex in graph.vertices:
        filters = [each for each in request.no_cache_filter if _fits(each, vertex)]
        fitting.update(filters)
        vertices.append(_as_asked(vertex, request, filtered=bool(filters)))
    unused = [each for each in request.no_cache_filter if each not in fitting]
    warnings = tuple(_unused(each, graph) for each in unused)
    return msgspec.structs.replace(graph, vertices=tuple(vertices)), warnings


def _as_asked(vertex: Vertex, request: BuildRequest, *, filtered: bool) -> Vertex:
    """Return a vertex with what the flags say of it.

    A RUN without a network is another step, and so is one that knows more names.
    """
    op, ttl = vertex.op, vertex.ttl
    if isinstance(op, RunOp):
        none = op.network == "default" and request.network == "none"
        op = msgspec.structs.replace(
            op,
            network="none" if none else op.network,
            hosts=tuple([name for name, _ in request.hosts]),
        )
        ttl = ttl or request.cache_ttl
    no_cache = FILTER if filtered else ""
    return msgspec.structs.replace(
        vertex, op=op, ttl=ttl, no_cache="--no-cache" if request.no_cache else no_cache
    )


def _fits(word: str, vertex: Vertex) -> bool:
    """Tell whether a stage, a line or STAGE:LINE means a step."""
    if not isinstance(vertex.op, RunOp | CopyOp | MakeDirOp) or not vertex.stage:
        return False
    stage, colon, line = word.rpartition(":")
    if not colon:
        stage, line = ("", word) if word.isascii() and word.isdecimal() else (word, "")
    if stage and vertex.stage.lower() != stage.lower():
        return False
    if not line:
        return bool(stage)
    if not (line.isascii() and line.isdecimal()) or vertex.span is None:
        return False
    return vertex.span.line <= int(line) <= vertex.span.end_line


def _unused(word: str, graph: Graph) -> Diagnostic:
    from builder.dockerfile import suggest

    stages = sorted({vertex.stage for vertex in graph.vertices if vertex.stage})
    return Diagnostic(
        severity=Severity.WARNING,
        code="UnusedNoCacheFilter",
        message=f"`{FILTER} {word}` fits no step of this build",
        hint=suggest.hint(word, stages, fold=True)
        or "name a stage that the target needs, a line of the Dockerfile, or STAGE:LINE",
    )
