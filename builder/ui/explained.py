"""Why steps were executed: a line of JSON a step while a build runs, and the whole difference afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

import msgspec

from builder.diagnostics import Diagnostic
from builder.events import (
    Cause,
    Difference,
    Event,
    Explained,
    VertexDone,
    VertexFailed,
    VertexStarted,
)
from builder.graph.explain import ABSENT, phrase
from builder.ui.cells import neutral
from builder.ui.progress import Watched


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A step and how it ended: `cached`, `executed`, `same`, `skipped`, `cancelled`, `failed` or `running`."""

    id: int
    step: str
    line: int | None
    outcome: str = "running"
    note: str = ""
    reason: str = ""
    since: float = 0.0
    differences: tuple[Difference, ...] = ()


def steps_of(events: Iterable[Event]) -> dict[int, Told]:
    """Return what is told of each step."""
    found: dict[int, Told] = {}
    for event in events:
        take(found, event)
    return found


def take(found: dict[int, Told], event: Event) -> Told | None:
    """Add to `found` what an event says of a step; return that if the step has ended."""
    if isinstance(event, VertexStarted):
        line = None if event.span is None else event.span.line
        found[event.id] = Told(id=event.id, step=event.name, line=line)
        return None
    if not isinstance(event, Explained | VertexDone | VertexFailed) or event.id not in found:
        return None
    told = found[event.id]
    match event:
        case Explained():
            told = msgspec.structs.replace(
                told, reason=event.reason, differences=event.differences, since=event.since
            )
        case VertexDone():
            told = msgspec.structs.replace(told, outcome=event.outcome.value, note=event.note)
        case VertexFailed():
            told = msgspec.structs.replace(told, outcome="failed")
    found[event.id] = told
    return None if isinstance(event, Explained) else told


def as_json(told: Told) -> str:
    """Return a step as a line of JSON; what was not there at all is null."""
    document = msgspec.to_builtins(told)
    for difference in document["differences"]:
        for side in ("before", "after"):
            if difference.get(side) == ABSENT:
                difference[side] = None
        if "files" in difference:
            difference["files"] = [{"path": path, "how": how} for path, how in difference["files"]]
    return msgspec.json.encode(document).decode()


class Explaining:
    """A sink that passes everything on, and says a line of JSON for each step that ends."""

    def __init__(self, sink: Watched, say: Callable[[str], None]) -> None:
        self._sink = sink
        self._say = say
        self._found: dict[int, Told] = {}

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """The warnings so far."""
        return self._sink.warnings

    def emit(self, event: Event) -> None:
        """Take one event."""
        self._sink.emit(event)
        told = take(self._found, event)
        if told is not None:
            self._say(as_json(told))


def short(told: Told) -> str:
    """Return a step in one line."""
    reason = f"  {told.reason}" if told.reason else ""
    return neutral(f"#{told.id} {told.step}  {told.outcome.upper()}{reason}")


def whole(told: Told) -> Iterator[str]:
    """Yield the lines that say everything about a step."""
    yield neutral(f"#{told.id} {told.step}")
    if told.outcome == "cached":
        yield "  cached: everything that it reads is what it was"
        return
    if not told.reason:
        yield f"  {told.outcome}; nothing was compared"
        return
    since = "nothing earlier"
    if told.since:
        since = time.strftime("its build of %Y-%m-%d %H:%M:%S", time.localtime(told.since))
    yield f"  {told.outcome}, compared with {since}"
    for difference in told.differences:
        yield neutral(f"  {phrase(difference)}")
        yield from _details(difference)
    if told.note:
        yield neutral(f"  {told.note}")


def _details(difference: Difference) -> Iterator[str]:
    if difference.cause in (Cause.INPUT, Cause.BASE) and (difference.before or difference.after):
        yield f"    before  {_value(difference.before)}"
        yield f"    now     {_value(difference.after)}"
    for each in difference.files:
        yield neutral(f"    {each.path}  ({each.how})")
    left = difference.total - len(difference.files)
    if difference.files and left > 0:
        yield f"    and {left} more"


def _value(text: str) -> str:
    return "(not there)" if text == ABSENT else neutral(text.replace("\n", "\\n"))
