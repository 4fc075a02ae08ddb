"""In what the trees differ that two stacks of layers make, told from the layers' entry lists.

What both have at their bottom is only looked into where the layers above it, which differ, say something:

    keys in order  ◄── the lists above what is shared, merged
        │              + what a shared list has below a directory that one of the two hides
        ▼
    one path: what each stack shows there ──► nothing, if that is the same
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import msgspec

from builder.layer.entry import Entry, Kind, identity, sort_key
from builder.layer.listed import EntryList

Pair = tuple[Entry | None, Entry | None]
"""What is at a path in either tree; None for nothing."""

_Found = tuple[int, Entry]


def stack_differences(
    before: Sequence[str], after: Sequence[str], *, times: bool = False
) -> Iterator[Pair]:
    """Yield what is not the same in the trees of two stacks, by path in order; each list is a host path, the lowest first.

    Another name of a file is given as that file, with the name that it shares its inode with in `link`. Of a
    directory that is in one tree only, all that is below it is given too. Times count if asked for.

    Raises: StoreError: a list is damaged. OSError: it is not there.
    """
    shared = common(before, after)
    if shared == len(before) == len(after):
        return
    with ExitStack() as stack:

        def opened(paths: Sequence[str]) -> list[EntryList]:
            lists = [EntryList(path) for path in paths]
            for each in lists:
                stack.callback(each.close)
            return lists

        base = opened(before[:shared])
        uppers = (opened(before[shared:]), opened(after[shared:]))
        yield from _Comparison(base, uppers, times=times).run()


def common(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many items two sequences have in common at their beginning."""
    shared = 0
    while shared < min(len(one), len(other)) and one[shared] == other[shared]:
        shared += 1
    return shared


class _Place(msgspec.Struct):
    """A directory on the way to a path: the lowest layer that shows through it on either side, and whether all
    of the shared lists below it are among what is merged.
    """

    prefix: bytes
    floors: tuple[int, int]
    merged: bool


class _Comparison:
    def __init__(
        self,
        base: list[EntryList],
        uppers: tuple[list[EntryList], list[EntryList]],
        *,
        times: bool,
    ) -> None:
        self._base = base
        self._sides = ([*base, *uppers[0]], [*base, *uppers[1]])
        self._times = times
        self._heap: list[tuple[bytes, int, Entry, Iterator[Entry]]] = []
        self._origins: list[tuple[int | None, int]] = []
        self._places: list[_Place] = []
        for side in (0, 1):
            for index, each in enumerate(uppers[side]):
                self._merge(side, len(base) + index, each.entries())

    def _merge(self, side: int | None, index: int, entries: Iterator[Entry]) -> None:
        """Add a list, or a part of one, to what is merged; without a side it is of both."""
        first = next(entries, None)
        if first is not None:
            self._origins.append((side, index))
            item = (sort_key(first.path), len(self._origins) - 1, first, entries)
            heapq.heappush(self._heap, item)

    def run(self) -> Iterator[Pair]:
        while self._heap:
            key, path, found = self._next()
            self._approach(key, path)
            pair = self._settle(key, path, found)
            if pair is not None:
                yield pair

    def _next(self) -> tuple[bytes, bytes, tuple[list[_Found], list[_Found]]]:
        """Take all that the merged lists say of the next path."""
        heap = self._heap
        key, path = heap[0][0], heap[0][2].path
        found: tuple[list[_Found], list[_Found]] = ([], [])
        while heap and heap[0][0] == key:
            _, number, entry, entries = heap[0]
            side, index = self._origins[number]
            for each in (0, 1) if side is None else (side,):
                found[each].append((index, entry))
            following = next(entries, None)
            if following is None:
                heapq.heappop(heap)
            else:
                heapq.heapreplace(heap, (sort_key(following.path), number, following, entries))
        return key, path, found

    def _approach(self, key: bytes, path: bytes) -> None:
        """Come to the directory that a path is in, past those above it."""
        places = self._places
        while places and not key.startswith(places[-1].prefix):
            places.pop()
        components = path.split(b"/") if path else []
        if not places and path:
            self._settle(b"", b"", ([], []))
        for count in range(len(places), len(components)):
            above = b"/".join(components[:count])
            self._settle(sort_key(above), above, ([], []))

    def _settle(
        self, key: bytes, path: bytes, found: tuple[list[_Found], list[_Found]]
    ) -> Pair | None:
        """Find what is at a path, and remember what is hidden below it; return the pair if it differs."""
        above = self._places[-1] if self._places else _Place(b"", (0, 0), merged=False)
        if not above.merged and min(above.floors) < len(self._base):
            for index, each in enumerate(self._base):
                there = [(index, entry) for entry in each.find(path)]
                found[0].extend(there)
                found[1].extend(there)
        (one, floor), (other, second) = (
            _visible(found[side], above.floors[side]) for side in (0, 1)
        )
        merged = above.merged
        if not merged and (floor < len(self._base)) != (second < len(self._base)):
            merged = True
            for index, each in enumerate(self._base):
                self._merge(None, index, each.below(path))
        self._places.append(_Place(key + b"\0" if path else b"", (floor, second), merged))
        return self._differing(one, other)

    def _differing(self, one: _Found | None, other: _Found | None) -> Pair | None:
        if one is None or other is None:
            if one is other:
                return None
            return self._resolved(0, one), self._resolved(1, other)
        if one[1] == other[1] and (one[1].kind is not Kind.HARDLINK or self._same_list(one, other)):
            return None
        before, after = self._resolved(0, one), self._resolved(1, other)
        assert before is not None
        assert after is not None
        if identity(before) == identity(after) and not (
            self._times and before.mtime != after.mtime
        ):
            return None
        return before, after

    def _same_list(self, one: _Found, other: _Found) -> bool:
        return self._sides[0][one[0]] is self._sides[1][other[0]]

    def _resolved(self, side: int, found: _Found | None) -> Entry | None:
        """Return an entry with all that another name of the same file says of it."""
        if found is None or found[1].kind is not Kind.HARDLINK:
            return None if found is None else found[1]
        index, entry = found
        for file in self._sides[side][index].find(entry.link):
            if file.kind is not Kind.OPAQUE:
                return msgspec.structs.replace(file, path=entry.path, link=entry.link)
        return entry


def _visible(found: list[_Found], floor: int) -> tuple[_Found | None, int]:
    """Return what of the entries of one path is shown, and the lowest layer that shows below it."""
    top: _Found | None = None
    for index, entry in sorted(found, key=lambda each: (each[0], each[1].kind), reverse=True):
        if index < floor:
            break
        if entry.kind is Kind.OPAQUE:
            floor = index
        elif entry.kind is Kind.DIRECTORY:
            top = top or (index, entry)
        else:
            floor = index + 1
            if top is None and entry.kind is not Kind.WHITEOUT:
                top = (index, entry)
            break
    return top, floor
