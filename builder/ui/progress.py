"""Opens the sink that shows what happens in the way that was asked for.

Everything goes to the given stream, which is standard error: standard output belongs to results.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TextIO, TypeVar

import msgspec

from builder.diagnostics import Diagnostic
from builder.errors import Cancelled
from builder.events import (
    BuildDone,
    BuildStarted,
    Event,
    EventSink,
    Outcome,
    VertexDone,
    VertexFailed,
    Warned,
)
from builder.settings import Settings
from builder.ui.style import is_terminal, palette_for

_MOST_WARNINGS = 500
_INTERRUPTED = Cancelled.default_code

S = TypeVar("S")


class ProgressPrinter(Generic[S]):
    """A sink that writes what a reducer and its renderer make of each event.

    Safe to call from any thread. A stream that cannot be written any more (a closed pipe) is given up in
    silence: the build goes on.
    """

    def __init__(
        self,
        stream: TextIO,
        state: S,
        reduce: Callable[[S, Event], S],
        render: Callable[[S], str],
    ) -> None:
        self._stream = stream
        self._state = state
        self._reduce = reduce
        self._render = render
        self._lock = threading.Lock()
        self._alive = True

    def emit(self, event: Event) -> None:
        """Take one event and write what it adds."""
        with self._lock:
            self._state = self._reduce(self._state, event)
            text = self._render(self._state)
            if not text or not self._alive:
                return
            try:
                self._stream.write(text)
                self._stream.flush()
            except (OSError, ValueError):
                self._alive = False


class Watched(Protocol):
    """A sink that remembers the warnings, for the summary."""

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """The warnings so far, each once, in order."""

    def emit(self, event: Event) -> None:
        """Take one event."""


class _Watched:
    """Remembers warnings; what it passes on has consecutive numbers, and no failures that are interrupts."""

    def __init__(self, sink: EventSink) -> None:
        self._sink = sink
        self._warnings: dict[Diagnostic, None] = {}
        self._numbers: dict[int, int] = {}
        self._lock = threading.Lock()

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        return tuple(self._warnings)

    def emit(self, event: Event) -> None:
        if isinstance(event, Warned) and len(self._warnings) < _MOST_WARNINGS:
            self._warnings[event.diagnostic] = None
        if not isinstance(event, BuildStarted | Warned | BuildDone):
            with self._lock:
                number = self._numbers.setdefault(event.id, len(self._numbers) + 1)
            if number != event.id:
                event = msgspec.structs.replace(event, id=number)
            if isinstance(event, VertexFailed) and event.diagnostic.code == _INTERRUPTED:
                event = VertexDone(at=event.at, id=number, outcome=Outcome.CANCELLED)
        self._sink.emit(event)


@contextmanager
def open_progress(
    mode: str, stream: TextIO, settings: Settings, *, title: str = "Building"
) -> Iterator[Watched]:
    """Open the sink for a mode: one of `builder.settings.PROGRESS_MODES`.

    `auto` draws a picture on a terminal and writes lines elsewhere; so does `tty`, which cannot draw on
    anything but a terminal. `title` stands above the picture. Leaving the context ends the picture, also after an error.
    """
    if mode in {"auto", "tty"} and is_terminal(stream) and not settings.dumb_terminal:
        from builder.ui.live import LivePicture

        picture = LivePicture(stream, palette_for(stream, settings), title=title)
        try:
            yield _Watched(picture)
        finally:
            picture.close()
    else:
        yield _Watched(_printer(mode, stream, settings))


def _printer(mode: str, stream: TextIO, settings: Settings) -> EventSink:
    match mode:
        case "quiet":
            from builder.ui import quiet

            return ProgressPrinter(stream, quiet.State(), quiet.reduce, quiet.render)
        case "rawjson":
            from builder.ui import rawjson

            return ProgressPrinter(stream, rawjson.State(), rawjson.reduce, rawjson.render)
        case _:
            from builder.ui import plain

            state = plain.State(colour=not settings.no_color)
            return ProgressPrinter(stream, state, plain.reduce, plain.render)
