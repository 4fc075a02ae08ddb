"""Entering a user namespace: one `unshare`, then the first id map that can be had, the widest first.

    this process ── unshare ──► no ids at all ── map ──► root of its own ids
         └─ fork ─► outside: stays in the old namespace and writes the map from there, when told

A map may only be written once, and most only from outside, so whoever writes one waits outside beforehand.

Source: man 7 user_namespaces, "Defining user and group ID mappings"; man 1 newuidmap.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn, Protocol

from runtime.errors import Unsupported
from runtime.features import why_no_user_namespace
from runtime.idmap import IDENTITY, IdRanges, mapped, subordinate, with_own
from runtime.spec import IsolationName
from runtime.syscalls import CLONE_NEWNS, CLONE_NEWUSER, SyscallError, Syscalls

KINDS = ("uid", "gid")


class IdMap(Protocol):
    """A way to get an id map; made afresh for each attempt."""

    name: IsolationName
    ids: tuple[IdRanges, IdRanges]
    """The user and group ids, as the store is to know them."""

    def prepare(self) -> None:
        """Get ready, while the old namespace is still ours.

        Raises: Unsupported: it cannot be had here.
        """

    def write(self) -> None:
        """Write both maps of the namespace that has been entered, and let go of what was prepared.

        Raises: Unsupported: the kernel or a program refused.
        """

    def abandon(self) -> None:
        """Let go of what was prepared."""


def enter_with_first(maps: tuple[IdMap, ...], calls: Syscalls) -> tuple[IdMap, list[Unsupported]]:
    """Enter user and mount namespaces with the first of `maps` that can be had; return it, and why not those before.

    Raises: Unsupported: there is none; `notes` say why not each, where there are several.
    """
    refused: dict[IsolationName, Unsupported] = {}
    ready: list[IdMap] = []
    for one in maps:
        try:
            one.prepare()
        except Unsupported as error:
            refused[one.name] = error
        else:
            ready.append(one)
    if not ready:
        raise together([*refused.values()])
    try:
        calls.unshare(CLONE_NEWUSER | CLONE_NEWNS)
    except SyscallError as error:
        for one in ready:
            one.abandon()
        raise together([why_no_user_namespace(error), *refused.values()]) from error
    while ready:
        one = ready.pop(0)
        try:
            one.write()
        except Unsupported as error:
            refused[one.name] = error
            continue
        for other in ready:
            other.abandon()
        return one, [refused[each.name] for each in maps[: maps.index(one)]]
    raise together([*refused.values()])


def together(refused: list[Unsupported]) -> Unsupported:
    """Return one refusal for several; the hint is that of the first that has one."""
    if len(refused) == 1:
        return refused[0]
    hint = next((error.hint for error in refused if error.hint), None)
    each = [note for error in refused for note in (error.notes or (error.message,))]
    return Unsupported(
        "isolation", "none of the walls that were tried can be had", notes=tuple(each), hint=hint
    )


class AllIds:
    """Every id of the namespace around us stands for itself; root there writes that without the help of a program."""

    name = IsolationName.USERNS_ROOT
    ids = (IDENTITY, IDENTITY)

    def prepare(self) -> None:
        """Start what writes from outside."""
        if os.geteuid() != 0:
            raise Unsupported(_feature(self.name), "it needs user 0")
        target = os.getpid()
        self._writers = tuple(_Outside(_writing(target, kind)) for kind in KINDS)

    def write(self) -> None:
        """Have both maps written."""
        said = [writer.go() for writer in self._writers]
        if any(said):
            raise Unsupported(
                _feature(self.name),
                f"the id map was refused ({said[0] or said[1]})",
                hint="leave this container the capabilities SETUID, SETGID and SETFCAP, which Docker gives by default",
            )

    def abandon(self) -> None:
        """End the writers."""
        for writer in self._writers:
            writer.abandon()


def _writing(target: int, kind: str) -> Callable[[], None]:
    with open(f"/proc/self/{kind}_map", encoding="ascii") as file:
        ranges = mapped(file.read())
    lines = "".join(f"{inside} {inside} {count}\n" for inside, _, count in ranges)

    def write() -> None:
        descriptor = os.open(f"/proc/{target}/{kind}_map", os.O_WRONLY | os.O_CLOEXEC)
        os.write(descriptor, lines.encode())

    return write


class SubordinateIds:
    """One's own id is 0 and subordinate ids follow; the set-id programs newuidmap and newgidmap write that."""

    name = IsolationName.ROOTLESS
    ids: tuple[IdRanges, IdRanges]

    def prepare(self) -> None:
        """Look up the ids and start the programs, which wait."""
        uid, gid = os.geteuid(), os.getegid()
        self.ids = (
            with_own(uid, _subordinate_ids("uid", uid)),
            with_own(gid, _subordinate_ids("gid", uid)),
        )
        programs = [_find_program(f"new{kind}map") for kind in KINDS]
        target = str(os.getpid())
        self._runs = tuple(
            (program, _Outside(_executing(program, target, ranges)))
            for program, ranges in zip(programs, self.ids, strict=True)
        )

    def write(self) -> None:
        """Let both programs run."""
        for number, (program, outside) in enumerate(self._runs):
            said = outside.go()
            if said is not None:
                for _, other in self._runs[number + 1 :]:
                    other.abandon()
                raise Unsupported(
                    _feature(self.name),
                    f"`{program}` refused the id map: {said}",
                    hint="check that /etc/subuid and /etc/subgid are right and the program is set-id root",
                )

    def abandon(self) -> None:
        """End the programs before they ran."""
        for _, outside in self._runs:
            outside.abandon()


def _executing(program: str, target: str, ranges: IdRanges) -> Callable[[], None]:
    numbers = [str(number) for one in ranges for number in one]

    def execute() -> None:
        os.execv(program, [program, target, *numbers])  # noqa: S606 - no shell is wanted

    return execute


class OwnId:
    """One's own user and group are 0, and there is nobody else; nobody's help is needed."""

    name = IsolationName.SINGLE_ID
    ids: tuple[IdRanges, IdRanges]

    def prepare(self) -> None:
        """Note who one is; what supplementary groups are given up could otherwise be used to pass checks."""
        self.ids = (((0, os.geteuid(), 1),), ((0, os.getegid(), 1),))

    def write(self) -> None:
        """Write both maps from inside."""
        try:
            write_own_maps(*self.ids)
        except OSError as error:
            raise Unsupported(
                _feature(self.name), f"the id map was refused ({error.strerror})"
            ) from error

    def abandon(self) -> None:
        """Nothing was prepared."""


def write_own_maps(uids: IdRanges, gids: IdRanges) -> None:
    """Write the maps of the user namespace that this process has entered: one id each.

    Raises: OSError: they are not to be had, or there is no proc.
    """
    for name, ranges in (("setgroups", None), ("uid_map", uids), ("gid_map", gids)):
        text = "deny" if ranges is None else " ".join(map(str, ranges[0]))
        descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)


def _feature(name: IsolationName) -> str:
    return f"isolation `{name.value}`"


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
            _feature(IsolationName.ROOTLESS),
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
        _feature(IsolationName.ROOTLESS),
        f"the program `{name}` is missing",
        hint="as root, install the package `uidmap` (`shadow-utils` on Fedora)",
    )


class _Outside:
    """A process that stays outside of the user namespace which this one enters, and acts there when it is told."""

    def __init__(self, act: Callable[[], None]) -> None:
        ready, self._go = os.pipe()
        self._said, says = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            self._run(act, ready, says)
        os.close(ready)
        os.close(says)

    def _run(self, act: Callable[[], None], ready: int, says: int) -> NoReturn:
        code = 126
        try:
            os.close(self._go)
            if not os.read(ready, 1):
                os._exit(0)
            os.dup2(says, 1)
            os.dup2(says, 2)
            act()
            code = 0
        except OSError as error:
            os.write(2, os.fsencode(error.strerror or str(error)))
        finally:
            os._exit(code)

    def go(self) -> str | None:
        """Let it act and wait for its end; return why it failed, None where it did not."""
        os.write(self._go, b"1")
        os.close(self._go)
        with os.fdopen(self._said, errors="replace") as pipe:
            said = pipe.read(4096).strip()
        code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return None if code == 0 else said or f"it ended with code {code}"

    def abandon(self) -> None:
        """End without acting."""
        os.close(self._go)
        os.close(self._said)
        with suppress(ProcessLookupError):
            os.kill(self._pid, 9)
        os.waitpid(self._pid, 0)
