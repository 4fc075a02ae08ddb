"""Vertices and the graph: operations with their inputs, in an order where inputs come first."""

from __future__ import annotations

import msgspec

from builder.diagnostics import Span
from builder.graph.operations import Op


class Vertex(msgspec.Struct, frozen=True, kw_only=True):
    """One operation; `inputs` are indexes of earlier vertices of the graph.

    Everything but `op` and `inputs` is for people and never counts for a key. `name` is shown as it is
    ("[build 2/5] RUN make"); `span` points at the instruction; `stage` is the name of its
    stage, or `stage-1` by its number. `no_cache` is the flag that asks for the step to
    be executed whatever is recorded, "" for none; `ttl` is for how many seconds a record counts, 0 for ever. `platform` is
    what it was planned for where there are several, "" otherwise.
    """

    op: Op
    inputs: tuple[int, ...] = ()
    name: str = ""
    span: Span | None = None
    stage: str = ""
    no_cache: str = ""
    ttl: int = 0
    platform: str = ""


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """Vertices in dependency order, and the index of the one whose state is the result.

    `target` is None when the result has no layer at all (`FROM scratch` and configuration only). `others` are the results
    for further platforms.
    """

    vertices: tuple[Vertex, ...]
    target: int | None
    others: tuple[int, ...] = ()
