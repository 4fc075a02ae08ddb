"""Which step of a recorded build is meant by `#N`, a line of the Dockerfile, or STAGE:LINE."""

from __future__ import annotations

from collections.abc import Iterable

from builder.events import Event, VertexStarted


def find_step(events: Iterable[Event], text: str) -> int | None:
    """Return the number of the step that a text names, None where there is none; of several the first that is the Dockerfile's own."""
    started = [event for event in events if isinstance(event, VertexStarted)]
    if text.startswith("#"):
        return next((event.id for event in started if f"#{event.id}" == text), None)
    stage, colon, line = text.rpartition(":")
    if not line.isascii() or not line.isdecimal():
        return None
    for event in sorted(started, key=lambda event: event.name.startswith("[internal]")):
        if event.span is None or not event.span.line <= int(line) <= event.span.end_line:
            continue
        if not colon or (event.stage or _stage(event.name)).lower() == stage.lower():
            return event.id
    return None


def _stage(name: str) -> str:
    """Return the stage in `[stage 2/5] RUN make`, "" where it is not named: what older logs tell of it."""
    inside = name.partition("[")[2].partition("]")[0].split()
    return inside[0] if len(inside) > 1 else ""
