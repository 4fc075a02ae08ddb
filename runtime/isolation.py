"""Which walls: chosen by trying, entered once by the launcher process, refused with a reason.

| name          | needs                                        | ids inside                          |
|---------------|----------------------------------------------|-------------------------------------|
| `root`        | user 0 with CAP_SYS_ADMIN                    | those of the host                   |
| `userns-root` | user 0, user namespaces                      | those of the host                   |
| `rootless`    | user namespaces, newuidmap, subordinate ids  | 0 is the caller, 1… are subordinate |
| `single-id`   | user namespaces                              | 0 is the caller, and no other       |
| `chroot`      | user 0 with CAP_SYS_CHROOT                   | those of the host; there is no wall |

The table stands in the order of strength; `auto` takes the first that can be had, and never `chroot`.
"""

from __future__ import annotations

import os
from typing import assert_never

import msgspec

from runtime.errors import Unsupported
from runtime.features import (
    Features,
    last_capability,
    probe,
    status_field,
    why_no_user_namespace,
)
from runtime.idmap import IDENTITY, IdRanges
from runtime.spec import IsolationName
from runtime.syscalls import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUTS,
    SyscallError,
    Syscalls,
)
from runtime.user_namespace import AllIds, IdMap, OwnId, SubordinateIds, enter_with_first, together

CONTAINER_NAMESPACES = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP
OWN_NETWORK = CLONE_NEWNET

_MAPS: dict[IsolationName, type[IdMap]] = {
    IsolationName.USERNS_ROOT: AllIds,
    IsolationName.ROOTLESS: SubordinateIds,
    IsolationName.SINGLE_ID: OwnId,
}
"""The walls that are user namespaces, the strongest first."""


class Walls(msgspec.Struct, frozen=True, kw_only=True):
    """The walls that stand: their name, the id maps and what plans may use behind them.

    `passed_over` says of each stronger kind why it cannot be had, `weaker` what one should know of these.
    """

    name: IsolationName
    uids: IdRanges
    gids: IdRanges
    features: Features
    passed_over: tuple[str, ...] = ()

    @property
    def weaker(self) -> tuple[str, ...]:
        """What is weaker than behind the strongest walls, in whole sentences."""
        found = list(_WEAKER.get(self.name, ()))
        if not self.features.fresh_proc:
            found.append(
                "the container around us hides parts of its /proc, so that steps are shown its processes, and those of other steps"
            )
        return tuple(found)


_WEAKER = {
    IsolationName.SINGLE_ID: (
        "there is one user id: owners of files and directories are remembered beside them, those of links and of what `cp` and `mv` copy are root's",
        "programs of different users are not kept apart",
    ),
    IsolationName.CHROOT: (
        "there is no wall: a step may do to this machine, or container, whatever root may",
    ),
}


def enter(name: IsolationName, calls: Syscalls) -> Walls:
    """Move this single-threaded process behind the walls called `name`, for good; `auto` takes the strongest.

    Raises: Unsupported: with what was tried and what would allow it. Then this process is of no further use.
    """
    match name:
        case IsolationName.AUTO:
            return _enter_strongest(calls)
        case IsolationName.ROOT:
            return _enter_root(calls)
        case IsolationName.USERNS_ROOT | IsolationName.ROOTLESS | IsolationName.SINGLE_ID:
            return _enter_user_namespace((_MAPS[name](),), calls, [])
        case IsolationName.CHROOT:
            return _enter_chroot(calls)
        case _ as unreachable:
            assert_never(unreachable)


def _enter_strongest(calls: Syscalls) -> Walls:
    refused: list[Unsupported] = []
    maps = tuple(kind() for kind in _MAPS.values())
    if os.geteuid() == 0:
        try:
            return _enter_root(calls)
        except Unsupported as error:
            refused.append(error)
    else:
        maps = tuple(one for one in maps if one.name is not IsolationName.USERNS_ROOT)
    try:
        return _enter_user_namespace(maps, calls, refused)
    except Unsupported as error:
        if not refused:
            raise
        every = together([*refused, error])
        every.hint = f"{every.hint}; without walls, Dockerfiles that you trust can be built with `--isolation chroot` or LAPSTRAKE_ISOLATION=chroot"
        raise every from error


def _enter_root(calls: Syscalls) -> Walls:
    feature = "isolation `root`"
    if os.geteuid() != 0:
        raise Unsupported(
            feature, "it needs user 0", hint="leave out `--isolation`, or run as root"
        )
    try:
        calls.unshare(CLONE_NEWNS)
        calls.make_private()
        calls.close(calls.new_mount("tmpfs"))
    except SyscallError as error:
        raise Unsupported(
            feature,
            f"CAP_SYS_ADMIN is missing, or mounts are forbidden ({error})",
            hint="inside a container, add that capability (`--cap-add SYS_ADMIN`), or allow user namespaces there",
        ) from error
    features = probe(calls, own_ids=False)
    return Walls(name=IsolationName.ROOT, uids=IDENTITY, gids=IDENTITY, features=features)


def _enter_user_namespace(
    maps: tuple[IdMap, ...], calls: Syscalls, refused: list[Unsupported]
) -> Walls:
    chosen, weaker = enter_with_first(maps, calls)
    try:
        calls.make_private()
        calls.close(calls.new_mount("tmpfs"))
    except SyscallError as error:
        # Where a security module allows a user namespace and then gives it no capabilities.
        raise why_no_user_namespace(error) from error
    calls.single_id = chosen.name is IsolationName.SINGLE_ID
    return Walls(
        name=chosen.name,
        uids=chosen.ids[0],
        gids=chosen.ids[1],
        features=probe(calls, own_ids=True, single_id=calls.single_id),
        passed_over=tuple(_said(error) for error in (*refused, *weaker)),
    )


def _enter_chroot(calls: Syscalls) -> Walls:
    """Enter nothing: make sure that steps can have a root directory of their own."""
    feature = "isolation `chroot`"
    if os.geteuid() != 0:
        raise Unsupported(feature, "it needs user 0", hint="leave out `--isolation`")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.chroot("/")
            code = 0
        finally:
            os._exit(code)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
        raise Unsupported(
            feature,
            "CAP_SYS_CHROOT is missing",
            hint="leave the container that capability, which Docker gives by default",
        )
    calls.become_subreaper()
    features = Features(
        chroot=True,
        filtered=status_field("Seccomp") == "2",
        last_capability=last_capability(),
        machine=os.uname().machine,
    )
    return Walls(name=IsolationName.CHROOT, uids=IDENTITY, gids=IDENTITY, features=features)


def _said(error: Unsupported) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message
