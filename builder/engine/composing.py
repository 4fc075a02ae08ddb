"""The configuration of the image that a build comes to: that of its base, with what each step did to it.

Times come from the records of steps, never from the clock of a cached build, unless one was given.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from builder.engine.catalogue import created_seconds, rfc3339
from builder.engine.lowering import Plan, Step
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
