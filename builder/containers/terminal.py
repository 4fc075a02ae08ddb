"""The user's terminal while a command has one of its own: keys and sizes go in, the picture comes out.

Source: termios(3), ioctl_tty(2).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType

from builder.containers.pumps import Pump, Screen

_NO_SIZE = bytes(8)


class Terminal:
    """Joins the outer side of a container's terminal to the user's descriptors; a context manager.

    `keys` is where the user types, None if that is not passed on; `screen` is where the picture goes.
    """

    def __init__(self, keys: int | None, screen: int) -> None:
        self._keys = keys
        self._screen = screen
        self._stack = ExitStack()
        self._outer = -1
        self._pumps: list[Pump] = []

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        """Show what is left of the picture, and give the user's terminal back as it was."""
        with self._stack:
            ended = True
            for pump in reversed(self._pumps):
                if isinstance(pump, Screen):
                    pump.finish()
                else:
                    ended = pump.stop()
            if self._outer >= 0 and ended:
                os.close(self._outer)

    def attach(self, outer: int) -> None:
        """Begin to pass on; takes the descriptor over."""
        self._outer = outer
        self._resize()
        self._stack.enter_context(_on_resize(self._resize))
        if self._keys is not None:
            self._stack.enter_context(_raw(self._keys))
            self._pumps.append(Pump(self._keys, outer))
        self._pumps.append(Screen(outer, self._screen))

    def _resize(self) -> None:
        import fcntl
        import termios

        for descriptor in (self._keys, self._screen):
            if descriptor is not None and os.isatty(descriptor):
                with suppress(OSError):
                    size = fcntl.ioctl(descriptor, termios.TIOCGWINSZ, _NO_SIZE)
                    fcntl.ioctl(self._outer, termios.TIOCSWINSZ, size)
                    return


@contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    """Let every key through while the context is open, Ctrl-C too."""
    import termios
    import tty

    if not os.isatty(descriptor):
        yield
        return
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor, termios.TCSANOW)
    try:
        yield
    finally:
        with suppress(termios.error):  # the terminal may have been closed
            termios.tcsetattr(descriptor, termios.TCSANOW, before)


@contextmanager
def _on_resize(resized: Callable[[], None]) -> Iterator[None]:
    """Call `resized` when the user's window changes; outside of the main thread nobody is told."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(_number: int, _frame: FrameType | None) -> None:
        resized()

    before = signal.signal(signal.SIGWINCH, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)
