"""What happens during a build, a pull or a push, as a stream of typed values.

The engine emits, user interfaces reduce: nothing here prints, and no event refers to a live object.
Times are seconds since the start of the operation.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

import msgspec

from builder.diagnostics import Diagnostic, Span


class Stream(Enum):
    """Which of a command's outputs a piece came from; a build step writes both to one pipe, in order."""

    STDOUT = "stdout"
    STDERR = "stderr"


class Outcome(Enum):
    """How a vertex ended, when it did not fail."""

    EXECUTED = "executed"
    SAME = "same"
    """Executed again, with the result of the time before: what follows stays cached."""
    CACHED = "cached"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Common to all: when it happened, in seconds since the start."""

    at: float = 0.0


class BuildStarted(_Event, frozen=True, kw_only=True):
    """The plan is known: `total` vertices of it will start, besides those that have started already."""

    dockerfile: str
    total: int


class VertexStarted(_Event, frozen=True, kw_only=True):
    """A vertex has begun; `id` is unique in the build and counts from 1, `stage` as in `Vertex`."""

    id: int
    name: str
    span: Span | None = None
    stage: str = ""


class Cause(Enum):
    """Why a step was not taken from the cache."""

    NEVER = "never built before"
    ASKED = "asked for"
    EXPIRED = "expired"
    LOST = "lost"
    INPUT = "input"
    BASE = "base"
    BELOW = "below"
    FILES = "files"


class FileDifference(msgspec.Struct, frozen=True, array_like=True):
    """A path that is not as before: `how` is "added", "removed", or what of it changed ("content, mode")."""

    path: str
    how: str


class Difference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing in which a step is not what it was the time before.

    `subject` is what is meant: an input by name, an image, a step below, a flag. `total` counts all files,
    of which `files` may be a part.
    """

    cause: Cause
    subject: str = ""
    before: str = ""
    after: str = ""
    files: tuple[FileDifference, ...] = ()
    total: int = 0


class Explained(_Event, frozen=True, kw_only=True):
    """A step was not in the cache: why, in a line, and every difference to the nearest time before.

    `since` is when that was, in seconds since the epoch, 0 where there was none.
    """

    id: int
    reason: str
    differences: tuple[Difference, ...] = ()
    since: float = 0.0


class VertexLog(_Event, frozen=True, kw_only=True):
    """A piece of a step's output, not necessarily whole lines."""

    id: int
    data: bytes
    stream: Stream = Stream.STDOUT


class Progress(_Event, frozen=True, kw_only=True):
    """Bytes moved for one item (a layer, a context) of a vertex; `total` is None when unknown.

    `here` says that nothing had to be moved: it was there already.
    """

    id: int
    item: str
    done: int
    total: int | None = None
    here: bool = False


class Waiting(_Event, frozen=True, kw_only=True):
    """A vertex waits for something that another build or step holds."""

    id: int
    on: str


class Warned(_Event, frozen=True, kw_only=True):
    """Something to tell that does not end the build; repeated in the summary."""

    diagnostic: Diagnostic


class VertexDone(_Event, frozen=True, kw_only=True):
    """A vertex has ended well; `note` is a short fact ("120 files, 3.1 MB")."""

    id: int
    outcome: Outcome
    note: str = ""


class VertexFailed(_Event, frozen=True, kw_only=True):
    """A vertex has failed; the diagnostic is also the error that the build ends with."""

    id: int
    diagnostic: Diagnostic


class BuildDone(_Event, frozen=True, kw_only=True):
    """The build has ended well; sizes in bytes, `digest` of the manifest or index of the last output that has one."""

    image_id: str | None
    names: tuple[str, ...]
    size: int
    steps: int
    cached: int
    digest: str | None = None


Event = (
    BuildStarted
    | VertexStarted
    | Explained
    | VertexLog
    | Progress
    | Waiting
    | Warned
    | VertexDone
    | VertexFailed
    | BuildDone
)


class EventSink(Protocol):
    """Where events go; callable from any thread, never blocks for long, never raises."""

    def emit(self, event: Event) -> None:
        """Take one event."""


class Discard:
    """The sink of those who do not watch."""

    def emit(self, event: Event) -> None:
        """Forget it."""
