"""In what two layers differ, told from their entry lists: what counts for the cache, so no times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from builder.layer.entry import Entry, Kind, identity, sort_key


def differences(
    before: Iterable[Entry], after: Iterable[Entry]
) -> Iterator[tuple[Entry | None, Entry | None]]:
    """Yield the entries that are not the same in both lists, in their order; None for one that is not there."""
    old, new = iter(before), iter(after)
    left, right = next(old, None), next(new, None)
    while left is not None or right is not None:
        # Most are the same, and need no place in the order.
        if left is not None and right is not None and _are_one(left, right):
            if not _same(left, right):
                yield left, right
            left, right = next(old, None), next(new, None)
            continue
        if right is None or (left is not None and _place(left) < _place(right)):
            yield left, None
            left = next(old, None)
        else:
            yield None, right
            right = next(new, None)


def _are_one(left: Entry, right: Entry) -> bool:
    """Tell whether two entries are about one thing: a directory and its opaque mark have one path."""
    if left.path != right.path:
        return False
    return left.kind is right.kind or Kind.OPAQUE not in (left.kind, right.kind)


def _same(left: Entry, right: Entry) -> bool:
    if left == right:
        return True
    return identity(left) == identity(right)


def _place(entry: Entry) -> tuple[bytes, bool]:
    return sort_key(entry.path), entry.kind is Kind.OPAQUE


def how(before: Entry | None, after: Entry | None) -> str:
    """Say in a word or two what is different about a path."""
    if before is None or before.kind is Kind.WHITEOUT:
        return "added"
    if after is None or after.kind is Kind.WHITEOUT:
        return "removed"
    if before.kind is not after.kind:
        return f"{_word(before)}, now {_word(after)}"
    found: list[str] = []
    if before.digest != after.digest:
        found.append("content")
    if before.link != after.link or (before.major, before.minor) != (after.major, after.minor):
        found.append("target")
    if before.mode != after.mode:
        found.append(f"mode {before.mode:o}, now {after.mode:o}")
    if (before.uid, before.gid) != (after.uid, after.gid):
        found.append(f"owner {before.uid}:{before.gid}, now {after.uid}:{after.gid}")
    if before.xattrs != after.xattrs:
        found.append("attributes")
    return ", ".join(found) or "time"


def _word(entry: Entry) -> str:
    return entry.kind.name.lower()
