"""Members of archives that are no layers: what people put into a tar, before it can be applied as one."""

from __future__ import annotations

import os

from builder.errors import LayerError
from builder.layer.read import Member

_HARD_LINK, _DIRECTORY = 0x31, 0x35
_ROOTS = frozenset({b"", b".", b"./", b"/"})


def tidy(member: Member) -> None:
    """Bring the names of a member into the shortest form, as other tools do before they look at them.

    Raises: LayerError: a name leads out of the archive, or begins with `.wh.`, which only means something in
        layers: there it removes a file.
    """
    if b".." in member.name:
        member.name = _shortest(member.name)
    if member.typeflag == _HARD_LINK and b".." in member.link:
        member.link = _shortest(member.link)
    if member.typeflag != _DIRECTORY and member.name in _ROOTS:
        # Where it is unpacked there is a directory already, which stays, whatever the archive calls its root.
        member.typeflag = _DIRECTORY
    if b".wh." in member.name and any(part.startswith(b".wh.") for part in member.name.split(b"/")):
        raise LayerError(
            f"it holds `{_shown(member.name)}`, and in an image such a name removes a file"
        )


def _shortest(name: bytes) -> bytes:
    """Return a name without `.` and `..`; above the root there is nothing, which an absolute name may say."""
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            if not parts and not name.startswith(b"/"):
                raise LayerError(f"it holds `{_shown(name)}`, which leads out of it")
            del parts[-1:]
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(parts) or b"."


def _shown(name: bytes) -> str:
    return os.fsdecode(name[:200])
