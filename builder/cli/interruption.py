"""Signals become a cancellation: the engine stops its steps, keeps what is done and says so."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builder.engine import Engine

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Remembers the signal that came; `number` is None while there was none."""

    def __init__(self) -> None:
        self.number: int | None = None

    @contextmanager
    def cancels(self, engine: Engine) -> Iterator[None]:
        """While the context is open, the first signal cancels what `engine` does; the second ends at once.

        Signals that the caller has set to be ignored (`nohup`) stay so.
        """

        def cancel(number: int, _frame: FrameType | None) -> None:
            for other in caught:
                signal.signal(other, _at_once(other))
            self.number = number
            engine.cancellation.cancel(number)

        before = {number: signal.getsignal(number) for number in _SIGNALS}
        caught = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
        try:
            for number in caught:
                signal.signal(number, cancel)
        except ValueError:  # only the main thread may choose what signals do
            yield
            return
        try:
            yield
        finally:
            for number in caught:
                signal.signal(number, before[number])


def _at_once(number: int) -> Callable[[int, FrameType | None], None] | signal.Handlers:
    return signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
