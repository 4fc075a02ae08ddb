"""Records a build while it is watched: its events go on to who watches, and to the store."""

from __future__ import annotations

import os
import time
from _thread import allocate_lock  # `threading` is on no cached build's way
from collections.abc import Iterator
from contextlib import suppress

import msgspec

from builder.engine.requests import BuildRequest
from builder.errors import Cancelled, LapstrakeError
from builder.events import (
    BuildDone,
    Event,
    EventSink,
    Progress,
    VertexDone,
    VertexFailed,
    VertexLog,
    VertexStarted,
    Warned,
)
from builder.solve.trail import Executing, Kept, Trace, Trail
from builder.store.builds import CANCELLED, DONE, FAILED, LARGEST, About, BuildLog, Builds

MOST_OUTPUT = LARGEST // 8
"""Bytes of output that a record holds: a build that never stops talking pushes out neither the disk nor other records."""
CUT = b"\n[what came after this is not recorded]\n"
_MOST_HELD = 1 << 16
_ENCODER = msgspec.msgpack.Encoder()


class Recording:
    """A sink that records what it passes on; a record that cannot be written ends no build."""

    def __init__(self, log: BuildLog, request: BuildRequest, watcher: EventSink) -> None:
        self.id = log.id
        self.project = _place(request.context)
        self._log = log
        self._watcher = watcher
        self._lock = allocate_lock()
        self._held = 0
        self._executed = False
        self._output = 0
        self._about = About(
            id=log.id,
            started=log.started,
            context=self.project,
            dockerfile=request.dockerfile or "",
            target=request.target or "",
            names=request.tags,
        )

    def emit(self, event: Event) -> None:
        """Take one event."""
        self._watcher.emit(event)
        if isinstance(event, Progress):
            return  # how far a transfer was is of no interest afterwards
        if isinstance(event, VertexLog):
            self._output += len(event.data)
            if self._output - len(event.data) > MOST_OUTPUT:
                return
            if self._output > MOST_OUTPUT:
                event = msgspec.structs.replace(event, data=event.data + CUT)
        encoded = _ENCODER.encode(_without_source(event))
        with self._lock:
            self._log.add(encoded)
            self._held += len(encoded)
            step = isinstance(event, VertexStarted | VertexDone | VertexFailed | VertexLog)
            if self._held > _MOST_HELD or (self._executed and step):
                self._write()

    def trace(self, trace: Trace) -> None:
        """Take what is needed to look into a step later."""
        with self._lock:
            self._log.add(_ENCODER.encode(trace))
            if isinstance(trace, Kept):
                kept = (*self._about.kept, trace.diff_id)
                self._about = msgspec.structs.replace(self._about, kept=kept)
            elif isinstance(trace, Executing):
                self._executed = True
                self._write()

    @property
    def kept(self) -> tuple[str, ...]:
        """The diff ids of what failed steps wrote and is kept."""
        return self._about.kept

    def ended(self, done: BuildDone) -> None:
        """Record that the build went well."""
        self._finish(
            msgspec.structs.replace(
                self._about,
                outcome=DONE,
                image=done.image_id or "",
                names=done.names or self._about.names,
                steps=done.steps,
                cached=done.cached,
            )
        )

    def failed(self, error: BaseException) -> None:
        """Record that the build did not."""
        if isinstance(error, LapstrakeError):
            said: tuple[str, str] | None = (error.code, error.message)
        else:
            said = ("build.cancelled", type(error).__name__)
        outcome = FAILED
        if isinstance(error, Cancelled) or not isinstance(error, LapstrakeError):
            outcome = CANCELLED
        self._finish(msgspec.structs.replace(self._about, outcome=outcome, error=said))

    def _finish(self, about: About) -> None:
        seconds = time.time() - self._log.started
        with self._lock, suppress(OSError):
            self._log.finish(msgspec.structs.replace(about, seconds=seconds))

    def _write(self) -> None:
        self._held = 0
        with suppress(OSError):  # a full disk, of which the build itself will have more to say
            self._log.write(self._about)


def _without_source(event: Event) -> Event:
    """Leave out the text of the Dockerfile, which each diagnostic holds."""
    if isinstance(event, VertexFailed | Warned) and event.diagnostic.source is not None:
        bare = msgspec.structs.replace(event.diagnostic, source=None)
        return msgspec.structs.replace(event, diagnostic=bare)
    return event


def events_of(builds: Builds, build_id: str) -> Iterator[Event]:
    """Yield what happened in a build; what a newer version has written and this one does not know is left out."""
    decoder: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)
    for encoded in builds.events(build_id):
        with suppress(msgspec.MsgspecError):
            yield decoder.decode(encoded)


def project_of(request: BuildRequest) -> tuple[str, ...]:
    """Return what makes two builds builds of the same thing: the context and the name of the Dockerfile."""
    return _place(request.context), request.dockerfile or "Dockerfile"


def trail_of(builds: Builds, build_id: str) -> Trail:
    """Return what is known of the steps of a build; nothing of one that an older version recorded."""
    decoder: msgspec.msgpack.Decoder[Trace] = msgspec.msgpack.Decoder(Trace)
    traces: list[Trace] = []
    for encoded in builds.events(build_id):
        with suppress(msgspec.MsgspecError):
            traces.append(decoder.decode(encoded))
    return Trail(traces)


def _place(context: str) -> str:
    """Return a context as it is remembered: a directory by its whole path, a URL without a password."""
    if "://" in context or context.startswith("git@"):
        from builder.engine.remotes import redacted

        return redacted(context)
    return context if context == "-" else os.path.abspath(context)
