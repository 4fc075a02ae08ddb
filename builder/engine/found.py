"""Base images under the names where they were found, when these are not what a short name means by itself."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from builder.engine.lowering import Plan
from builder.graph.operations import ImageSource
from builder.graph.vertex import Vertex


def as_found(plan: Plan, names: Mapping[str, str]) -> Plan:
    """Return a plan that names its images as they were found; `names` leads there from canonical references.

    What is told of an image's origin must be where it is from, and not what Docker would have taken the name for.
    """
    if not names:
        return plan
    vertices = tuple([_named(each, names) for each in plan.graph.vertices])
    graph = msgspec.structs.replace(plan.graph, vertices=vertices)
    base = None if plan.base is None else names.get(plan.base, plan.base)
    return msgspec.structs.replace(plan, graph=graph, base=base)


def _named(vertex: Vertex, names: Mapping[str, str]) -> Vertex:
    op = vertex.op
    if not isinstance(op, ImageSource) or op.reference not in names:
        return vertex
    found = names[op.reference]
    return msgspec.structs.replace(
        vertex,
        op=msgspec.structs.replace(op, reference=found),
        name=vertex.name.replace(op.reference, found),
    )
