"""Progress as lines that only ever grow, each under the number of its step: for logs and pipes.

    #3 [build 2/4] RUN make
    #3 0.123 cc -c main.c
    #3 DONE 1.2s

Source: the output of BuildKit's `--progress=plain`, which people's scripts read.
"""

from __future__ import annotations

from typing import assert_never

import msgspec

from builder.events import (
    BuildDone,
    BuildStarted,
    Cause,
    Event,
    Explained,
    Outcome,
    Progress,
    VertexDone,
    VertexFailed,
    VertexLog,
    VertexStarted,
    Waiting,
    Warned,
)
from builder.ui.cells import neutral
from builder.ui.output import Pending, feed, feed_plain, finish
from builder.ui.size import size

_EVERY = 5.0
"""Seconds between two lines about the same transfer."""


class Transfer(msgspec.Struct, frozen=True):
    """What was last said about one item, `since` and `at` in seconds."""

    since: float
    at: float
    over: bool = False


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A vertex that is running."""

    started: float
    pending: Pending = Pending()
    transfers: dict[str, Transfer] = {}


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The running steps, and `text`: the lines that the last event has added."""

    steps: dict[int, Step] = {}
    text: str = ""
    any_header: bool = False
    colour: bool = False
    """Whether the colours of a command's own output are passed on."""


def reduce(state: State, event: Event) -> State:
    """Return the state after `event`, with the lines that it adds."""
    match event:
        case VertexStarted():
            return _started(state, event)
        case VertexLog():
            return _logged(state, event)
        case Explained():
            if [each.cause for each in event.differences] == [Cause.NEVER]:
                return _say(state, [])  # of a first build, every line would say the same
            return _say(state, [f"#{event.id} not cached: {_one_line(event.reason)}"])
        case Progress():
            return _moved(state, event)
        case Waiting():
            return _say(state, [f"#{event.id} waiting for {neutral(event.on)}"])
        case VertexDone():
            return _done(state, event)
        case VertexFailed():
            last = _log(state, event.id, event.at, _rest(state, event.id))
            error = f"#{event.id} ERROR: {_one_line(event.diagnostic.message)}"
            return _without(state, event.id, [*last, error])
        case BuildStarted() | BuildDone() | Warned():  # warnings are told at the end, in full
            return _say(state, [])
        case _:
            assert_never(event)


def render(state: State) -> str:
    """Return what is to be written after the last event."""
    return state.text


def _started(state: State, event: VertexStarted) -> State:
    header = f"#{event.id} {_one_line(event.name)}"
    lines = ["", header] if state.any_header else [header]
    state = msgspec.structs.replace(state, any_header=True)
    return _with(state, event.id, Step(started=event.at), lines)


def _done(state: State, event: VertexDone) -> State:
    lines = _log(state, event.id, event.at, _rest(state, event.id))
    if event.note:
        lines.append(f"#{event.id} {_one_line(event.note)}")
    match event.outcome:
        case Outcome.EXECUTED | Outcome.SAME:
            step = state.steps.get(event.id)
            lines.append(f"#{event.id} DONE {event.at - (step.started if step else event.at):.1f}s")
        case Outcome.CACHED:
            lines.append(f"#{event.id} CACHED")
        case Outcome.SKIPPED:
            lines.append(f"#{event.id} SKIPPED")
        case Outcome.CANCELLED:
            lines.append(f"#{event.id} CANCELED")
        case _:
            assert_never(event.outcome)
    return _without(state, event.id, lines)


def _logged(state: State, event: VertexLog) -> State:
    step = state.steps.get(event.id) or Step(started=event.at)
    easy = feed_plain(step.pending, event.data)
    if easy is None:
        pending, lines = feed(step.pending, event.data)
        step = msgspec.structs.replace(step, pending=pending)
        return _with(state, event.id, step, _log(state, event.id, event.at, lines))
    pending, text = easy
    prefix = f"#{event.id} {event.at - step.started:.3f} "
    text = prefix + text[:-1].replace("\n", f"\n{prefix}") + "\n"
    steps = {**state.steps, event.id: msgspec.structs.replace(step, pending=pending)}
    return msgspec.structs.replace(state, steps=steps, text=text)


def _moved(state: State, event: Progress) -> State:
    """Say how far a transfer is, when it ends and every few seconds until then."""
    step = state.steps.get(event.id) or Step(started=event.at)
    known = step.transfers.get(event.item)
    over = event.total is not None and event.done >= event.total
    if known is None:
        known = Transfer(event.at, event.at)
        quiet = not over
    else:
        quiet = known.over or (event.at - known.at < _EVERY and not over)
    lines: list[str] = []
    if not quiet:
        known = Transfer(known.since, event.at, over)
        lines = [f"#{event.id} {_transfer(event, event.at - known.since)}"]
    step = msgspec.structs.replace(step, transfers={**step.transfers, event.item: known})
    return _with(state, event.id, step, lines)


def _transfer(event: Progress, seconds: float) -> str:
    if event.here:
        return f"{_one_line(event.item)} exists"
    total = "" if event.total is None else f" / {size(event.total)}"
    rate = f" ({size(int(event.done / seconds))}/s)" if seconds >= 0.05 else ""
    return f"{_one_line(event.item)} {size(event.done)}{total} {seconds:.1f}s{rate}"


def _log(state: State, number: int, at: float, lines: tuple[str, ...]) -> list[str]:
    step = state.steps.get(number)
    since = at - (step.started if step else at)
    return [f"#{number} {since:.3f} {neutral(line, colour=state.colour)}" for line in lines]


def _rest(state: State, number: int) -> tuple[str, ...]:
    step = state.steps.get(number)
    return finish(step.pending) if step else ()


def _one_line(text: str) -> str:
    return neutral(" ".join(text.splitlines()))


def _say(state: State, lines: list[str]) -> State:
    return msgspec.structs.replace(state, text="".join(f"{line}\n" for line in lines))


def _with(state: State, number: int, step: Step, lines: list[str]) -> State:
    return _say(msgspec.structs.replace(state, steps={**state.steps, number: step}), lines)


def _without(state: State, number: int, lines: list[str]) -> State:
    steps = {other: step for other, step in state.steps.items() if other != number}
    return _say(msgspec.structs.replace(state, steps=steps), lines)
