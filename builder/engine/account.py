"""What a build knows of itself when it is over: what its provenance is told from."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from builder.diagnostics import SourceFile
from builder.dockerfile.scope import PROXIES
from builder.engine.requests import BuildRequest
from builder.graph.operations import SCRATCH, ContextSource, GitSource, HttpSource, ImageSource
from builder.graph.vertex import Graph
from builder.store.layers import State

CONTEXT = "context"
"""What a graph calls the main context."""


class BaseImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image that a build took files from: its canonical reference, platform, and the digest that this stood for.

    `layout` is the name of the context, where it came from a layout on this machine.
    """

    reference: str
    platform: str
    digest: str | None = None
    layout: str = ""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, what was carried out, and what came of it.

    `build_args` are the arguments that count, without those for proxies. `images` are all images of the graph,
    `fetched` what each remote source came to: a commit, or `sha256:…`. `contexts` are the named contexts that were used, by
    name, with what they are fetched from, None for a directory. `states` are those of the graph's vertices. Times are in
    seconds since 1970.
    """

    invocation: str
    started: float
    finished: float
    request: BuildRequest
    build_args: tuple[tuple[str, str], ...]
    dockerfile: SourceFile
    remote: HttpSource | GitSource | None
    contexts: tuple[tuple[str, HttpSource | GitSource | None], ...]
    graph: Graph
    images: tuple[BaseImage, ...]
    fetched: tuple[tuple[HttpSource | GitSource, str], ...]
    states: dict[int, State]


def account_of(
    request: BuildRequest,
    graph: Graph,
    *,
    invocation: str,
    started: float,
    build_args: tuple[tuple[str, str], ...],
    dockerfile: SourceFile,
    remote: HttpSource | GitSource | None,
    source_of: Callable[[str], HttpSource | GitSource | None],
    digest_of: Callable[[str], str | None],
    layout_of: Callable[[str], str],
    fetched: tuple[tuple[HttpSource | GitSource, str], ...],
    states: dict[int, State],
) -> Account:
    """Gather what a build knows; the functions say what a named context is fetched from, and of an image what its name stands for."""
    graph, states = _needed(graph, states)
    ops = [each.op for each in graph.vertices]
    names = sorted({op.name for op in ops if isinstance(op, ContextSource)} - {CONTEXT})
    images = [
        BaseImage(
            reference=op.reference,
            platform=op.platform,
            digest=digest_of(op.reference),
            layout=layout_of(op.reference),
        )
        for op in ops
        if isinstance(op, ImageSource) and op != SCRATCH
    ]
    return Account(
        invocation=invocation,
        started=started,
        finished=time.time(),
        request=request,
        build_args=tuple([each for each in build_args if each[0].upper() not in PROXIES]),
        dockerfile=dockerfile,
        remote=remote,
        contexts=tuple([(name, source_of(name)) for name in names]),
        graph=graph,
        images=tuple(images),
        fetched=fetched,
        states=states,
    )


def _needed(graph: Graph, states: dict[int, State]) -> tuple[Graph, dict[int, State]]:
    """Return what of a graph its target needs: it may be one of several platforms."""
    if graph.target is None:
        return Graph(vertices=(), target=None), {}
    waiting, found = [graph.target], {graph.target}
    while waiting:
        new = set(graph.vertices[waiting.pop()].inputs) - found
        found |= new
        waiting += new
    kept = sorted(found)
    place = {old: number for number, old in enumerate(kept)}
    vertices = [
        msgspec.structs.replace(each, inputs=tuple([place[old] for old in each.inputs]))
        for each in (graph.vertices[old] for old in kept)
    ]
    pruned = Graph(vertices=tuple(vertices), target=place[graph.target])
    return pruned, {place[old]: state for old, state in states.items() if old in place}


def address(op: HttpSource | GitSource) -> str:
    """Return where something remote is, without password and without query, which may be a signature."""
    url = op.url.partition("#")[0].partition("?")[0]
    scheme, separator, rest = url.partition("://")
    if separator:
        authority, slash, path = rest.partition("/")
        user, at, host = authority.rpartition("@")
        kept = f"{user.partition(':')[0]}@" if at and scheme not in ("http", "https") else ""
        url = f"{scheme}://{kept}{host}{slash}{path}"
    if isinstance(op, HttpSource):
        return url
    fragment = f"{op.ref}:{op.subdirectory}" if op.subdirectory else op.ref
    return f"{url}#{fragment}" if fragment else url
