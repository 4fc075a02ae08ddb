from __future__ import annotations

import msgspec

from builder.graph.operations import SCRATCH, ContextSource, CopyOp, CopySource, ImageSource, RunOp
from builder.graph.vertex import Graph, Vertex
from builder.solve.surroundings import Limits
from builder.solve.trail import Began, Executing, Kept, Made, Planned, Trace, Trail, planned
from builder.store.layers import State, pulled_layer

BASE = ImageSource(reference="docker.io/library/base:latest", platform="linux/amd64")
STATE = State((pulled_layer("sha256:b1"), pulled_layer("sha256:b2")))
COPY = CopyOp(sources=(CopySource(input=1, paths=("a",)),), dest="/a")


def run(word: str, **given: object) -> RunOp:
    return RunOp(argv=(word,), env=(), cwd="/", user="", **given)  # type: ignore[arg-type]


GRAPH = Graph(
    vertices=(
        Vertex(op=BASE),
        Vertex(op=run("one", hidden_env=("http_proxy=http://me:s3cret@p",)), inputs=(0,)),
        Vertex(op=ContextSource()),
        Vertex(op=COPY, inputs=(1, 2)),
        Vertex(op=run("two"), inputs=(3,)),
        Vertex(op=SCRATCH),
        Vertex(op=COPY, inputs=(5, 4)),
        Vertex(op=run("three"), inputs=(6,)),
    ),
    target=7,
)


def plan() -> Planned:
    images = {(BASE.reference, BASE.platform): STATE, (SCRATCH.reference, ""): State()}
    return planned(GRAPH, images, network="none", hosts=(("db", "10.0.0.1"),), limits=Limits())


def walked(*traces: Trace) -> tuple[Trail, Planned]:
    """Return a trail that has been written and read again."""
    encoded = [msgspec.msgpack.encode(trace) for trace in (plan(), Executing(), *traces)]
    decoder: msgspec.msgpack.Decoder[Trace] = msgspec.msgpack.Decoder(Trace)
    trail = Trail(decoder.decode(each) for each in encoded)
    assert trail.plan == plan()
    return trail, trail.plan


def test_layers_of_a_step_are_those_that_its_stage_has_so_far() -> None:
    trail, known = walked(Made(1, "sha256:l1"), Made(3, "sha256:l3"), Kept(4, "sha256:k"))
    assert trail.below(known, 1) == ("sha256:b1", "sha256:b2")
    assert trail.of(known, 1) == ("sha256:b1", "sha256:b2", "sha256:l1")
    assert trail.below(known, 4) == ("sha256:b1", "sha256:b2", "sha256:l1", "sha256:l3")
    assert trail.below(known, 6) == ()
    assert trail.of(known, 6) == (None,)
    assert trail.kept == {4: "sha256:k"}


def test_of_a_layer_that_was_made_twice_the_last_counts() -> None:
    trail, known = walked(Began(1, 5), Made(1, "sha256:a"), Began(1, 9), Made(1, "sha256:b"))
    assert trail.of(known, 1)[-1] == "sha256:b"
    assert trail.numbers == {5: 1, 9: 1}


def test_a_copy_has_the_command_before_it_or_else_the_one_after() -> None:
    trail, known = walked()
    words = [near.argv[0] if (near := trail.run_near(known, at)) else "" for at in (1, 3, 4, 6, 7)]
    assert words == ["one", "one", "two", "three", "three"]


def test_proxies_are_not_on_the_trail() -> None:
    assert b"s3cret" not in msgspec.msgpack.encode(plan())
