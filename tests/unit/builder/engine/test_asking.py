"""What the flags of a build say of its steps."""

from __future__ import annotations

from typing import Any

import pytest

from builder.diagnostics import Span
from builder.engine.asking import as_asked
from builder.engine.requests import BuildRequest
from builder.graph.operations import ContextSource, MakeDirOp, RunOp
from builder.graph.vertex import Graph, Vertex

RUN = RunOp(argv=("true",), env=(), cwd="/", user="")
GRAPH = Graph(
    vertices=(
        Vertex(op=ContextSource()),
        Vertex(op=RUN, stage="build", span=Span(2, 1, 3, 5)),
        Vertex(op=MakeDirOp(path="/w"), stage="build", span=Span(5, 1, 5, 5)),
        Vertex(op=RUN, stage="stage-1", span=Span(7, 1, 7, 5), ttl=60),
    ),
    target=3,
)


def asked(**flags: Any) -> tuple[Vertex, ...]:
    return as_asked(GRAPH, BuildRequest(context=".", **flags))[0].vertices


@pytest.mark.parametrize(
    ("words", "fitting"),
    [
        (("build",), [1, 2]),
        (("BUILD",), [1, 2]),
        (("stage-1",), [3]),
        (("3",), [1]),
        (("build:5", "stage-1:7"), [2, 3]),
        (("stage-1:5",), []),
        (("4",), []),
    ],
)
def test_a_filter_means_a_stage_a_line_or_both(words: tuple[str, ...], fitting: list[int]) -> None:
    found = asked(no_cache_filter=words)
    assert [at for at, each in enumerate(found) if each.no_cache] == fitting


def test_the_flag_that_asks_is_remembered_and_the_wider_one_wins() -> None:
    assert asked(no_cache_filter=("3",))[1].no_cache == "--no-cache-filter"
    assert asked(no_cache_filter=("3",), no_cache=True)[1].no_cache == "--no-cache"


def test_a_filter_that_fits_nothing_is_a_warning_with_the_nearest_stage() -> None:
    _, warnings = as_asked(GRAPH, BuildRequest(context=".", no_cache_filter=("biuld", "other")))
    assert [each.hint for each in warnings] == [
        "did you mean `build`?",
        "name a stage that the target needs, a line of the Dockerfile, or STAGE:LINE",
    ]
    assert {each.code for each in warnings} == {"UnusedNoCacheFilter"}


def test_a_time_to_live_is_for_commands_and_a_comment_wins() -> None:
    assert [each.ttl for each in asked(cache_ttl=5)] == [0, 5, 0, 60]


def test_a_build_without_a_network_has_other_commands() -> None:
    [_, run, _, _] = asked(network="none", hosts=(("db", "10.0.0.5"),))
    assert isinstance(run.op, RunOp)
    assert (run.op.network, run.op.hosts) == ("none", ("db",))
