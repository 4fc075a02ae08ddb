"""A step as plain data, and what is said of it: what goes between processes, or machines.

    solver's process ──► Task ──► worker
                     ◄── Said… ── log, waiting, unset limits
                     ◄── Done or Failed

Each message stands behind its length, four bytes.
"""

from __future__ import annotations

from typing import BinaryIO

import msgspec

from builder.errors import LapstrakeError, LayerLost, RunFailed
from builder.graph.operations import CopyOp, MakeDirOp, RunOp
from builder.solve.context import LocalContext
from builder.solve.given import AgentSource
from builder.solve.steps.copy import Copied
from builder.solve.surroundings import Limits
from builder.store.layers import Layer, State
from runtime.spec import Unset

_LENGTH = 4
_LONGEST = 256 << 20


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a worker works: the store and the walls that it is to use; sent once."""

    root: str
    isolation: str


class Visible(msgspec.Struct, frozen=True, kw_only=True):
    """What a RUN sees of the host: `Surroundings`, with the values of the secrets that this step asks for.

    `given` are the names of all secrets.
    """

    resolver: str
    hosts: tuple[tuple[str, str], ...]
    limits: Limits
    network: str
    secrets: dict[str, bytes] | None
    given: tuple[str, ...]
    agents: tuple[AgentSource, ...] | None
    leaks_allowed: bool
    certificates: tuple[bytes, ...]


class RunTask(msgspec.Struct, frozen=True, kw_only=True, tag="run"):
    """Execute a RUN above the first of the states."""

    op: RunOp
    inputs: tuple[State, ...]
    visible: Visible


class LocalInput(msgspec.Struct, frozen=True, tag="context"):
    """An input of a copy that is a directory."""

    context: LocalContext


class StateInput(msgspec.Struct, frozen=True, tag="state"):
    """An input of a copy that is a state."""

    state: State


class CopyTask(msgspec.Struct, frozen=True, kw_only=True, tag="copy"):
    """Execute a copy, or make a directory, above `base`."""

    op: CopyOp | MakeDirOp
    inputs: tuple[LocalInput | StateInput, ...]
    base: State
    as_directory: bool


Task = RunTask | CopyTask


class Logged(msgspec.Struct, frozen=True, tag="log"):
    """A piece of a step's output."""

    data: bytes


class Waits(msgspec.Struct, frozen=True, tag="waits"):
    """A step waits for something."""

    on: str


class CannotLimit(msgspec.Struct, frozen=True, tag="unset"):
    """A limit cannot be set."""

    unset: Unset


class Made(msgspec.Struct, frozen=True, tag="made"):
    """A RUN has ended well: its layer is in the store."""

    layer: Layer


class CopyMade(msgspec.Struct, frozen=True, tag="copied"):
    """A copy has ended well."""

    copied: Copied


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """A step has failed; the fields are those of the error of this name."""

    name: str
    message: str
    code: str
    notes: tuple[str, ...] = ()
    hint: str | None = None
    exit_code: int = 1
    command_exit_code: int | None = None
    diff_id: str | None = None


Said = Logged | Waits | CannotLimit | Made | CopyMade | Failed

_encode = msgspec.msgpack.Encoder().encode
_tasks: msgspec.msgpack.Decoder[Task] = msgspec.msgpack.Decoder(Task)
_said: msgspec.msgpack.Decoder[Said] = msgspec.msgpack.Decoder(Said)
_place = msgspec.msgpack.Decoder(Place)


def send(stream: BinaryIO, message: Place | Task | Said) -> None:
    """Send a message."""
    data = _encode(message)
    stream.write(len(data).to_bytes(_LENGTH, "big") + data)
    stream.flush()


def receive_place(stream: BinaryIO) -> Place:
    """Receive where to work.

    Raises: EOFError: nobody speaks any more.
    """
    return _place.decode(_message(stream))


def receive_task(stream: BinaryIO) -> Task:
    """Receive what to do.

    Raises: EOFError: nobody speaks any more.
    """
    return _tasks.decode(_message(stream))


def receive_said(stream: BinaryIO) -> Said:
    """Receive what a worker says.

    Raises: EOFError: it has ended.
    """
    return _said.decode(_message(stream))


def _message(stream: BinaryIO) -> bytes:
    head = stream.read(_LENGTH)
    length = int.from_bytes(head, "big")
    data = stream.read(length) if len(head) == _LENGTH and length <= _LONGEST else b""
    if len(head) < _LENGTH or len(data) < length:
        raise EOFError
    return data


def failed(error: LapstrakeError) -> Failed:
    """Return an error as a message."""
    return Failed(
        name=type(error).__name__,
        message=error.message,
        code=error.code,
        notes=error.notes,
        hint=error.hint,
        exit_code=error.exit_code,
        command_exit_code=error.command_exit_code if isinstance(error, RunFailed) else None,
        diff_id=error.diff_id if isinstance(error, LayerLost) else None,
    )


def error_of(message: Failed) -> LapstrakeError:
    """Return the error that a message stands for."""
    from builder import errors

    if message.command_exit_code is not None:
        return RunFailed(
            message.message,
            command_exit_code=message.command_exit_code,
            code=message.code,
            notes=message.notes,
            hint=message.hint,
        )
    if message.diff_id is not None:
        return LayerLost(message.diff_id, notes=message.notes)
    error = LapstrakeError(
        message.message, code=message.code, notes=message.notes, hint=message.hint
    )
    error.exit_code = message.exit_code
    kind = getattr(errors, message.name, None)
    if isinstance(kind, type) and issubclass(kind, LapstrakeError):
        error.__class__ = kind
    return error
