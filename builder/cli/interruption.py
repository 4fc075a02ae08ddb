"""Signals become a cancellation: the engine stops its steps, keeps what is done and says so.

A command in the foreground gets them itself, and does with them as it likes; one that goes on regardless is ended
at the third that asks for an end.

A person who interrupts does not want to wait. What has not ended by itself after a while, such as the digest of a
huge file, is left; the store is safe at any moment, and what is left in it is swept by the next command.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from builder.errors import Cancelled

if TYPE_CHECKING:
    from builder.engine import Engine
    from runtime.forward import Forward

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ONLY_FORWARDED = (signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_MOST_FORWARDED = 2
"""Of those that ask for an end; the next one ends the command. Docker's client gives up at the third, too."""
_TO_STOP = 0.5
"""Seconds for what runs to stop by itself."""
_TO_CLEAN = 0.4
"""Seconds for cleaning up after that."""


class Interruption:
    """Remembers the signal that came; `number` is None while there was none."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._command: Forward | None = None
        self._forwarded = 0
        self._at_terminal = False

    @contextmanager
    def cancels(self, engine: Engine) -> Iterator[None]:
        """While the context is open, the first signal cancels what `engine` does; the second ends at once.

        Signals that the caller has set to be ignored (`nohup`) stay so. After a signal, what goes on for too long
        raises Cancelled; when the context has been left, it ends the process, unless `settle` is called in time.
        """

        def cancel(number: int, _frame: FrameType | None) -> None:
            if self._forward(number):
                return
            for other in caught:
                signal.signal(other, _at_once(other))
            self.number = number
            self._expect(self._stop, _TO_STOP)
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
            if self.number is not None:
                self._expect(self._end, _TO_CLEAN)

    @contextmanager
    def forwards(self, command: Forward) -> Iterator[None]:
        """While the context is open, signals go to the command that `command` reaches, as long as it runs.

        The third that asks for an end cancels what the engine does, and so does a hangup by a terminal that went.
        """

        def forward(number: int, _frame: FrameType | None) -> None:
            if not command.send(number):
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)

        before = {number: signal.getsignal(number) for number in _ONLY_FORWARDED}
        caught = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
        try:
            for number in caught:
                signal.signal(number, forward)
        except ValueError:  # only the main thread may choose what signals do
            yield
            return
        self._at_terminal = _has_terminal()
        self._command = command
        try:
            yield
        finally:
            self._command = None
            for number in caught:
                signal.signal(number, before[number])

    def _forward(self, number: int) -> bool:
        """Send a signal to the command in the foreground; tell whether it is to decide what to do."""
        if self._command is None or self._forwarded >= _MOST_FORWARDED:
            return False
        if number == signal.SIGHUP and self._at_terminal and not _has_terminal():
            return False  # nobody is left who could end it
        if not self._command.send(number):
            return False
        self._forwarded += 1
        return True

    def settle(self) -> None:
        """Wait as long as it takes from now on: all that is left is to say what happened."""
        if self.number is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _expect(self, otherwise: Callable[[int, FrameType | None], None], seconds: float) -> None:
        signal.signal(signal.SIGALRM, otherwise)
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._expect(self._end, _TO_CLEAN)
        raise Cancelled(signal_number=self.number or signal.SIGINT)

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        sys.stderr.write("error[build.cancelled]: interrupted\n")
        sys.stderr.flush()
        os._exit(128 + (self.number or signal.SIGINT))


def _at_once(number: int) -> Callable[[int, FrameType | None], None] | signal.Handlers:
    return signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
