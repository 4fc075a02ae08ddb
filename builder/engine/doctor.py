"""What this host can do and cannot: each thing with the reason, what its lack costs, and the one thing to change."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable

import msgspec

from builder.engine import platforms
from builder.engine.findings import Finding
from builder.settings import Settings
from runtime.checkup import (
    LIMITS,
    WALLS,
    Attempt,
    try_behind,
    try_filter,
    try_limits,
    try_own_network,
    try_private_network,
    try_walls,
)
from runtime.spec import IsolationName

_GIB = 1 << 30
_LITTLE = 2 * _GIB
_FEW_INODES = 50_000
"""About what a large image and a build on it take."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All findings; `isolation` is what `auto` takes, "" if it finds nothing."""

    isolation: str
    findings: tuple[Finding, ...]

    @property
    def can_build(self) -> bool:
        """Whether a RUN can be executed here without asking for anything special."""
        return all(each.ok for each in self.findings if each.needed)


def examine(settings: Settings) -> Report:
    """Try everything; call it while this process has one thread."""
    walls: dict[IsolationName, Attempt] = {name: try_walls(name) for name in WALLS}
    strongest = next(
        (name for name in WALLS if walls[name].ok and name is not IsolationName.CHROOT), None
    )
    wanted = settings.isolation
    taken = strongest if wanted is IsolationName.AUTO else wanted if walls[wanted].ok else None
    findings = [
        *_kernel(),
        *_walls(walls, taken, try_walls(IsolationName.AUTO)),
        *_inside(walls, taken),
        *_network(taken),
        *_limits(taken),
        *_store(settings, taken),
        *_programs(),
        *platforms.examine(_place(settings.root), taken),
    ]
    return Report(isolation="" if taken is None else taken.value, findings=tuple(findings))


def _kernel() -> Iterable[Finding]:
    release = os.uname().release
    numbers = tuple(int(each) for each in release.split(".")[:2] if each.isdecimal())
    ok = numbers >= (5, 12)
    yield Finding(
        group="kernel",
        name=f"Linux {release}",
        ok=ok,
        reason="" if ok else "5.12 or newer is needed",
        cost="" if ok else "no step can be run",
        change="" if ok else "run a newer kernel",
        needed=True,
    )


def _walls(
    walls: dict[IsolationName, Attempt], taken: IsolationName | None, automatic: Attempt
) -> Iterable[Finding]:
    yield Finding(
        group="walls",
        name="auto",
        ok=taken is not None,
        reason=f"takes `{taken.value}`" if taken is not None else automatic.reason,
        cost="" if taken is not None else "RUN is refused; what only copies can still be built",
        change="" if taken is not None else automatic.hint or _last_resort(walls),
        needed=True,
    )
    for name, attempt in walls.items():
        yield Finding(
            group="walls",
            name=name.value,
            ok=attempt.ok,
            reason=_said_of(name, attempt),
            cost="" if attempt.ok else _cost_of(name, taken),
            change="" if attempt.ok or _is_weaker(name, taken) else _hint_for(name, walls),
        )


def _hint_for(name: IsolationName, walls: dict[IsolationName, Attempt]) -> str:
    """Return what would help most: ids are of no use where there are no user namespaces at all."""
    simplest = walls[IsolationName.SINGLE_ID]
    if name is IsolationName.ROOTLESS and not simplest.ok:
        return simplest.hint
    return walls[name].hint


def _is_weaker(name: IsolationName, taken: IsolationName | None) -> bool:
    return taken is not None and WALLS.index(taken) < WALLS.index(name)


def _cost_of(name: IsolationName, taken: IsolationName | None) -> str:
    if taken is None:
        return (
            "" if name is IsolationName.CHROOT else "RUN is refused, as nothing else works either"
        )
    if _is_weaker(name, taken):
        return f"nothing, as `{taken.value}` works"
    return f"`{taken.value}` is taken instead"


def _said_of(name: IsolationName, attempt: Attempt) -> str:
    if name is IsolationName.CHROOT and attempt.ok:
        return "no wall against a hostile step: only with `--isolation chroot`"
    return attempt.reason


def _last_resort(walls: dict[IsolationName, Attempt]) -> str:
    if walls[IsolationName.CHROOT].ok:
        return "for Dockerfiles that you trust, `--isolation chroot` works here"
    return ""


def _inside(walls: dict[IsolationName, Attempt], taken: IsolationName | None) -> Iterable[Finding]:
    if taken is None or taken is IsolationName.CHROOT:
        return
    facts = walls[taken].facts
    yield _fact(
        facts,
        "layers_one_by_one",
        name="layers one by one",
        reason="the kernel is older than 6.7",
        cost="stages of many layers take a little longer to mount",
        change="run a newer kernel",
    )
    yield _fact(
        facts,
        "fresh_proc",
        name="a fresh /proc",
        reason="a container around this one hides parts of /proc",
        cost="steps see /proc of the container around them",
        change="run that container with `--security-opt systempaths=unconfined`",
    )
    attempt = try_filter(taken)
    yield Finding(
        group="walls",
        name="system call filter",
        ok=attempt.ok,
        reason=attempt.reason,
        cost="" if attempt.ok else "a hostile step can ask more of the kernel",
        change=attempt.hint,
    )


def _fact(
    facts: dict[str, bool], key: str, *, name: str, reason: str, cost: str, change: str
) -> Finding:
    ok = facts.get(key, True)
    return Finding(
        group="walls",
        name=name,
        ok=ok,
        reason="" if ok else reason,
        cost="" if ok else cost,
        change="" if ok else change,
    )


_NO_WALLS = Attempt(ok=False, reason="there are no walls", hint="see `auto`")
_OTHER_WALLS = "build behind other walls"
_WITHOUT_LIMIT = {
    "memory": "`--memory` limits each process of a step alone",
    "cpu": "`--cpu-shares`, `--cpu-period` and `--cpu-quota` do nothing but warn",
    "cpuset": "`--cpuset-cpus` is only where a step begins, `--cpuset-mems` only warns",
    "pids": "`--resource pids=` counts all that you run behind the walls, and for root nothing",
}


def _network(taken: IsolationName | None) -> Iterable[Finding]:
    attempt = try_own_network(taken) if taken is not None else _NO_WALLS
    yield Finding(
        group="network",
        name="none",
        ok=attempt.ok,
        reason=attempt.reason,
        cost="" if attempt.ok else "`--network none` is refused",
        change="" if attempt.ok else attempt.hint or _OTHER_WALLS,
    )
    attempt = try_private_network(taken) if taken is not None and attempt.ok else attempt
    yield Finding(
        group="network",
        name="private",
        ok=attempt.ok,
        reason=attempt.reason,
        cost="" if attempt.ok else "`--network private` is refused",
        change="" if attempt.ok else attempt.hint or _OTHER_WALLS,
    )


def _limits(taken: IsolationName | None) -> Iterable[Finding]:
    attempts = try_limits(taken) if taken is not None else dict.fromkeys(LIMITS, _NO_WALLS)
    for name, attempt in attempts.items():
        yield Finding(
            group="limits",
            name=name,
            ok=attempt.ok,
            reason=attempt.reason,
            cost="" if attempt.ok else _WITHOUT_LIMIT[name],
            change="" if attempt.ok else attempt.hint or _groups_hint(),
        )


def _groups_hint() -> str:
    if os.geteuid() == 0:
        return "mount control groups writable here; a container needs `--privileged` for that"
    return "build as root, or have control groups delegated to you (`Delegate=yes` of systemd)"


def _store(settings: Settings, taken: IsolationName | None) -> Iterable[Finding]:
    root = settings.root
    place = _place(root)
    refused = ""
    if not os.path.isdir(place):
        refused = f"`{place}` is no directory"
    elif not os.access(place, os.W_OK | os.X_OK):
        refused = f"`{place}` cannot be written to"
    yield Finding(
        group="store",
        name=root,
        ok=not refused,
        reason=refused,
        cost="nothing can be built" if refused else "",
        change="name another place with `--root DIR` or LAPSTRAKE_ROOT" if refused else "",
        needed=True,
    )
    if refused:
        return
    yield from _room(root, place)
    if taken is not None:
        yield _stacked(place, taken)


def _place(root: str) -> str:
    """Return what is there of the way to a store."""
    place = root
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    return place


def _room(root: str, place: str) -> Iterable[Finding]:
    status = os.statvfs(place)
    free = status.f_bavail * status.f_frsize
    change = (
        "make room with `lapstrake prune -a`"
        if os.path.exists(f"{root}/store.json")
        else "make room there, or name another place with `--root DIR` or LAPSTRAKE_ROOT"
    )
    for name, enough, said in (
        ("free space", free >= _LITTLE, f"{free / _GIB:.1f} GiB"),
        # A file system that makes them as needed says 0 of 0.
        (
            "free inodes",
            not status.f_files or status.f_favail >= _FEW_INODES,
            f"{status.f_favail} of {status.f_files}",
        ),
    ):
        yield Finding(
            group="store",
            name=name,
            ok=enough,
            reason=said,
            cost="" if enough else "large images do not fit",
            change="" if enough else change,
        )


def _stacked(place: str, taken: IsolationName) -> Finding:
    """Try on the store's file system what a store decides by, too."""
    from builder.store.choice import WITHOUT_MOUNTS

    if taken in WITHOUT_MOUNTS:
        attempt = Attempt(
            ok=False,
            reason=f"behind `{taken.value}` nothing is mounted",
            hint=_OTHER_WALLS,
        )
    else:
        directory = f"{place}/.doctor-{os.urandom(6).hex()}"
        attempt = try_behind(taken, lambda _: _overlay(directory))
    return Finding(
        group="store",
        name="stacked states",
        ok=attempt.ok,
        reason=attempt.reason,
        cost=""
        if attempt.ok
        else "states are copied: steps begin later, and take more of the disk",
        change=attempt.hint,
    )


def _overlay(directory: str) -> Attempt:
    from builder.store.trial import try_overlay

    refused = msgspec.convert(
        try_overlay({"directory": directory}, (), lambda _: None), dict[str, str]
    )["refused"]
    if not refused:
        return Attempt(ok=True)
    return Attempt(
        ok=False,
        reason=f"changes cannot lie there: {refused}",
        hint="put the store on a volume or a disk of its own, with `--root DIR` or LAPSTRAKE_ROOT",
    )


def _programs() -> Iterable[Finding]:
    for program, cost, package in (
        ("git", "ADD and contexts from git are refused", "git"),
        (
            "ssh-agent",
            "`--ssh ID=KEY` is refused; an agent that runs already can be used",
            "openssh-client",
        ),
    ):
        ok = shutil.which(program) is not None
        yield Finding(
            group="programs",
            name=program,
            ok=ok,
            reason="" if ok else "it is not installed",
            cost="" if ok else cost,
            change="" if ok else f"install the package `{package}`",
        )
