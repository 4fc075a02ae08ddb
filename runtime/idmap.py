"""Which ids of the host stand behind the ids inside a user namespace.

A map is a tuple of ranges `(first inside, first on the host, count)`. Without privileges, one's own id becomes 0
and the subordinate ids of /etc/subuid and /etc/subgid follow from 1 on.

Source: man 5 subuid, man 1 newuidmap, man 7 user_namespaces.
"""

from __future__ import annotations

IdRanges = tuple[tuple[int, int, int], ...]

IDENTITY: IdRanges = ((0, 0, 2**32 - 1),)

_MOST_RANGES = 339
"""The kernel takes 340 lines, one of which is one's own id."""


def subordinate(text: str, login: str | None, number: int) -> tuple[tuple[int, int], ...]:
    """Return the ranges `(first, count)` which a subuid or subgid file gives to a user, by name or by number."""
    ranges = []
    for line in text.splitlines():
        fields = line.strip().split(":")
        if len(fields) != 3 or fields[0] not in {login, str(number)}:
            continue
        if fields[1].isdecimal() and fields[2].isdecimal() and int(fields[2]) > 0:
            ranges.append((int(fields[1]), int(fields[2])))
    return tuple(dict.fromkeys(ranges))[:_MOST_RANGES]


def mapped(text: str) -> IdRanges:
    """Return the ranges of a map as the kernel shows it, `/proc/self/uid_map`."""
    found = []
    for line in text.splitlines():
        inside, outside, count = line.split()
        found.append((int(inside), int(outside), int(count)))
    return tuple(found)


def with_own(own: int, ranges: tuple[tuple[int, int], ...]) -> IdRanges:
    """Return the map in which `own` is 0 and `ranges` follow one another."""
    result = [(0, own, 1)]
    inside = 1
    for first, count in ranges:
        result.append((inside, first, count))
        inside += count
    return tuple(result)


def total(ranges: IdRanges) -> int:
    """Return how many ids a map has."""
    return sum(count for _, _, count in ranges)
