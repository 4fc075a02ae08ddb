"""Execute a RUN: a command in a sandbox above a state; what it wrote becomes a layer."""

from __future__ import annotations

import fcntl
import os
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from builder.errors import Cancelled, ContainerError, LapstrakeError, RunFailed
from builder.graph.operations import RunOp
from builder.solve.steps.committing import commit
from builder.solve.steps.preparing import Prepared, prepared
from builder.solve.surroundings import Surroundings, Told
from builder.solve.translate import Behind, translated
from builder.store.layers import Layer, State
from builder.store.root import Store
from runtime.spec import Resources

if TYPE_CHECKING:
    from builder.solve.needles import Mask

PIECE = 1 << 20
"""Bytes: as much as a pipe may hold that a user makes."""
LEAST_ROOM = 16 << 20
"""Bytes that must be free for what a failed step wrote to be kept."""
TAIL_LINES = 10
TAIL_WIDTH = 400
_MOST_LOOKED_AT = 1000
"""Lines of a piece, when nearly all are blank."""


def execute_run(
    op: RunOp,
    inputs: tuple[State, ...],
    *,
    store: Store,
    behind: Behind,
    surroundings: Surroundings,
    told: Told,
    locks: tuple[int, ...] = (),
) -> Layer:
    """Run the command above the first input and commit what it wrote; `locks` are held until it has ended.

    Raises: RunFailed: it ended with another code than 0; its last lines are a note.
        BuildError: it could not be started, or the walls could not be made; a secret that it needs was not given, or
        is in what it wrote.
    """
    with prepared(
        op, inputs, store=store, behind=behind, surroundings=surroundings, waiting=told.waiting
    ) as step:
        output = _Output(told, step.shown.values)
        failed = _run(step, behind, output, (*step.shown.held, *locks), store)
        if failed is None:
            return _commit(step, store, behind, surroundings, told)
        if surroundings.keep_failed:
            _keep(failed, step, store, behind, surroundings, told)
        raise failed


def _commit(
    step: Prepared, store: Store, behind: Behind, surroundings: Surroundings, told: Told
) -> Layer:
    return commit(
        step,
        store=store,
        behind=behind,
        surroundings=surroundings,
        remark=lambda text: told.log(f"note: {text}\n".encode()),
    )


def _keep(
    failed: RunFailed,
    step: Prepared,
    store: Store,
    behind: Behind,
    surroundings: Surroundings,
    told: Told,
) -> None:
    """Keep what a command wrote that failed; where that is not possible, its error says so."""
    room = os.statvfs(store.root)
    if room.f_bavail * room.f_frsize < LEAST_ROOM:
        failed.notes += ("what the command wrote is not kept: the disk is full",)
        return
    try:
        failed.kept = _commit(step, store, behind, surroundings, told).diff_id
    except Cancelled:
        raise
    except LapstrakeError as error:
        why = "; ".join((error.message, *error.notes))
        failed.notes += (f"what the command wrote cannot be kept: {why}",)


class _Output:
    """Where the output of a step goes: to whoever watches and to its last lines, without the secrets that it may see."""

    def __init__(self, told: Told, values: Sequence[bytes]) -> None:
        self.tail = Tail()
        self.unset = told.unset
        self._log = told.log
        self._mask: Mask | None = None
        if values:
            from builder.solve.needles import Mask

            self._mask = Mask(values)

    def take(self, piece: bytes) -> None:
        """Pass on a piece; b"" is the end."""
        if self._mask is not None:
            piece = self._mask.feed(piece) if piece else self._mask.flush()
        if piece:
            self.tail.add(piece)
            self._log(piece)


def _run(
    step: Prepared, behind: Behind, output: _Output, locks: tuple[int, ...], store: Store
) -> RunFailed | None:
    """Run with one pipe for both outputs, so that they stay in order; return what failed."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    with suppress(OSError):  # who has many pipes gets small ones
        fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, PIECE)
    pump = threading.Thread(target=_pump, args=(read_end, output), daemon=True)
    pump.start()
    try:
        with translated():
            status = step.launcher.run(
                step.spec,
                stdin=None,
                stdout=write_end,
                stderr=write_end,
                cancellation=behind.cancellation,
                on_unset=output.unset,
                hold=(*behind.held, *locks),
            )
    except ContainerError as error:
        return _not_started(error, behind, store)
    finally:
        os.close(write_end)
        pump.join()
        os.close(read_end)
    if status.code == 0:
        return None
    how = (
        f"the command was ended by signal {status.signal}"
        if status.signal is not None
        else f"the command exited with code {status.code}"
    )
    notes = (*_reached(status.reached, step.spec.resources), *output.tail.notes())
    return RunFailed(how, command_exit_code=status.code, notes=notes)


def _reached(limits: tuple[str, ...], resources: Resources | None) -> tuple[str, ...]:
    asked = [f"{name}={getattr(resources, name)}" for name in limits if resources is not None]
    return (f"it reached the limit `{','.join(asked)}`",) if asked else ()


def _not_started(given: ContainerError, behind: Behind, store: Store) -> RunFailed:
    from builder.solve.emulating import without_emulator

    foreign = without_emulator(given, behind, store.snapshots.scratch())
    error = foreign or given
    return RunFailed(
        error.message,
        command_exit_code=error.exit_code,
        code="build.start-failed" if foreign is None else foreign.code,
        notes=error.notes,
        hint=error.hint,
    )


def _pump(read_end: int, output: _Output) -> None:
    while piece := os.read(read_end, PIECE):
        output.take(piece)
    output.take(b"")


class Tail:
    """The last lines of an output, each cut to a width; bounded whatever is put in."""

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque(maxlen=TAIL_LINES)
        self._open = b""

    def add(self, piece: bytes) -> None:
        """Take a piece of the output, not necessarily whole lines."""
        whole, newline, last = piece.rpartition(b"\n")
        if not newline:
            self._open = (self._open + piece)[-TAIL_WIDTH:]
            return
        # From the end, as most of a long piece is looked at by nobody.
        found: list[bytes] = []
        end = len(whole)
        for _ in range(_MOST_LOOKED_AT):
            if len(found) == TAIL_LINES or end < 0:
                break
            start = whole.rfind(b"\n", 0, end) + 1
            line = whole[start : min(end, start + TAIL_WIDTH)]
            if not start:
                line = self._open + line
            if line.strip():
                found.append(line[:TAIL_WIDTH])
            end = start - 1
        self._lines.extend(reversed(found))
        self._open = last[-TAIL_WIDTH:]

    def notes(self) -> tuple[str, ...]:
        """Return the lines as one note, or none when there was no output."""
        lines = [*self._lines, self._open] if self._open.strip() else [*self._lines]
        if not lines:
            return ()
        shown = [line.decode("utf-8", "replace").rstrip() for line in lines[-TAIL_LINES:]]
        return ("last output:\n" + "\n".join(shown),)
