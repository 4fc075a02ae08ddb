"""Who `--chown` and USER name: ids from the passwd and group files of the image, never of the host.

Source: Dockerfile reference, "COPY --chown"; passwd(5), group(5).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from builder.errors import BuildError
from runtime.beneath import open_beneath

MAX_FILE = 10 << 20
"""Bytes of a passwd or group file that are read; larger ones are refused."""

MAX_ID = 2**32 - 2


def owner_ids(root_fd: int | None, owner: str) -> tuple[int, int]:
    """Return the ids of `user[:group]`; names are looked up below `root_fd` (None: an empty file system).

    A number without a group stands for both ids; a name takes its group from the passwd entry. A group that is
    left out after the colon is root's. `root` needs no entry: an image without users has it too.

    Raises: BuildError: `build.copy-failed`: no such name (with those that exist), or an id out of range.
    """
    user, colon, group = owner.partition(":")
    uid, gid = _user(root_fd, user)
    if colon:
        gid = _group(root_fd, group)
    return uid, gid


def _user(root_fd: int | None, user: str) -> tuple[int, int]:
    if not user:
        return 0, 0
    if user.isdecimal():
        number = _number(user)
        return number, number
    fields = _find(root_fd, "etc/passwd", user)
    if not fields and user == "root":
        return 0, 0
    if len(fields) < 4 or not (fields[2].isdecimal() and fields[3].isdecimal()):
        raise _unknown(root_fd, "user", "etc/passwd", user)
    return _number(fields[2]), _number(fields[3])


def _group(root_fd: int | None, group: str) -> int:
    if not group:
        return 0
    if group.isdecimal():
        return _number(group)
    fields = _find(root_fd, "etc/group", group)
    if not fields and group == "root":
        return 0
    if len(fields) < 3 or not fields[2].isdecimal():
        raise _unknown(root_fd, "group", "etc/group", group)
    return _number(fields[2])


def _number(text: str) -> int:
    if len(text) > 10 or int(text) > MAX_ID:
        raise BuildError(
            f"`{text[:20]}` is not a valid id",
            code="build.copy-failed",
            notes=(f"ids go from 0 to {MAX_ID}",),
        )
    return int(text)


def _find(root_fd: int | None, path: str, name: str) -> list[str]:
    for fields in _lines(root_fd, path):
        if fields[0] == name:
            return fields
    return []


def _lines(root_fd: int | None, path: str) -> Iterator[list[str]]:
    if root_fd is None:
        return
    try:
        # Not blocked by a FIFO, not led out by a link.
        fd = open_beneath(root_fd, path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FILE:
            raise BuildError(
                f"`/{path}` of the image cannot be used to look up names",
                code="build.copy-failed",
                notes=(f"it is no regular file of at most {MAX_FILE} bytes",),
                hint="use numeric ids",
            )
        data = file.read(MAX_FILE)
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        if line and not line.startswith("#"):
            yield line.split(":")


def _unknown(root_fd: int | None, kind: str, path: str, name: str) -> BuildError:
    names = [fields[0] for fields in _lines(root_fd, path)][:30]
    known = f"`/{path}` has: {', '.join(names)}" if names else f"the image has no `/{path}`"
    return BuildError(
        f"there is no {kind} `{name}` in the image",
        code="build.copy-failed",
        notes=(known,),
        hint=f"create the {kind} in an earlier RUN, or use a number",
    )
