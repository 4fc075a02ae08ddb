"""What is asked of a removal: which kinds of things, how old, with which labels, and how much is to stay."""

from __future__ import annotations

from enum import Enum

import msgspec


class Kind(Enum):
    """What can be removed besides images; the words are those of `docker builder prune`, where it has one."""

    STEPS = "regular"
    CACHE_MOUNTS = "exec.cachemount"
    CONTEXTS = "source.local"
    CHECKOUTS = "source.git.checkout"
    DOWNLOADS = "source.http"
    TREES = "internal"
    BUILDS = "build.log"
    TRACES = "build.trace"


_MEMORIES = frozenset({Kind.BUILDS, Kind.TRACES})


class LabelFilter(msgspec.Struct, frozen=True):
    """A label that an image must have, or must not; without a value any will do."""

    name: str
    value: str | None
    wanted: bool

    def takes(self, labels: dict[str, str]) -> bool:
        """Tell whether an image with these labels passes."""
        has = self.name in labels and self.value in (None, labels[self.name])
        return has is self.wanted


class Pruning(msgspec.Struct, frozen=True, kw_only=True):
    """A removal. `until` is a moment in seconds since the epoch: younger images, and what was used since, stay.

    `kinds` leave images alone; None takes images and everything else, what is remembered of builds only with
    `everything` or down to a size. With labels, or with `images_only`, only images go. The sizes are in bytes: see `to_free`.
    """

    everything: bool = False
    images_only: bool = False
    until: float | None = None
    labels: tuple[LabelFilter, ...] = ()
    kinds: frozenset[Kind] | None = None
    reserved: int | None = None
    most: int | None = None
    free: int | None = None

    @property
    def narrowed(self) -> bool:
        """Whether some of what is not needed may stay."""
        return self.until is not None or self.bounded

    @property
    def bounded(self) -> bool:
        """Whether a size decides what goes."""
        return any(each is not None for each in (self.reserved, self.most, self.free))

    def takes_kind(self, kind: Kind) -> bool:
        """Tell whether things of a kind may go."""
        if self.kinds is not None:
            return kind in self.kinds
        if self.images_only or self.labels:
            return False
        return kind not in _MEMORIES or self.everything or self.bounded

    def takes_image(self, created: float, labels: dict[str, str], *, named: bool) -> bool:
        """Tell whether an image may go."""
        if self.kinds is not None or (named and not self.everything):
            return False
        if self.until is not None and created >= self.until:
            return False
        return all(each.takes(labels) for each in self.labels)

    def to_free(self, used: int, available: int) -> int | None:
        """Return how many bytes are to go of `used`, None where all that may go does.

        `available` is the room on the file system.
        """
        if not self.bounded:
            return None
        wanted = 0
        if self.most is not None:
            wanted = max(wanted, used - self.most)
        if self.free is not None:
            wanted = max(wanted, self.free - available)
        if self.most is None and self.free is None:
            wanted = used
        return max(0, min(wanted, used - (self.reserved or 0)))
