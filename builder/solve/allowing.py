"""What a step does not do without leave."""

from __future__ import annotations

from collections.abc import Callable

from builder.errors import BuildError, LapstrakeError, UsageError
from builder.graph.operations import RunOp
from builder.graph.vertex import Graph, Vertex

HOST_NETWORK = "network.host"
INSECURE = "security.insecure"
NETWORKS = ("default", "host", "none", "private")


def refuse_forbidden(
    graph: Graph,
    *,
    allowed: frozenset[str],
    network: str,
    located: Callable[[LapstrakeError, Vertex], LapstrakeError],
) -> None:
    """Refuse a graph with a step that may do more than the build was allowed; `network` is the build's.

    Raises: BuildError: `build.not-allowed`, at the step. UsageError: there is no such network.
    """
    if network not in NETWORKS:
        raise UsageError(
            f"`{network[:40]}` is not a network of builds", hint=f"use one of {', '.join(NETWORKS)}"
        )
    for vertex in graph.vertices:
        op = vertex.op
        if not isinstance(op, RunOp):
            continue
        if op.security == "insecure" and INSECURE not in allowed:
            raise located(_not_allowed("`--security=insecure`", INSECURE, ()), vertex)
        if op.network == "host" and network in {"private", "none"} and HOST_NETWORK not in allowed:
            note = f"the build has `--network {network}`, and this step would leave it"
            raise located(_not_allowed("`--network=host`", HOST_NETWORK, (note,)), vertex)


def _not_allowed(flag: str, name: str, notes: tuple[str, ...]) -> BuildError:
    return BuildError(
        f"{flag} of a RUN is not allowed in this build",
        code="build.not-allowed",
        notes=notes,
        hint=f"if you trust the Dockerfile, give `--allow {name}`",
    )
