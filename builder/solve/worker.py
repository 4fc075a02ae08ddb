"""A process that executes steps for another: it gets plain data, and gives layers to the store.

It ends with whoever speaks to it, and everything it started with it: the launcher kills what runs behind it when this
process is gone.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from contextlib import suppress
from typing import BinaryIO, assert_never

from builder.errors import BuildError, LapstrakeError
from builder.solve.agents import Agents
from builder.solve.executor import LocalExecutor
from builder.solve.secrets import Secrets
from builder.solve.surroundings import Surroundings, Told
from builder.solve.tasks import (
    CannotLimit,
    CopyMade,
    CopyTask,
    Failed,
    LocalInput,
    Logged,
    Made,
    RunTask,
    Said,
    Task,
    Visible,
    Waits,
    failed,
    receive_place,
    receive_task,
    send,
)
from builder.solve.translate import Behind, translated
from builder.store.root import Store
from runtime.launch import Cancellation, Launcher
from runtime.spec import IsolationName

_PATIENCE = 5.0
"""Seconds for a step to end that nobody waits for any more."""


def main() -> None:
    """Serve until standard input ends; never returns."""
    launcher = Launcher.fork()
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing but answers goes there
    place = receive_place(requests)
    behind = Behind(launcher, IsolationName(place.isolation), Cancellation())
    tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
    with Store(place.root, behind, on_lock=behind.hold) as store:
        behind.on_open = lambda: store.bind_ids(launcher.id_map)
        worker = _Worker(store, behind, answers)
        thread = threading.Thread(target=worker.serve, args=(tasks,), daemon=True)
        thread.start()
        with suppress(EOFError):
            while True:
                tasks.put(receive_task(requests))
        # A step may be running: who could want its result is gone.
        behind.cancellation.cancel()
        tasks.put(None)
        thread.join(_PATIENCE)
    launcher.close()
    os._exit(0)


class _Worker:
    def __init__(self, store: Store, behind: Behind, answers: BinaryIO) -> None:
        self._store = store
        self._executor = LocalExecutor(store, behind)
        self._answers = answers
        self._lock = threading.Lock()

    def serve(self, tasks: queue.SimpleQueue[Task | None]) -> None:
        """Execute one task after the other, until there is None."""
        while (task := tasks.get()) is not None:
            try:
                with translated():
                    said = self._execute(task)
            except LapstrakeError as error:
                said = failed(error)
            except Exception as error:  # noqa: BLE001 - the other side raises it again
                said = failed(BuildError(f"{type(error).__name__}: {error}", code="internal"))
            self._say(said)

    def _execute(self, task: Task) -> Made | CopyMade | Failed:
        match task:
            case RunTask():
                return self._run(task)
            case CopyTask():
                inputs = tuple(
                    each.context if isinstance(each, LocalInput) else each.state
                    for each in task.inputs
                )
                copied = self._executor.copy(
                    task.op, inputs, task.base, as_directory=task.as_directory
                )
                return CopyMade(copied)
            case _:
                assert_never(task)

    def _run(self, task: RunTask) -> Made:
        surroundings = _surroundings(task.visible, self._store)
        told = Told(
            log=lambda data: self._say(Logged(data)),
            waiting=lambda on: self._say(Waits(on)),
            unset=lambda unset: self._say(CannotLimit(unset)),
        )
        try:
            return Made(
                self._executor.run(task.op, task.inputs, surroundings=surroundings, told=told)
            )
        finally:
            if surroundings.agents is not None:
                surroundings.agents.close()

    def _say(self, said: Said) -> None:
        with self._lock, suppress(BrokenPipeError):  # nobody listens any more
            send(self._answers, said)


def _surroundings(visible: Visible, store: Store) -> Surroundings:
    agents = secrets = None
    if visible.agents is not None:
        agents = Agents(visible.agents, store.snapshots.scratch())
    if visible.secrets is not None:
        secrets = Secrets.of_values(visible.secrets, visible.given)
    return Surroundings(
        resolver=visible.resolver,
        hosts=visible.hosts,
        limits=visible.limits,
        network=visible.network,
        secrets=secrets,
        agents=agents,
        leaks_allowed=visible.leaks_allowed,
        certificates=visible.certificates,
    )
