"""Signals for a command that runs: from a signal handler to process 1 of its namespaces."""

from __future__ import annotations

from contextlib import suppress

from runtime import wire


class Forward:
    """Reaches one command while that runs; hand it to `Launcher.run`.

    Process 1 gets the signals from outside of its namespace: one that it has no handler for does nothing, except
    SIGKILL and SIGSTOP. Before the command has started, any ends it. Source: pid_namespaces(7), "The namespace init process".
    """

    def __init__(self) -> None:
        self._request: wire.Socket | None = None

    def send(self, number: int) -> bool:
        """Send a signal to the command; False: none runs, either not yet or not any more.

        May be called from any thread or signal handler: takes no lock and never waits.
        """
        request = self._request
        if request is None:
            return False
        with suppress(
            OSError
        ):  # it ends at this moment, or has more signals waiting than anybody sends
            wire.send_signal(request, number)
        return True

    def reach(self, request: wire.Socket) -> None:
        """Send to the command behind `request` from now on."""
        self._request = request

    def forget(self) -> None:
        """Undo `reach`."""
        self._request = None
