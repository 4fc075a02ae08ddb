"""The order in which steps start."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from builder.graph.operations import CopyOp, CopySource, MakeDirOp, RunOp
from builder.graph.vertex import Graph, Vertex
from builder.solve.schedule import Schedule, ranks


def run(name: str, *inputs: int) -> Vertex:
    return Vertex(op=RunOp(argv=(name,), env=(), cwd="/", user=""), inputs=inputs)


def make(path: str, *inputs: int) -> Vertex:
    return Vertex(op=MakeDirOp(path=path), inputs=inputs)


def copy(dest: str, *inputs: int) -> Vertex:
    operation = CopyOp(sources=(CopySource(input=1, paths=("a",)),), dest=dest)
    return Vertex(op=operation, inputs=inputs)


def graph(*vertices: Vertex) -> Graph:
    return Graph(vertices=vertices, target=len(vertices) - 1)


def order(of: Graph, *, at_once: int = 1) -> list[int]:
    """Return the order in which steps start, when `at_once` run and end in turn."""
    schedule = Schedule(of, (), lambda index: index)
    running: list[int] = []
    started: list[int] = []
    while schedule.left:
        while len(running) < at_once and (index := schedule.next()) is not None:
            running.append(index)
            started.append(index)
        schedule.finish(running.pop(0))
    return started


def test_the_longest_way_goes_first() -> None:
    short = (run("short"),)
    long = (run("long 1"), run("long 2", 1), run("long 3", 2))
    assert order(graph(*short, *long, copy("/", 3, 0))) == [1, 2, 0, 3, 4]


def test_of_equal_ways_the_first_of_the_file_goes_first() -> None:
    assert order(graph(run("a"), run("b"), run("c"), copy("/", 0, 1))) == [0, 1, 2, 3]


def test_a_command_counts_for_more_than_a_directory() -> None:
    way = (make("/a"), make("/a/b", 0), make("/a/b/c", 1))
    assert order(graph(*way, run("x"), copy("/", 2, 3)))[0] == 3


def test_equal_work_runs_once_and_the_others_follow_at_once() -> None:
    equal = graph(run("a"), run("a"), run("b", 1))
    schedule = Schedule(equal, (), lambda index: equal.vertices[index].op)
    assert schedule.next() == 1
    assert schedule.next() is None
    schedule.finish(1)
    assert {schedule.next(), schedule.next()} == {0, 2}


def test_what_is_done_already_is_not_started() -> None:
    schedule = Schedule(graph(run("a"), run("b", 0), run("c", 1)), (0, 1), lambda index: index)
    assert schedule.next() == 2
    schedule.finish(2)
    assert not schedule.left


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    vertices: list[Vertex] = []
    for number in range(draw(st.integers(1, 30))):
        inputs = draw(st.lists(st.integers(0, number - 1), max_size=3)) if number else []
        vertices.append(run(str(number), *inputs))
    return graph(*vertices)


@given(graphs(), st.integers(1, 5))
def test_everything_starts_once_and_after_its_inputs(found: Graph, at_once: int) -> None:
    started = order(found, at_once=at_once)
    assert sorted(started) == list(range(len(found.vertices)))
    for index, vertex in enumerate(found.vertices):
        assert all(started.index(each) < started.index(index) for each in vertex.inputs)


def test_ranks_grow_towards_the_start() -> None:
    assert ranks(graph(run("a"), run("b", 0), make("/c", 1))) == [17, 9, 1]
