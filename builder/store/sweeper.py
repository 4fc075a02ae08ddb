"""Removes what steps leave behind, beside the next step."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from builder.errors import LapstrakeError
from builder.store.jobs import Jobs

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor


class Sweeper:
    """One thread that removes directories in turn; what it cannot remove is left for the next start."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._pool: ThreadPoolExecutor | None = None

    def remove(self, path: str) -> None:
        """Have a directory removed soon, whoever owns what is in it."""
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(1)
        self._pool.submit(self._remove, path)

    def _remove(self, path: str) -> None:
        with suppress(LapstrakeError):
            self._jobs.call("builder.layer.jobs:remove_tree", {"path": path}, cleanup=True)

    def close(self) -> None:
        """Wait until everything is removed."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
