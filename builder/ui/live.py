"""Puts the picture of `builder.ui.tty` on a terminal, several times a second.

rich is imported when the first picture is due: a build that is over before that (all cached) does not
wait for it, and only its final picture is written.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING, TextIO

from builder.events import Event
from builder.ui.style import COLOURED, Palette
from builder.ui.tty import Role, Row, State, final, layout, reduce

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

_DELAY = 0.15
"""Seconds before the first picture."""
_INTERVAL = 0.1


class LivePicture:
    """A sink that keeps the picture; `close` draws it for the last time and gives the terminal back."""

    def __init__(
        self, stream: TextIO, palette: Palette = COLOURED, *, title: str = "Building"
    ) -> None:
        self._stream = stream
        self._palette = palette
        self._state = State(title=title)
        self._received = time.monotonic()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="progress", daemon=True)
        self._ticker.start()

    def emit(self, event: Event) -> None:
        """Take one event; from any thread."""
        with self._lock:
            self._state = reduce(self._state, event)
            self._received = time.monotonic()

    def close(self) -> None:
        """Take the moving picture away and leave the final one; nothing if no step began."""
        self._over.set()
        self._ticker.join()
        with self._lock:
            rows = final(self._state) if self._state.steps else ()
        columns, _ = terminal_size(self._stream)
        paint = self._palette.paint
        with contextlib.suppress(OSError, ValueError):
            for row in rows:
                self._stream.write(paint(_role(row, self._palette), row.text(columns)) + "\n")
            self._stream.flush()

    def _tick(self) -> None:
        while not self._state.steps:
            if self._over.wait(_DELAY):
                return
        if self._over.wait(_DELAY):
            return
        live = self._live()
        # A terminal that went away (hang-up) ends the picture, not the build.
        with contextlib.suppress(OSError, ValueError), live:
            while not self._over.wait(_INTERVAL):
                live.update(self._picture(), refresh=True)

    def _live(self) -> Live:
        from rich.console import Console
        from rich.live import Live

        console = Console(
            file=self._stream,
            force_terminal=True,
            no_color=not self._palette.reset,
            highlight=False,
            markup=False,
        )
        return Live(
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def _picture(self) -> Text:
        from rich.text import Text

        columns, lines = terminal_size(self._stream)
        with self._lock:
            state, received = self._state, self._received
        now = state.at + time.monotonic() - received
        # One column is left free: a full line would wrap on some terminals.
        rows = layout(state, now, lines - 1)
        picture = "\n".join(
            self._palette.paint(_role(row, self._palette), row.text(columns - 1)) for row in rows
        )
        return Text.from_ansi(picture, no_wrap=True, overflow="crop")


def terminal_size(stream: TextIO) -> tuple[int, int]:
    """Return columns and lines of the terminal behind `stream`, 80 and 24 where it does not tell."""
    try:
        size = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return 80, 24
    return max(size.columns, 20) if size.columns else 80, size.lines or 24


def _role(row: Row, palette: Palette) -> str:
    return {
        Role.HEADER: palette.strong,
        Role.RUNNING: "",
        Role.DONE: palette.hint,
        Role.FAILED: palette.error,
        Role.DETAIL: palette.dim,
    }[row.role]
