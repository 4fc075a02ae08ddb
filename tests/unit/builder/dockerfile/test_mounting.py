"""RUN --mount, from the words of the Dockerfile to the graph."""

from __future__ import annotations

import pytest

from builder.dockerfile.lower import lower
from builder.dockerfile.parse import parse_dockerfile
from builder.dockerfile.stages import PlanRequest, plan
from builder.errors import DockerfileError
from builder.graph.mounts import (
    AgentMount,
    BindMount,
    CacheMount,
    RunMount,
    SecretMount,
    Sharing,
    TmpfsMount,
)
from builder.graph.operations import ContextSource, CopyOp, RunOp
from builder.graph.vertex import Graph


def graph_of(text: str, **build_args: str) -> Graph:
    request = PlanRequest(host_platform="linux/amd64", build_args=tuple(build_args.items()))
    return lower(plan(parse_dockerfile(text), request), {}).graph


def run_of(graph: Graph) -> tuple[RunOp, tuple[int, ...]]:
    """Return the last RUN of a graph, and its inputs."""
    vertex = [vertex for vertex in graph.vertices if isinstance(vertex.op, RunOp)][-1]
    assert isinstance(vertex.op, RunOp)
    return vertex.op, vertex.inputs


def mounts_of(line: str, before: str = "WORKDIR /w", **build_args: str) -> tuple[RunMount, ...]:
    return run_of(graph_of(f"FROM scratch\n{before}\nRUN {line} true", **build_args))[0].mounts


@pytest.mark.parametrize(
    ("line", "mount"),
    [
        ("--mount=target=/t", BindMount(input=1, path="", target="/t")),
        ("--mount=source=a/../b/,target=t,rw", BindMount(input=1, path="b", target="/w/t", read_only=False)),
        ("--mount=type=tmpfs,target=/t,size=1k", TmpfsMount(target="/t", size=1024)),
        ("--mount=type=tmpfs,target=/t,ro", TmpfsMount(target="/t", read_only=True)),
        ("--mount=type=cache,target=/c/./d", CacheMount(id="/c/d", target="/c/d")),
        ("--mount=type=cache,target=d", CacheMount(id="d", target="/w/d")),
        (
            "--mount=type=cache,target=/c,id=i,sharing=LOCKED,mode=0700,uid=3,gid=4,ro",
            CacheMount(
                id="i", target="/c", sharing=Sharing.LOCKED, read_only=True, mode=0o700, uid=3, gid=4
            ),
        ),
        ("--mount=type=secret,id=s", SecretMount(id="s", target="/run/secrets/s")),
        ("--mount=type=secret,id=a/b", SecretMount(id="a/b", target="/run/secrets/b")),
        ("--mount=type=secret,target=/x/y", SecretMount(id="y", target="/x/y")),
        ("--mount=type=secret,source=s,target=y", SecretMount(id="s", target="/w/y")),
        ("--mount=type=secret,id=s,env=S", SecretMount(id="s", env="S")),
        ("--mount=type=secret,id=s,env=", SecretMount(id="s", env="s")),
        (
            "--mount=type=secret,id=s,env=S,target=/t,mode=0444,required",
            SecretMount(id="s", env="S", target="/t", mode=0o444, required=True),
        ),
        ("--mount=type=ssh", AgentMount(id="default", target="/run/buildkit/ssh_agent.0")),
        (
            "--mount=type=ssh,id=k,target=/a,required,mode=0666,uid=7",
            AgentMount(id="k", target="/a", required=True, mode=0o666, uid=7),
        ),
    ],
)  # fmt: skip
def test_a_mount_means_what_docker_makes_of_it(line: str, mount: RunMount) -> None:
    assert mounts_of(line) == (mount,)


def test_agents_are_numbered() -> None:
    line = "--mount=type=ssh --mount=type=tmpfs,target=/t --mount=type=ssh,id=b"
    targets = [mount.target for mount in mounts_of(line)]
    assert targets == ["/run/buildkit/ssh_agent.0", "/t", "/run/buildkit/ssh_agent.1"]


def test_without_a_target_the_working_directory_is_meant() -> None:
    assert mounts_of("--mount=type=tmpfs") == (TmpfsMount(target="/w"),)
    with pytest.raises(DockerfileError, match="no target"):
        mounts_of("--mount=type=tmpfs", before="USER 1")


def test_variables_are_replaced_and_the_type_may_be_one() -> None:
    line = "--mount=type=$T,target=/$D"
    assert mounts_of(line, before="ARG T\nARG D=d\nWORKDIR /w", T="cache") == (
        CacheMount(id="/d", target="/d"),
    )


def test_a_namespace_comes_before_the_id_of_a_cache() -> None:
    [mount] = mounts_of("--mount=type=cache,target=/c", BUILDKIT_CACHE_MOUNT_NS="mine")
    assert isinstance(mount, CacheMount)
    assert mount.id == "mine//c"


def test_a_stage_is_an_input_of_the_step() -> None:
    graph = graph_of(
        "FROM scratch AS one\nCOPY a /\nFROM scratch\nRUN --mount=from=one,source=/a,target=/b x"
    )
    operation, inputs = run_of(graph)
    assert operation.mounts == (BindMount(input=1, path="a", target="/b"),)
    copied = graph.vertices[inputs[1]].op
    assert isinstance(copied, CopyOp)
    assert copied.dest == "/"


def test_what_is_taken_from_the_context_is_a_step_of_its_own_and_shared() -> None:
    graph = graph_of(
        "FROM scratch\n"
        "RUN --mount=source=a*,target=/a --mount=target=/all x\n"
        "RUN --mount=source=a*,target=/b x"
    )
    steps = [vertex for vertex in graph.vertices if isinstance(vertex.op, CopyOp)]
    assert len(steps) == 2
    taken = steps[0].op
    assert isinstance(taken, CopyOp)
    assert taken.sources[0].paths == ("a\\*",)
    assert taken.parents
    origin = graph.vertices[steps[0].inputs[1]].op
    assert isinstance(origin, ContextSource)


def test_contents_ids_and_values_do_not_count_for_the_key() -> None:
    def identity(line: str) -> object:
        [mount] = mounts_of(line)
        return mount.identity()

    assert identity("--mount=type=cache,target=/c,id=a") == identity(
        "--mount=type=cache,target=/c,id=b,sharing=private,mode=0700"
    )
    assert identity("--mount=type=secret,id=a,target=/t") == identity(
        "--mount=type=secret,id=b,target=/t,required"
    )
    assert identity("--mount=type=cache,target=/c") != identity("--mount=type=cache,target=/d")
    assert identity("--mount=target=/c") != identity("--mount=target=/c,rw")


def test_a_variable_that_holds_a_secret_is_not_shown() -> None:
    graph = graph_of(
        "FROM scratch\nENV T=public\nRUN --mount=type=secret,id=t,env=T echo $T\nRUN echo $T"
    )
    names = [vertex.name for vertex in graph.vertices if isinstance(vertex.op, RunOp)]
    assert names[0].endswith("echo ****")
    assert names[1].endswith("echo public")
