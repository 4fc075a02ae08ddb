"""Which walls: chosen by trying, entered once by the launcher process, refused with a reason.

| name        | needs                                        | ids inside                         |
|-------------|----------------------------------------------|------------------------------------|
| `root`      | user 0 with CAP_SYS_ADMIN                    | those of the host                  |
| `rootless`  | user namespaces, newuidmap, subordinate ids  | 0 is the caller, 1… are subordinate |

The others have names already, so that a request for them is refused by name.
"""

from __future__ import annotations

import os
from typing import Protocol

import msgspec

from runtime.errors import Unsupported
from runtime.features import Features, probe, why_no_user_namespace
from runtime.idmap import IDENTITY, IdRanges, subordinate, with_own
from runtime.spec import IsolationName
from runtime.syscalls import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    SyscallError,
    Syscalls,
)

CONTAINER_NAMESPACES = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP
OWN_NETWORK = CLONE_NEWNET


class Walls(msgspec.Struct, frozen=True, kw_only=True):
    """The walls that stand: their name, the id maps and what plans may use behind them."""

    name: IsolationName
    uids: IdRanges
    gids: IdRanges
    features: Features


class Isolation(Protocol):
    """A kind of walls."""

    name: IsolationName

    def enter(self, syscalls: Syscalls) -> Walls:
        """Move this single-threaded process behind the walls, for good.

        Raises: Unsupported: this kernel or user does not allow it; nothing has been entered.
        """


class Root:
    """A private mount namespace; the ids of the host."""

    name = IsolationName.ROOT

    def enter(self, syscalls: Syscalls) -> Walls:
        """Unshare the mount namespace."""
        feature = "isolation `root`"
        if os.geteuid() != 0:
            raise Unsupported(
                feature, "it needs user 0", hint="leave out `--isolation`, or run as root"
            )
        try:
            syscalls.unshare(CLONE_NEWNS)
            syscalls.make_private()
        except SyscallError as error:
            raise Unsupported(
                feature,
                f"CAP_SYS_ADMIN is missing ({error})",
                hint="inside a container, add that capability (`--cap-add SYS_ADMIN`), or build as an ordinary user",
            ) from error
        features = probe(syscalls, own_ids=False)
        return Walls(name=self.name, uids=IDENTITY, gids=IDENTITY, features=features)


class Rootless:
    """A user namespace mapped with subordinate ids by the set-id programs newuidmap and newgidmap."""

    name = IsolationName.ROOTLESS

    def enter(self, syscalls: Syscalls) -> Walls:
        """Unshare user and mount namespaces and have the maps written from outside."""
        uid, gid = os.geteuid(), os.getegid()
        uids = with_own(uid, _subordinate_ids("uid", uid))
        gids = with_own(gid, _subordinate_ids("gid", uid))
        programs = [_find_program(name) for name in ("newuidmap", "newgidmap")]
        helpers = (_Mapper(programs[0], uids), _Mapper(programs[1], gids))
        try:
            syscalls.unshare(CLONE_NEWUSER | CLONE_NEWNS)
        except SyscallError as error:
            for helper in helpers:
                helper.abandon()
            raise why_no_user_namespace(error) from error
        for helper in helpers:
            helper.write()
        try:
            syscalls.make_private()
        except SyscallError as error:
            # Where a security module allows a user namespace and then gives it no capabilities.
            raise why_no_user_namespace(error) from error
        features = probe(syscalls, own_ids=True)
        return Walls(name=self.name, uids=uids, gids=gids, features=features)


_KINDS: dict[IsolationName, Isolation] = {
    IsolationName.ROOT: Root(),
    IsolationName.ROOTLESS: Rootless(),
}


def enter(name: IsolationName, syscalls: Syscalls) -> Walls:
    """Enter the walls called `name`; `auto` takes the strongest that can be entered.

    Raises: Unsupported: with what was tried and what would allow it.
    """
    if name is not IsolationName.AUTO:
        kind = _KINDS.get(name)
        if kind is None:
            raise Unsupported(
                f"isolation `{name.value}`",
                "it is not available in this version",
                hint="use `--isolation auto`, `root` or `rootless`",
            )
        return kind.enter(syscalls)
    if os.geteuid() != 0:
        return _KINDS[IsolationName.ROOTLESS].enter(syscalls)
    try:
        return _KINDS[IsolationName.ROOT].enter(syscalls)
    except Unsupported as refused:
        try:
            return _KINDS[IsolationName.ROOTLESS].enter(syscalls)
        except Unsupported as also:
            raise Unsupported(
                "isolation", f"{refused.message}; {also.message}", hint=refused.hint
            ) from also


def _subordinate_ids(kind: str, uid: int) -> tuple[tuple[int, int], ...]:
    """Return the ranges of /etc/subuid or /etc/subgid that belong to user `uid`; both files go by user."""
    import pwd

    path = f"/etc/sub{kind}"
    try:
        login: str | None = pwd.getpwuid(uid).pw_name
    except KeyError:
        login = None
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(1 << 20)
    except OSError:
        text = ""
    ranges = subordinate(text, login, uid)
    if not ranges:
        who = login or str(uid)
        raise Unsupported(
            "isolation `rootless`",
            f"`{path}` gives no subordinate ids to `{who}`",
            hint=f"as root, run `usermod --add-sub{kind}s 100000-165535 {who}`",
        )
    return ranges


def _find_program(name: str) -> str:
    for directory in (*os.get_exec_path(), "/usr/bin", "/usr/sbin", "/bin"):
        path = f"{directory}/{name}"
        if os.access(path, os.X_OK):
            return path
    raise Unsupported(
        "isolation `rootless`",
        f"the program `{name}` is missing",
        hint="as root, install the package `uidmap` (`shadow-utils` on Fedora)",
    )


class _Mapper:
    """Runs newuidmap or newgidmap on this process from outside the user namespace that it is about to enter."""

    def __init__(self, program: str, ranges: IdRanges) -> None:
        self._program = program
        self._ranges = ranges
        target = os.getpid()
        ready, self._go = os.pipe()
        self._said, says = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            self._run(target, ready, says)
        os.close(ready)
        os.close(says)

    def _run(self, target: int, ready: int, says: int) -> None:
        try:
            os.close(self._go)
            if not os.read(ready, 1):
                os._exit(0)
            os.dup2(says, 1)
            os.dup2(says, 2)
            numbers = [str(number) for one in self._ranges for number in one]
            os.execv(self._program, [self._program, str(target), *numbers])  # noqa: S606 - no shell is wanted
        finally:
            os._exit(126)

    def write(self) -> None:
        """Let the program write the map and wait for it."""
        os.write(self._go, b"1")
        os.close(self._go)
        with os.fdopen(self._said, errors="replace") as pipe:
            said = pipe.read(4096).strip()
        code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        if code != 0:
            raise Unsupported(
                "isolation `rootless`",
                f"`{self._program}` refused the id map: {said or f'it ended with code {code}'}",
                hint="check that /etc/subuid and /etc/subgid are right and the program is set-id root",
            )

    def abandon(self) -> None:
        """End without writing."""
        os.close(self._go)
        os.close(self._said)
        os.kill(self._pid, 9)
        os.waitpid(self._pid, 0)
