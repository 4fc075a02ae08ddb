"""Looks for bytes that must not be there in what a step wrote: contents, names, links and attributes of files."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import msgspec

from builder.layer.deep import DIRECTORY, objects_below, opened

_PIECE = 1 << 20
_ENOUGH = 4 << 10
"""Bytes: what begins like a needle for so long is taken for it."""
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


_TEXT = re.compile(rb"[A-Za-z0-9+/_=-]{40,2000}")
_LINE_BREAK = rb"(?:\r?\n)?"


def breakable(needle: bytes) -> bool:
    """Say whether a needle may be written on several lines, as programs write base64: wherever they like."""
    return _TEXT.fullmatch(needle) is not None


def pattern_of(needles: Sequence[bytes]) -> re.Pattern[bytes]:
    """Return what finds the needles, the first ones first."""
    return re.compile(
        b"|".join(
            _LINE_BREAK.join(re.escape(bytes((byte,))) for byte in needle)
            if breakable(needle)
            else re.escape(needle)
            for needle in needles
        )
    )


def most_written(needle: bytes) -> int:
    """Return how many bytes a needle takes at most; lines have ten characters at least."""
    return len(needle) * 6 // 5 + 2 if breakable(needle) else len(needle)


class FindLeaks(msgspec.Struct, frozen=True, kw_only=True):
    """Search the tree below a host path; `most` is how many paths are enough.

    What has not changed after `since`, in nanoseconds since the epoch, is passed over.
    """

    root: str
    needles: tuple[bytes, ...]
    since: int = 0
    most: int = 10


def find_leaks(
    arguments: object, fds: tuple[int, ...], report: Callable[[object], object]
) -> object:
    """Do `FindLeaks`, as a job.

    Returns: paths below the root, sorted, at most as many as asked for; stars stand for what must not be there.
    """
    del fds, report
    request = msgspec.convert(arguments, FindLeaks)
    if not request.needles:
        return []
    search = _Search(request.needles, request.since)
    root = os.open(request.root, DIRECTORY)
    try:
        return sorted(islice(search.below(root), request.most))
    finally:
        os.close(root)


class _Search:
    def __init__(self, needles: tuple[bytes, ...], since: int) -> None:
        self._since = since
        begun = tuple({needle[:_ENOUGH] for needle in needles})
        self._pattern = pattern_of(begun)
        self._overlap = max(map(most_written, begun)) - 1

    def below(self, root: int) -> Iterator[str]:
        """Yield the paths of what gives something away, below an open directory."""
        for names, status in objects_below(root):
            if status.st_ctime_ns < self._since:
                continue
            with opened(root, names[:-1]) as directory:
                if self._gives_away(directory, names[-1], status.st_mode):
                    # As text that can be passed on and printed, where the name is the secret, too.
                    path = self._pattern.sub(b"****", os.fsencode("/".join(("", *names))))
                    yield path.decode("utf-8", "replace")

    def _gives_away(self, directory: int, name: str, mode: int) -> bool:
        if self._pattern.search(os.fsencode(name)):
            return True
        if stat.S_ISLNK(mode):
            target = os.readlink(os.fsencode(name), dir_fd=directory)
            return self._pattern.search(target) is not None
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            return False
        descriptor = os.open(name, _FILE, dir_fd=directory)
        try:
            return self._in_attributes(descriptor) or (
                stat.S_ISREG(mode) and self._in_file(descriptor)
            )
        finally:
            os.close(descriptor)

    def _in_attributes(self, descriptor: int) -> bool:
        return any(
            self._pattern.search(os.fsencode(name) + b"\0" + os.getxattr(descriptor, name))
            for name in os.listxattr(descriptor)
            if not name.startswith(("user.overlay.", "trusted.overlay."))
        )

    def _in_file(self, descriptor: int) -> bool:
        kept = b""
        while piece := os.read(descriptor, _PIECE):
            text = kept + piece
            if self._pattern.search(text):
                return True
            kept = text[len(text) - self._overlap :] if self._overlap else b""
        return False
