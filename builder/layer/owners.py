"""Whose a file is, also where there is one id alone and owners can only be remembered beside the file.

There an attribute of the file tells its owner; files without one are root's. It is written when layers are unpacked and
copied, and for steps by the launcher's recorder. Links and special files cannot have it: their entry lists alone tell.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from runtime.ownership import ATTRIBUTE, owner_of

_recorded: bool | None = None


def recorded() -> bool:
    """Tell whether this process knows one id alone, so that owners are remembered, not given."""
    global _recorded  # noqa: PLW0603 - asking the kernel once per process
    if _recorded is None:
        _recorded = _one_id()
    return _recorded


def _one_id() -> bool:
    from runtime.idmap import mapped, total

    try:
        with open("/proc/self/uid_map", encoding="ascii") as file:
            return total(mapped(file.read())) == 1
    except OSError:
        return False


def seen(status: os.stat_result, fd: int) -> os.stat_result:
    """Return what `fstat` said of an open file or directory, with its owner as remembered."""
    return _with_owner(status, fd) if recorded() else status


def seen_at(status: os.stat_result, directory: int, name: bytes | str) -> os.stat_result:
    """Return what `lstat` said of a name in a directory, with its owner as remembered."""
    if not recorded() or not _can_have(status):
        return status
    return _with_owner(status, f"/proc/self/fd/{directory}/{os.fsdecode(name)}")


def _can_have(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)


def _with_owner(status: os.stat_result, place: int | str) -> os.stat_result:
    try:
        owner = owner_of(os.getxattr(place, ATTRIBUTE))
    except OSError:
        return status
    return status if owner is None else with_owner(status, owner)


def settled(
    status: os.stat_result,
    fd: int,
    *,
    user: tuple[int, int],
    before: tuple[int, int] | None,
    replaced: bool,
) -> os.stat_result:
    """Return what `fstat` said of a file or directory that a step wrote, with the owner that it has from now on.

    Where owners are remembered: what is new and was given to nobody is the `user`'s, as whom the step ran. `before` is the
    owner of what was at its path, None if nothing was. A file that `replaced` another and is root's gets that one's owner:
    programs that write a file anew make it as they saw the old one, and what they saw was root.
    """
    if not recorded():
        return status
    found = seen(status, fd)
    owner = wanted = (found.st_uid, found.st_gid)
    if before is None:
        wanted = user if found is status else owner
    elif replaced and owner == (0, 0):
        wanted = before
    if wanted == owner:
        return found
    give(fd, *wanted)  # for the steps and copies to come
    return with_owner(found, wanted)


def with_owner(status: os.stat_result, owner: tuple[int, int]) -> os.stat_result:
    """Return a status that tells another owner."""
    first = list(status[:10])
    first[4:6] = owner
    more = {name: getattr(status, name) for name in dir(status) if name.startswith("st_")}
    return os.stat_result(first, more)


def give(fd: int, uid: int, gid: int) -> None:
    """Make an open file or directory somebody's.

    Raises: OSError: there is no such id here.
    """
    if not recorded():
        os.fchown(fd, uid, gid)
        return
    with suppress(OSError):  # none is remembered, or the file system has no attributes
        if (uid, gid) == (0, 0):
            os.removexattr(fd, ATTRIBUTE)
        else:
            os.setxattr(fd, ATTRIBUTE, b"%d:%d" % (uid, gid))


def give_at(name: bytes | str, uid: int, gid: int, *, directory: int) -> None:
    """Make a link or special file somebody's; it is not remembered.

    Raises: OSError: there is no such id here.
    """
    if not recorded():
        os.chown(name, uid, gid, dir_fd=directory, follow_symlinks=False)


def noted(path: str) -> tuple[int, int]:
    """Return the user and group that a step ran as, which it left word of in a file; root, if it did not."""
    try:
        with open(path, "rb") as file:
            return owner_of(file.read(64)) or (0, 0)
    except OSError:
        return (0, 0)
