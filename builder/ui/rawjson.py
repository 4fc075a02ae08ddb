"""Every event as one line of JSON, for programs; bytes of output are base64.

A diagnostic says in which file it has its place, without the file's text.
"""

from __future__ import annotations

import msgspec

from builder.diagnostics import SourceFile
from builder.events import Event, VertexFailed, Warned


class State(msgspec.Struct, frozen=True):
    """The last event, None before the first."""

    event: Event | None = None


def reduce(_state: State, event: Event) -> State:
    """Return a state that holds just `event`."""
    return State(event)


def render(state: State) -> str:
    """Return the line of the last event."""
    event = state.event
    if event is None:
        return ""
    if isinstance(event, Warned | VertexFailed) and event.diagnostic.source is not None:
        source = SourceFile(event.diagnostic.source.name, "")
        diagnostic = msgspec.structs.replace(event.diagnostic, source=source)
        event = msgspec.structs.replace(event, diagnostic=diagnostic)
    return msgspec.json.encode(event).decode() + "\n"
