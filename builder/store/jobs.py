"""The seam to functions that run behind the launcher, where rootless trees have their real owners."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from runtime.spec import IsolationName


class Jobs(Protocol):
    """Runs `package.module:function` with plain data, in the launcher's namespaces."""

    def open(self) -> IsolationName:
        """Enter the walls, if that has not been done; return which stand.

        Raises: LapstrakeError: this host does not allow them.
        """

    def call(
        self,
        function: str,
        arguments: object,
        *,
        fds: tuple[int, ...] = (),
        report: Callable[[object], None] | None = None,
        cleanup: bool = False,
    ) -> object:
        """Return what the function returned, plain data.

        A `cleanup` gives back what was taken: it runs even when the work itself has been cancelled.

        Raises: LapstrakeError: as the function raised it, or translated.
        """
