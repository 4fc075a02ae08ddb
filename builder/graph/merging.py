"""Several graphs as one: what is the same in two of them is there once, and so done once."""

from __future__ import annotations

from collections.abc import Sequence

from builder.graph.operations import Op
from builder.graph.vertex import Graph, Vertex

_Same = tuple[Op, tuple[int, ...], str, int]
_Numbered = tuple[_Same, int]


def merged(graphs: Sequence[Graph]) -> tuple[Graph, tuple[tuple[int, ...], ...]]:
    """Return the graph of all, whose results are those of each; and, for each, where its vertices are in that by index.

    What one graph has twice is there twice.
    """
    vertices: list[Vertex] = []
    known: dict[_Numbered, int] = {}
    places: list[tuple[int, ...]] = []
    for graph in graphs:
        times: dict[_Same, int] = {}
        place: list[int] = []
        for vertex in graph.vertices:
            inputs = tuple([place[each] for each in vertex.inputs])
            same = (vertex.op, inputs, vertex.no_cache, vertex.ttl)
            times[same] = times.get(same, 0) + 1
            index = known.setdefault((same, times[same]), len(vertices))
            if index == len(vertices):
                vertices.append(_with_inputs(vertex, inputs))
            place.append(index)
        places.append(tuple(place))
    results = [
        place[graph.target]
        for graph, place in zip(graphs, places, strict=True)
        if graph.target is not None
    ]
    target, others = (results[0], tuple(results[1:])) if results else (None, ())
    return Graph(vertices=tuple(vertices), target=target, others=others), tuple(places)


def _with_inputs(vertex: Vertex, inputs: tuple[int, ...]) -> Vertex:
    if vertex.inputs == inputs:
        return vertex
    return Vertex(
        op=vertex.op,
        inputs=inputs,
        name=vertex.name,
        span=vertex.span,
        stage=vertex.stage,
        no_cache=vertex.no_cache,
        ttl=vertex.ttl,
        platform=vertex.platform,
    )
