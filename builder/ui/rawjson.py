"""Every event as one line of JSON, for programs; bytes of output are base64.

A diagnostic says in which file it has its place, without the file's text; errors that end the build follow the
events as diagnostics of their own. See `docs/json.md`.
"""

from __future__ import annotations

import msgspec

from builder.diagnostics import Diagnostic
from builder.events import Event, VertexFailed, Warned
from builder.ui.diagnostic import to_json


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
    if isinstance(event, Warned | VertexFailed):
        document = msgspec.to_builtins(event)
        document["diagnostic"] = msgspec.Raw(to_json(event.diagnostic))
        return msgspec.json.encode(document).decode() + "\n"
    return msgspec.json.encode(event).decode() + "\n"


def render_diagnostic(diagnostic: Diagnostic) -> str:
    """Return the line of a diagnostic that is no part of an event: what ended the build, or a remark."""
    document = {"type": "Diagnostic", "diagnostic": msgspec.Raw(to_json(diagnostic))}
    return msgspec.json.encode(document).decode() + "\n"
