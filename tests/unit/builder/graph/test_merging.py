"""Graphs of several platforms become one, in which what they share is there once."""

from __future__ import annotations

from builder.graph.merging import merged
from builder.graph.operations import ContextSource, ImageSource, RunOp
from builder.graph.vertex import Graph, Vertex


def run(word: str, *inputs: int, **more: str) -> Vertex:
    return Vertex(op=RunOp(argv=(word,), env=(), cwd="/", user=""), inputs=inputs, **more)  # type: ignore[arg-type]


def image(platform: str) -> Vertex:
    return Vertex(op=ImageSource(reference="base", platform=platform))


def for_platform(platform: str) -> Graph:
    vertices = (
        Vertex(op=ContextSource()),
        image("linux/amd64"),
        run("native", 1, name=f"for {platform}", platform=platform),
        image(platform),
        run("own", 3, 2),
    )
    return Graph(vertices=vertices, target=4)


def test_what_is_the_same_is_there_once() -> None:
    graph, places = merged([for_platform("linux/arm64"), for_platform("linux/s390x")])
    assert places == ((0, 1, 2, 3, 4), (0, 1, 2, 5, 6))
    assert (graph.target, graph.others) == (4, (6,))
    assert graph.vertices[6].inputs == (5, 2)
    assert graph.vertices[2].name == "for linux/arm64"
    assert all(each < at for at, vertex in enumerate(graph.vertices) for each in vertex.inputs)


def test_one_graph_stays_as_it_is_with_what_it_has_twice() -> None:
    graph = Graph(vertices=(image("x"), run("a", 0), run("a", 0), run("b", 1, 2)), target=3)
    found, places = merged([graph, graph])
    assert found.vertices == graph.vertices
    assert places == ((0, 1, 2, 3), (0, 1, 2, 3))


def test_steps_that_count_otherwise_are_not_the_same() -> None:
    one = Graph(vertices=(image("x"), run("a", 0)), target=1)
    other = Graph(vertices=(image("x"), run("a", 0, no_cache="--no-cache")), target=1)
    assert merged([one, other])[1] == ((0, 1), (0, 2))


def test_a_result_without_layers_has_no_place() -> None:
    empty = Graph(vertices=(), target=None)
    graph, places = merged([empty, for_platform("linux/arm64")])
    assert (graph.target, graph.others) == (4, ())
    assert places[0] == ()
    assert merged([empty, empty])[0] == empty
