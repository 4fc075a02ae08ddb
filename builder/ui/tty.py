"""Progress as a picture of the whole build, redrawn in place: for a person at a terminal.

    [+] Building 3.4s (5/7)
     => CACHED [build 2/4] WORKDIR /src                                   0.0s
     => [build 3/4] RUN make                                              1.2s
     => => # cc -c main.c
     => [stage-1 1/2] FROM docker.io/library/debian                       2.1s
     => => sha256:4f4fb700ef54  [======>      ] 10.5MB / 30.1MB  5.1MB/s

`reduce` and `layout` are pure; `builder.ui.live` puts the rows on the screen.
"""

from __future__ import annotations

from enum import Enum
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
from builder.ui.cells import clip, neutral, width
from builder.ui.output import Pending, feed, finish
from builder.ui.size import duration, size

_REMEMBERED = 20
"""Lines of output kept for each step: what is shown when it fails."""
_SHOWN = 6
"""Lines of output shown of a step that runs."""
_LONGEST = 1000
"""Characters kept of such a line: more than a terminal is wide."""
_BAR = 24


class Phase(Enum):
    """Where a step is in its life."""

    RUNNING = "running"
    DONE = "done"
    SAME = "same"
    CACHED = "cached"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Transfer(msgspec.Struct, frozen=True):
    """How far one item is; `since` is when it was first heard of, in seconds."""

    done: int
    total: int | None
    since: float


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One vertex; times in seconds since the start of the build."""

    name: str
    started: float
    ended: float = 0.0
    phase: Phase = Phase.RUNNING
    waiting: str = ""
    note: str = ""
    reason: str = ""
    pending: Pending = Pending()
    tail: tuple[str, ...] = ()
    transfers: dict[str, Transfer] = {}


class State(msgspec.Struct, frozen=True, kw_only=True):
    """All steps in the order in which they began; `at` is the time of the last event."""

    title: str = "Building"
    steps: dict[int, Step] = {}
    total: int = 0
    at: float = 0.0
    warnings: int = 0


class Role(Enum):
    """What a row is, which decides its colour."""

    HEADER = "header"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    DETAIL = "detail"


class Row(msgspec.Struct, frozen=True):
    """One line of the picture: text at the left, a time at the right."""

    role: Role
    left: str
    right: str = ""

    def text(self, columns: int) -> str:
        """Return the row set into `columns` cells, the left part cut where it does not fit."""
        if not self.right:
            return clip(self.left, columns)
        left = clip(self.left, columns - width(self.right) - 1)
        return left + " " * max(1, columns - width(left) - width(self.right)) + self.right


def reduce(state: State, event: Event) -> State:
    """Return the state after `event`."""
    state = msgspec.structs.replace(state, at=max(state.at, event.at))
    match event:
        case BuildStarted():
            return msgspec.structs.replace(state, total=event.total + len(state.steps))
        case VertexStarted():
            return _put(state, event.id, Step(name=_one_line(event.name), started=event.at))
        case Explained():
            step = _step(state, event.id, event.at)
            told = "" if _is_plain(event) else _one_line(event.reason)
            return _change(state, event.id, step, reason=told)
        case VertexLog():
            return _logged(state, event)
        case Progress():
            step = _step(state, event.id, event.at)
            known = step.transfers.get(event.item)
            transfer = Transfer(event.done, event.total, known.since if known else event.at)
            transfers = {**step.transfers, event.item: transfer}
            return _change(state, event.id, step, transfers=transfers, waiting="")
        case Waiting():
            step = _step(state, event.id, event.at)
            return _change(state, event.id, step, waiting=_one_line(event.on))
        case Warned():
            return msgspec.structs.replace(state, warnings=state.warnings + 1)
        case VertexDone():
            phase = _PHASES[event.outcome]
            return _ended(state, event.id, event.at, phase, _one_line(event.note))
        case VertexFailed():
            return _ended(state, event.id, event.at, Phase.FAILED, "")
        case BuildDone():
            return state
        case _:
            assert_never(event)


_PHASES = {
    Outcome.EXECUTED: Phase.DONE,
    Outcome.SAME: Phase.SAME,
    Outcome.CACHED: Phase.CACHED,
    Outcome.SKIPPED: Phase.SKIPPED,
    Outcome.CANCELLED: Phase.CANCELLED,
}


def _is_plain(event: Explained) -> bool:
    """Tell whether a reason is clear to whoever started the build, and would only fill the screen."""
    return all(each.cause in (Cause.NEVER, Cause.ASKED) for each in event.differences)


def layout(state: State, now: float, height: int) -> tuple[Row, ...]:
    """Return the picture at the time `now`, in at most `height` rows.

    Where there is no room, steps that have ended give way first, the oldest before the others, then the
    details of those that run.
    """
    room = max(height - 1, 1)
    header = Row(Role.HEADER, _title(state, now))
    blocks = [(step.phase, _block(step, now, _SHOWN)) for step in state.steps.values()]
    excess = sum(len(rows) for _, rows in blocks) - room
    kept: list[tuple[Phase, list[Row]]] = []
    for phase, rows in blocks:
        if excess > 0 and phase is not Phase.RUNNING:
            excess -= len(rows)
        else:
            kept.append((phase, rows))
    if excess > 0:
        kept = [(phase, rows[:1]) for phase, rows in kept]
    return (header, *[row for _, rows in kept for row in rows][:room])


def final(state: State) -> tuple[Row, ...]:
    """Return the picture that stays on the screen: every step, and the output of those that failed."""
    rows = [Row(Role.HEADER, _title(state, state.at))]
    for step in state.steps.values():
        rows += _block(step, state.at, _REMEMBERED)
    return tuple(rows)


def _title(state: State, now: float) -> str:
    ended = sum(step.phase is not Phase.RUNNING for step in state.steps.values())
    total = max(state.total, len(state.steps))
    many = "s" if state.warnings != 1 else ""
    warnings = f", {state.warnings} warning{many}" if state.warnings else ""
    return f"[+] {state.title} {duration(now)} ({ended}/{total}{warnings})"


def _block(step: Step, now: float, lines: int) -> list[Row]:
    """Return the row of a step and its details: all while it runs, the output when it failed."""
    running = step.phase is Phase.RUNNING
    role = {Phase.RUNNING: Role.RUNNING, Phase.FAILED: Role.FAILED}.get(step.phase, Role.DONE)
    word = {
        Phase.CACHED: "CACHED ",
        Phase.SAME: "SAME ",
        Phase.SKIPPED: "SKIPPED ",
        Phase.CANCELLED: "CANCELED ",
        Phase.FAILED: "ERROR ",
    }.get(step.phase, "")
    note = f"  ({step.note})" if step.note else ""
    seconds = (max(now, step.started) if running else step.ended) - step.started
    rows = [Row(role, f" => {word}{step.name}{note}", duration(seconds))]
    if step.reason:
        rows.append(Row(Role.DETAIL, f" => => not cached: {step.reason}"))
    if running:
        rows += [Row(Role.DETAIL, f" => => waiting for {step.waiting}")] if step.waiting else []
        rows += [
            Row(Role.DETAIL, f" => => {_transfer(item, transfer, now)}")
            for item, transfer in step.transfers.items()
            if transfer.total is None or transfer.done < transfer.total
        ]
    if running or step.phase is Phase.FAILED:
        partial = [neutral(line) for line in finish(step.pending)]
        tail = [*step.tail, *partial][-lines:]
        rows += [Row(Role.DETAIL, f" => => # {line}".expandtabs(8)) for line in tail]
    return rows


def _transfer(item: str, transfer: Transfer, now: float) -> str:
    seconds = now - transfer.since
    rate = f"  {size(int(transfer.done / seconds))}/s" if seconds > 0.5 else ""
    if transfer.total is None:
        return f"{item}  {size(transfer.done)}{rate}"
    filled = _BAR * min(transfer.done, transfer.total) // max(transfer.total, 1)
    bar = ("=" * filled + ">")[:_BAR].ljust(_BAR)
    return f"{item}  [{bar}] {size(transfer.done)} / {size(transfer.total)}{rate}"


def _logged(state: State, event: VertexLog) -> State:
    step = _step(state, event.id, event.at)
    pending, lines = feed(step.pending, event.data)
    latest = tuple(neutral(line[:_LONGEST]) for line in lines[-_REMEMBERED:])
    tail = (*step.tail, *latest)[-_REMEMBERED:]
    return _change(state, event.id, step, pending=pending, tail=tail, waiting="")


def _ended(state: State, number: int, at: float, phase: Phase, note: str) -> State:
    step = _step(state, number, at)
    rest = tuple(map(neutral, finish(step.pending)))
    tail = (*step.tail, *rest)[-_REMEMBERED:] if phase is Phase.FAILED else ()
    return _change(
        state,
        number,
        step,
        phase=phase,
        ended=at,
        note=note,
        tail=tail,
        pending=Pending(),
        transfers={},
        waiting="",
    )


def _step(state: State, number: int, at: float) -> Step:
    """Return a step; one that was never started is one that began just now."""
    return state.steps.get(number) or Step(name=f"#{number}", started=at)


def _change(state: State, number: int, step: Step, **fields: object) -> State:
    return _put(state, number, msgspec.structs.replace(step, **fields))


def _put(state: State, number: int, step: Step) -> State:
    return msgspec.structs.replace(state, steps={**state.steps, number: step})


def _one_line(text: str) -> str:
    return neutral(" ".join(text.splitlines()))
