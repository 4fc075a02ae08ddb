"""Several sources of one copy as one ordered stream."""

from __future__ import annotations

import heapq
import os
import stat
from collections.abc import Iterable, Iterator

from builder.errors import BuildError
from builder.layer.entry import sort_key
from builder.source.stream import Object, Origin

_Head = tuple[bytes, int, Object, Iterator[Object]]


def merged(streams: list[Iterable[Object]]) -> Iterator[Object]:
    """Yield the objects of all streams by path; of several for one path the last source's, once.

    Directories for one path are one directory; one that an archive only implies says nothing. No stream advances before its object has been dealt with.

    Raises: BuildError: `build.copy-failed`: one path is a file in one source, a directory in another.
    """
    heads: list[_Head] = []
    for index, stream in enumerate(streams):
        _advance(heads, index, iter(stream))
    while heads:
        group = [heapq.heappop(heads)]
        while heads and heads[0][0] == group[0][0]:
            group.append(heapq.heappop(heads))
        objects = [found for _, _, found, _ in group]
        directories = sum(stat.S_ISDIR(found.status.st_mode) for found in objects)
        if 0 < directories < len(objects):
            raise BuildError(
                f"two sources give `/{os.fsdecode(objects[0].path)}`: one a file, one a directory",
                code="build.copy-failed",
            )
        listed = [found for found in objects if found.origin is not Origin.IMPLIED]
        yield listed[-1] if listed else objects[-1]
        for _, index, _, stream in group:
            _advance(heads, index, stream)


def _advance(heads: list[_Head], index: int, stream: Iterator[Object]) -> None:
    found = next(stream, None)
    if found is not None:
        heapq.heappush(heads, (sort_key(found.path), index, found, stream))
