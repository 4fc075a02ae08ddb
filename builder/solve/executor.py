"""The seam between who decides what is to be done, and who does it: plain data goes one way, a layer comes back.

solver ── operation, states, surroundings ──► executor ── layer ──► store, which both see
"""

from __future__ import annotations

from typing import Protocol

from builder.graph.operations import CopyOp, MakeDirOp, RunOp
from builder.solve.context import LocalContext
from builder.solve.steps.copy import Copied, execute_copy, source_trees
from builder.solve.surroundings import Surroundings, Told
from builder.solve.translate import Behind
from builder.store.layers import Layer, State
from builder.store.root import Store

Input = State | LocalContext


class Executor(Protocol):
    """Executes steps; callable from many threads. What it gives is in the store, but not in the cache."""

    def run(
        self,
        op: RunOp,
        inputs: tuple[State, ...],
        *,
        surroundings: Surroundings,
        told: Told,
        locks: tuple[int, ...],
    ) -> Layer:
        """Execute a RUN; `locks` are descriptors to hold until its last process has ended.

        Raises: LapstrakeError: see `steps.run`. Cancelled.
        """

    def copy(
        self,
        op: CopyOp | MakeDirOp,
        inputs: tuple[Input, ...],
        base: State,
        *,
        as_directory: bool,
    ) -> Copied:
        """Execute a copy, or make a directory, above `base`.

        Raises: LapstrakeError: see `steps.copy`. Cancelled.
        """

    def close(self) -> None:
        """Let go of what is held."""


class LocalExecutor:
    """Executes in this process, behind its launcher."""

    def __init__(self, store: Store, behind: Behind) -> None:
        self._store = store
        self._behind = behind

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
        from builder.solve.steps.run import execute_run

        return execute_run(
            op,
            inputs,
            store=self._store,
            behind=self._behind,
            surroundings=surroundings,
            told=told,
            locks=locks,
        )

    def copy(
        self,
        op: CopyOp | MakeDirOp,
        inputs: tuple[Input, ...],
        base: State,
        *,
        as_directory: bool,
    ) -> Copied:
        """Execute a copy, or make a directory."""
        snapshots = self._store.snapshots
        trees: list[dict[str, object]] = []
        if isinstance(op, CopyOp):
            trees = source_trees(op, inputs, snapshots, self._store.root)
        return execute_copy(
            op,
            base,
            trees,
            as_directory=as_directory,
            snapshots=snapshots,
            jobs=self._behind,
        )

    def close(self) -> None:
        """Nothing is held."""
