"""Executes steps in other processes, which get plain data only: the proof that steps can leave this one.

A worker runs one step at a time; there are as many as steps at once. Descriptors do not go to it: locks are held by
this process alone, and a worker ends with it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from _thread import allocate_lock
from contextlib import suppress
from typing import BinaryIO, assert_never, cast

from builder.errors import BuildError, Cancelled
from builder.graph.mounts import SecretMount
from builder.graph.operations import CopyOp, MakeDirOp, RunOp
from builder.solve.executor import Input
from builder.solve.steps.copy import Copied
from builder.solve.surroundings import Surroundings, Told
from builder.solve.tasks import (
    CannotLimit,
    CopyMade,
    CopyTask,
    Failed,
    LocalInput,
    Logged,
    Made,
    Place,
    RunTask,
    StateInput,
    Task,
    Visible,
    Waits,
    error_of,
    receive_said,
    send,
)
from builder.solve.translate import Behind
from builder.store.layers import Layer, State
from builder.store.root import Store

_PATIENCE = 10.0
"""Seconds for a worker to end."""

_LOOK = 0.1
"""Seconds between two looks at whether the build was cancelled."""


def _nothing(_: object) -> None:
    """Pass over what a copy does not say."""


_UNHEARD = Told(log=_nothing, waiting=_nothing, unset=_nothing)


class ProcessExecutor:
    """Executes in worker processes on the same store."""

    def __init__(self, store: Store, behind: Behind, isolation: str) -> None:
        self._place = Place(root=store.root, isolation=isolation)
        self._behind = behind
        self._idle: list[_Worker] = []
        self._lock = allocate_lock()

    def run(
        self,
        op: RunOp,
        inputs: tuple[State, ...],
        *,
        surroundings: Surroundings,
        told: Told,
        locks: tuple[int, ...] = (),
    ) -> Layer:
        """Execute a RUN."""
        del locks
        visible = _visible(op, surroundings)
        made = self._execute(RunTask(op=op, inputs=inputs, visible=visible), told)
        if not isinstance(made, Made):
            raise _nonsense()
        return made.layer

    def copy(
        self,
        op: CopyOp | MakeDirOp,
        inputs: tuple[Input, ...],
        base: State,
        *,
        as_directory: bool,
    ) -> Copied:
        """Execute a copy, or make a directory."""
        given = tuple(
            StateInput(each) if isinstance(each, State) else LocalInput(each) for each in inputs
        )
        task = CopyTask(op=op, inputs=given, base=base, as_directory=as_directory)
        made = self._execute(task, _UNHEARD)
        if not isinstance(made, CopyMade):
            raise _nonsense()
        return made.copied

    def close(self) -> None:
        """End the workers."""
        while self._idle:
            self._idle.pop().close()

    def _execute(self, task: Task, told: Told) -> Made | CopyMade:
        with self._lock:
            worker = self._idle.pop() if self._idle else None
        worker = worker or _Worker(self._place)
        watching = threading.Event()
        guard = threading.Thread(target=self._guard, args=(worker, watching), daemon=True)
        guard.start()
        try:
            found = worker.execute(task, told)
        except (EOFError, BrokenPipeError) as error:
            worker.close()
            cancellation = self._behind.cancellation
            if cancellation.signal_number is not None:
                raise Cancelled(signal_number=cancellation.signal_number) from None
            raise BuildError(
                "a process that executes steps has ended unexpectedly", code="build.launcher-gone"
            ) from error
        finally:
            watching.set()
            guard.join()
        if self._behind.cancellation.cancelled:
            worker.close()
        else:
            with self._lock:
                self._idle.append(worker)
        if isinstance(found, Failed):
            raise error_of(found)
        return found

    def _guard(self, worker: _Worker, done: threading.Event) -> None:
        """Stop the worker when the build is cancelled."""
        while not done.wait(_LOOK):
            if self._behind.cancellation.cancelled:
                worker.stop()
                return


class _Worker:
    def __init__(self, place: Place) -> None:
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; from builder.solve.worker import main; main()"
        )
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
            [sys.executable, "-I", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PATH": os.pathsep.join(os.get_exec_path())},
            start_new_session=True,
        )
        self._tasks = cast("BinaryIO", self._process.stdin)
        self._answers = cast("BinaryIO", self._process.stdout)
        send(self._tasks, place)

    def execute(self, task: Task, told: Told) -> Made | CopyMade | Failed:
        """Have a task executed; what is said meanwhile is passed on.

        Raises: EOFError, BrokenPipeError: the process has ended.
        """
        send(self._tasks, task)
        while True:
            said = receive_said(self._answers)
            match said:
                case Logged():
                    told.log(said.data)
                case Waits():
                    told.waiting(said.on)
                case CannotLimit():
                    told.unset(said.unset)
                case Made() | CopyMade() | Failed():
                    return said
                case _:
                    assert_never(said)

    def stop(self) -> None:
        """Have it end what it does, and itself."""
        with suppress(OSError):
            self._tasks.close()

    def close(self) -> None:
        """Let it end: it does when nobody speaks to it any more."""
        with suppress(OSError):
            self._tasks.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()


def _visible(op: RunOp, surroundings: Surroundings) -> Visible:
    values: dict[str, bytes] | None = None
    secrets = surroundings.secrets
    if secrets is not None:
        asked = [mount.id for mount in op.mounts if isinstance(mount, SecretMount)]
        found = {secret_id: secrets.value(secret_id) for secret_id in asked}
        values = {secret_id: value for secret_id, value in found.items() if value is not None}
    agents = surroundings.agents
    return Visible(
        resolver=surroundings.resolver,
        hosts=surroundings.hosts,
        limits=surroundings.limits,
        network=surroundings.network,
        secrets=values,
        given=() if secrets is None else secrets.given(),
        agents=None if agents is None else agents.sources,
        leaks_allowed=surroundings.leaks_allowed,
        certificates=surroundings.certificates,
    )


def _nonsense() -> BuildError:
    return BuildError("a process that executes steps answered nonsense", code="internal")
