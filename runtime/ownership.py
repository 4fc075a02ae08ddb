"""How an owner that cannot be given is remembered beside a file."""

from __future__ import annotations

ATTRIBUTE = "user.lapstrake.owner"
"""Its value is `UID:GID`."""

_HIGHEST = 2**32 - 2


def owner_of(text: bytes) -> tuple[int, int] | None:
    """Return the owner that an attribute tells, None where it tells nothing that could be one."""
    uid, colon, gid = text.partition(b":")
    if not colon or not all(part.isdigit() and len(part) < 11 for part in (uid, gid)):
        return None
    owner = (int(uid), int(gid))
    return owner if max(owner) <= _HIGHEST else None
