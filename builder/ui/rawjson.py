"""Every event as one line of JSON, for programs; bytes of output are base64."""

from __future__ import annotations

import msgspec

from builder.events import Event


class State(msgspec.Struct, frozen=True):
    """The last event, None before the first."""

    event: Event | None = None


def reduce(_state: State, event: Event) -> State:
    """Return a state that holds just `event`."""
    return State(event)


def render(state: State) -> str:
    """Return the line of the last event."""
    return "" if state.event is None else msgspec.json.encode(state.event).decode() + "\n"
