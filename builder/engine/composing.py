"""The configuration of the image that a build comes to: that of its base, with what each step did to it.

Times come from the records of steps, never from the clock of a cached build, unless one was given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from builder.engine.catalogue import created_seconds, rfc3339
from builder.engine.lowering import Plan, Step
from builder.graph.operations import (
    SCRATCH,
    ContextSource,
    CopyOp,
    GitSource,
    ImageSource,
    MakeDirOp,
    Op,
    RunOp,
    Unpack,
)
from builder.graph.vertex import Vertex
from builder.oci.config import History, ImageConfig
from builder.oci.digest import Digest
from builder.oci.edit import append_history, append_layer, with_whole_history
from builder.store.layers import Layer


def composed(plan: Plan, layers: Mapping[int, Layer]) -> ImageConfig:
    """Return the configuration of what a plan makes, from the layers of its vertices."""
    config = with_whole_history(plan.config)
    times, epoch = _times(config, plan, layers), plan.epoch
    if epoch is not None:
        times = [rfc3339(epoch)] * len(times)
    for step, made in zip(plan.history, times, strict=True):
        config = _append(config, step, layers, made)
    created = config.created if epoch is None else rfc3339(epoch)
    return msgspec.structs.replace(config, created=created or rfc3339(plan.made))


def passing(plan: Plan, created: Mapping[tuple[str, str], float]) -> list[tuple[int, int]]:
    """Return the numbers of new layers in which times say nothing, with the seconds after which they do not.

    Directories that are made on the way, and files of a context or checkout, are as old as a layer of the same contents that was
    made at any time. Of what is copied from another stage, that is so of what is younger than the base of that stage; and of what a
    command left, for it may have given another owner to a file of an earlier step. `created` is when images were made, by
    reference and platform.
    """
    vertices = plan.graph.vertices
    numbers = [step.vertex for step in plan.history if step.vertex is not None]
    found = [
        (at, _passing(vertices, vertices[number], created)) for at, number in enumerate(numbers)
    ]
    return [(at, seconds) for at, seconds in found if seconds is not None]


_ALWAYS = -(1 << 40)


def _passing(
    vertices: Sequence[Vertex], vertex: Vertex, created: Mapping[tuple[str, str], float]
) -> int | None:
    op = vertex.op
    if isinstance(op, MakeDirOp):
        return _ALWAYS
    if isinstance(op, RunOp):
        base = _base(vertices, vertex)
        return _ALWAYS if base is None else _made(base, created)
    if not isinstance(op, CopyOp):
        return None
    found: list[int] = [_ALWAYS]
    for source in op.sources:
        if not source.paths:
            continue
        at = vertices[vertex.inputs[source.input]]
        match _base(vertices, at) if at.inputs else at.op:
            case None:
                pass
            case ImageSource() as image if at.inputs:
                found.append(_made(image, created))
            case GitSource():
                pass
            # What ADD unpacks has the times of its archive, which do say something.
            case ContextSource() if op.unpack is Unpack.NEVER:
                pass
            case _:
                return None
    return max(found)


def _base(vertices: Sequence[Vertex], vertex: Vertex) -> Op | None:
    """Return what the stage of a step begins with; None where that is nothing."""
    while vertex.inputs:
        vertex = vertices[vertex.inputs[0]]
    return None if vertex.op == SCRATCH else vertex.op


def _made(op: Op, created: Mapping[tuple[str, str], float]) -> int:
    """Return the last second before an image was made; long ago for what is none."""
    if not isinstance(op, ImageSource):
        return _ALWAYS
    return int(created.get((op.reference, op.platform), _ALWAYS)) - 1


def _times(config: ImageConfig, plan: Plan, layers: Mapping[int, Layer]) -> list[str]:
    """Return when each step was made: recorded times, none before the one above it.

    A step may have a layer that an older build made. Those before the first known time share it.
    """
    steps = plan.history
    if all(step.vertex is None for step in steps):
        # Nothing was recorded; the time of planning stays the same while the plan is remembered.
        return [rfc3339(plan.made)] * len(steps)
    newest = max((created_seconds(line.created) for line in config.history), default=0.0)
    times: list[float] = []
    for step in steps:
        if step.vertex is not None:
            newest = max(newest, layers[step.vertex].created)
        times.append(newest)
    first = next((time for time in times if time), 0.0)
    return [rfc3339(time or first) for time in times]


def _append(
    config: ImageConfig, step: Step, layers: Mapping[int, Layer], created: str
) -> ImageConfig:
    entry = History(
        created=created,
        created_by=step.created_by,
        comment=step.comment,
        empty_layer=step.vertex is None,
    )
    if step.vertex is None:
        return append_history(config, entry)
    return append_layer(config, Digest(layers[step.vertex].diff_id), entry)
