"""Secrets whose names say that they are for servers, and that no server of a build is asked for with."""

from __future__ import annotations

from collections.abc import Iterable

from builder.diagnostics import Diagnostic, Severity
from builder.dockerfile import suggest
from builder.graph.mounts import SecretMount
from builder.graph.operations import GitSource, HttpSource, RunOp
from builder.graph.vertex import Graph
from builder.source.credentials import is_for_servers, names


def unasked(
    given: Iterable[str], graph: Graph, contexts: Iterable[HttpSource | GitSource]
) -> tuple[Diagnostic, ...]:
    """Return a warning for each of such secrets that nothing of a build asks for: neither a source nor a step.

    What is in the store already, and is not asked for again, counts as asked for. `contexts` are the sources that
    are not in the graph.
    """
    wanted = [each for each in given if is_for_servers(each)]
    if not wanted:
        return ()
    sources = [each.op for each in graph.vertices if isinstance(each.op, HttpSource | GitSource)]
    taken: set[str] = set()
    possible: list[str] = []
    for op in (*sources, *contexts):
        listed = names(op)
        possible += listed
        taken.update([name for name in listed if name in wanted][:1])
    mounted = {
        mount.id
        for each in graph.vertices
        if isinstance(each.op, RunOp)
        for mount in each.op.mounts
        if isinstance(mount, SecretMount)
    }
    return tuple(_unused(each, possible) for each in wanted if each not in taken | mounted)


def _unused(name: str, possible: list[str]) -> Diagnostic:
    hint = suggest.hint(name, possible, fold=True)
    if name in possible:
        hint = "remove it: another secret that was given goes before it"
    elif hint is None:
        hint = "remove it, or name the host as the address of the source writes it"
    return Diagnostic(
        severity=Severity.WARNING,
        code="build.secret-unused",
        message=f"the secret `{name}` is not used: nothing of this build is fetched with it",
        hint=hint,
    )
