"""Control groups: limits of all processes of a command together, on both versions of the kernel's interface.

    settings   Resources ─► which file of which controller gets which value      (pure)
    mounted    /proc/self/mountinfo, /proc/self/cgroup ─► where the controllers are (pure)
    make       a group in each hierarchy that is needed ─► Cgroup: joined by the command, removed after it

A group is a directory `lapstrake-…`, locked while its maker lives, so that whoever comes later can tell what was left.
What cannot be set is not silently left out: `Cgroup.unset` says it.

Source: Linux, Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst; man 7 cgroups; runc, docs/cgroup-v2.md (shares to weight).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

import msgspec

from runtime.spec import Resources, Unset

PREFIX = "lapstrake-"

_MOST = 1 << 16
_TRIES = 50


class Setting(msgspec.Struct, frozen=True, array_like=True):
    """One value of a group: `limit` is what was asked for, in the words of `--resource`."""

    limit: str
    controller: str
    file: str
    value: str


class Hierarchy(msgspec.Struct, frozen=True, kw_only=True):
    """One mounted tree of groups: where it is mounted, and the launcher's own group in it; host paths."""

    version: int
    controllers: frozenset[str]
    top: str
    own: str


def settings(asked: Resources, version: int) -> tuple[Setting, ...]:
    """Return what is to be written for `asked`, in order."""
    return _first_version(asked) if version == 1 else _second_version(asked)


def _first_version(asked: Resources) -> tuple[Setting, ...]:
    found = [
        ("memory", "memory", "memory.limit_in_bytes", asked.memory),
        ("memory-swap", "memory", "memory.memsw.limit_in_bytes", asked.memory_swap),
        ("cpu-shares", "cpu", "cpu.shares", asked.cpu_shares),
        ("cpu-period", "cpu", "cpu.cfs_period_us", asked.cpu_period),
        ("cpu-quota", "cpu", "cpu.cfs_quota_us", asked.cpu_quota),
        ("cpuset-cpus", "cpuset", "cpuset.cpus", asked.cpuset_cpus or None),
        ("cpuset-mems", "cpuset", "cpuset.mems", asked.cpuset_mems or None),
        ("pids", "pids", "pids.max", asked.pids),
    ]
    return tuple(
        Setting(f"{name}={value}", controller, file, str(value))
        for name, controller, file, value in found
        if value is not None
    )


def _second_version(asked: Resources) -> tuple[Setting, ...]:
    found: list[tuple[str, str, str, object]] = []
    if asked.memory is not None:
        found.append((f"memory={asked.memory}", "memory", "memory.max", asked.memory))
    if asked.memory_swap is not None:
        # Here swap is counted alone.
        swap = "max" if asked.memory_swap < 0 else max(0, asked.memory_swap - (asked.memory or 0))
        found.append((f"memory-swap={asked.memory_swap}", "memory", "memory.swap.max", swap))
    if asked.cpu_shares is not None:
        weight = 1 + (max(2, min(asked.cpu_shares, 262144)) - 2) * 9999 // 262142
        found.append((f"cpu-shares={asked.cpu_shares}", "cpu", "cpu.weight", weight))
    if asked.cpu_quota is not None or asked.cpu_period is not None:
        said = [
            f"{name}={value}"
            for name, value in (("cpu-period", asked.cpu_period), ("cpu-quota", asked.cpu_quota))
            if value is not None
        ]
        quota = "max" if asked.cpu_quota is None else asked.cpu_quota
        found.append((",".join(said), "cpu", "cpu.max", f"{quota} {asked.cpu_period or 100000}"))
    for name, value in (("cpus", asked.cpuset_cpus), ("mems", asked.cpuset_mems)):
        if value:
            found.append((f"cpuset-{name}={value}", "cpuset", f"cpuset.{name}", value))
    if asked.pids is not None:
        found.append((f"pids={asked.pids}", "pids", "pids.max", asked.pids))
    return tuple(Setting(limit, group, file, str(value)) for limit, group, file, value in found)


def mounted(mountinfo: str, own: str) -> tuple[Hierarchy, ...]:
    """Return the hierarchies that are mounted here, from `/proc/self/mountinfo` and `/proc/self/cgroup`.

    The controllers of the second version are told by files of the group, so they are empty here.
    """
    groups: dict[frozenset[str], str] = {}
    for line in own.splitlines():
        _, names, path = [*line.split(":", 2), "", ""][:3]
        groups[frozenset(name for name in names.split(",") if name)] = path
    found: dict[frozenset[str], Hierarchy] = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        kind, *rest = after.split(" ")
        fields = before.split(" ")
        if kind not in {"cgroup", "cgroup2"} or len(fields) < 5:
            continue
        options = frozenset(rest[-1].split(","))
        controllers = next((each for each in groups if each and each <= options), frozenset())
        if kind == "cgroup2":
            controllers = frozenset()
        elif not controllers or any(name.startswith("name=") for name in controllers):
            continue
        root, top = _unescaped(fields[3]), _unescaped(fields[4])
        below = _below(groups.get(controllers, "/"), root)
        found.setdefault(
            controllers,
            Hierarchy(
                version=2 if kind == "cgroup2" else 1,
                controllers=controllers,
                top=top,
                own=top if below is None else os.path.join(top, below).rstrip("/"),
            ),
        )
    return tuple(found.values())


def _below(path: str, root: str) -> str | None:
    """Return a group's path below the one that is mounted; None where it lies outside of that."""
    if root == "/":
        return path.strip("/")
    if path == root or path.startswith(f"{root}/"):
        return path[len(root) :].strip("/")
    return None


def _unescaped(text: str) -> str:
    for code, meant in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, meant)
    return text


def here() -> tuple[Hierarchy, ...]:
    """Return the hierarchies of this process."""
    return mounted(_read("/proc/self/mountinfo"), _read("/proc/self/cgroup"))


class Cgroup:
    """The groups of one command, in as many hierarchies as needed: made, joined, removed.

    `unset` are the limits that could not be set. A group exists until `remove`, and is swept by a later launcher if this one
    does not come to that.
    """

    def __init__(self) -> None:
        self.unset: list[Unset] = []
        self.directories: list[str] = []
        self._locks: list[int] = []
        self._entrances: list[int] = []
        self._parents: list[str] = []

    def join(self) -> None:
        """Move this process into the groups; the entrances were opened by the launcher, and its rights count."""
        for entrance in self._entrances:
            os.write(entrance, b"0")

    def reached(self) -> tuple[str, ...]:
        """Return which limits made something fail: `memory`, `pids`."""
        found: dict[str, None] = {}
        for directory in self.directories:
            for name, file, key in (
                ("memory", "memory.oom_control", "oom_kill"),
                ("memory", "memory.events", "oom_kill"),
                ("pids", "pids.events", "max"),
            ):
                words = _read(f"{directory}/{file}").split()
                if key in words[:-1] and words[words.index(key) + 1] != "0":
                    found[name] = None
        return tuple(found)

    def remove(self) -> None:
        """Remove the groups, which nothing is in any more; what cannot be removed is left to the next launcher."""
        for descriptor in (*self._entrances, *self._locks):
            os.close(descriptor)
        for directory in (*self.directories, *reversed(self._parents)):
            with suppress(OSError):
                os.rmdir(directory)
        self._entrances, self._locks = [], []
        self.directories, self._parents = [], []

    def add(self, directory: str, lock: int, entrance: int) -> None:
        """Take over a group that has been made."""
        self.directories.append(directory)
        self._locks.append(lock)
        self._entrances.append(entrance)

    def add_parent(self, directory: str) -> None:
        """Take over a directory that was made for the groups to lie in."""
        self._parents.append(directory)


MakeDirectory = Callable[[str], None]


def make(
    asked: Resources,
    hierarchies: tuple[Hierarchy, ...],
    *,
    make_directory: MakeDirectory = os.mkdir,
) -> Cgroup:
    """Make the groups that `asked` needs and set its limits; what cannot be done is in `unset`."""
    cgroup = Cgroup()
    wanted = settings(asked, 1)
    missing = {setting.controller: "" for setting in wanted}
    for hierarchy in hierarchies:
        controllers = _controllers(hierarchy) & missing.keys()
        if not controllers and not asked.parent:
            continue
        try:
            _make_one(cgroup, asked, hierarchy, controllers, make_directory)
        except OSError as error:
            missing.update(dict.fromkeys(controllers, error.strerror or str(error)))
            if asked.parent and not controllers:
                reason = error.strerror or str(error)
                cgroup.unset.append(Unset(f"cgroup-parent={asked.parent}", reason))
        else:
            for controller in controllers:
                missing.pop(controller, None)
    if asked.parent and not hierarchies:
        cgroup.unset.append(
            Unset(f"cgroup-parent={asked.parent}", "no control groups are mounted here")
        )
    for setting in wanted:
        if setting.controller in missing:
            why = missing[setting.controller] or (
                f"no control group with the controller `{setting.controller}` can be made here"
            )
            cgroup.unset.append(Unset(setting.limit, why))
    return cgroup


def _make_one(
    cgroup: Cgroup,
    asked: Resources,
    hierarchy: Hierarchy,
    controllers: frozenset[str],
    make_directory: MakeDirectory,
) -> None:
    parent = _parent(cgroup, asked, hierarchy, controllers, make_directory)
    sweep(parent)
    directory, lock = _make_locked(parent, make_directory)
    try:
        if hierarchy.version == 1 and "cpuset" in hierarchy.controllers:
            _fill_cpuset(directory)
        for setting in settings(asked, hierarchy.version):
            if setting.controller in controllers:
                try:
                    _write(f"{directory}/{setting.file}", setting.value)
                except OSError as error:
                    reason = error.strerror or str(error)
                    cgroup.unset.append(Unset(setting.limit, reason))
        entrance = os.open(f"{directory}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
    except BaseException:
        os.close(lock)
        with suppress(OSError):
            os.rmdir(directory)
        raise
    cgroup.add(directory, lock, entrance)


def _parent(
    cgroup: Cgroup,
    asked: Resources,
    hierarchy: Hierarchy,
    controllers: frozenset[str],
    make_directory: MakeDirectory,
) -> str:
    """Return the group to make ours in, with the controllers that it needs handed down."""
    if asked.parent:
        place = hierarchy.top
        for name in asked.parent.strip("/").split("/"):
            _hand_down(hierarchy, place, controllers)
            place = f"{place}/{name}"
            if not os.path.isdir(place):
                make_directory(place)
                cgroup.add_parent(place)
                if hierarchy.version == 1 and "cpuset" in hierarchy.controllers:
                    _fill_cpuset(place)
        _hand_down(hierarchy, place, controllers)
        return place
    if hierarchy.version == 1:
        return hierarchy.own
    # A group of the second version that has processes, as ours, hands nothing down: the nearest above it that can.
    place = hierarchy.own
    refused: OSError | None = None
    while place.startswith(hierarchy.top):
        try:
            _hand_down(hierarchy, place, controllers)
            if os.access(place, os.W_OK):
                return place
        except OSError as error:
            refused = refused or error
        if place == hierarchy.top:
            break
        place = os.path.dirname(place)
    raise refused or PermissionError(13, os.strerror(13))


def _hand_down(hierarchy: Hierarchy, place: str, controllers: frozenset[str]) -> None:
    if hierarchy.version == 1:
        return
    missing = controllers - set(_read(f"{place}/cgroup.subtree_control").split())
    if missing:
        _write(f"{place}/cgroup.subtree_control", " ".join(f"+{name}" for name in sorted(missing)))


def _make_locked(parent: str, make_directory: MakeDirectory) -> tuple[str, int]:
    """Make a group and lock it; a sweeper that comes between the two removes it, and then another is made."""
    import fcntl

    for _ in range(_TRIES):
        directory = f"{parent}/{PREFIX}{os.urandom(8).hex()}"
        make_directory(directory)
        with suppress(FileNotFoundError):
            lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if os.path.isdir(directory):
                return directory, lock
            os.close(lock)
    raise BlockingIOError(11, os.strerror(11))


def _fill_cpuset(directory: str) -> None:
    """Give a new group its parent's processors and memory nodes: it begins with none, and then takes no process."""
    for file in ("cpuset.cpus", "cpuset.mems"):
        if not _read(f"{directory}/{file}").strip():
            _write(f"{directory}/{file}", _read(f"{os.path.dirname(directory)}/{file}").strip())


def sweep(parent: str) -> None:
    """Remove the groups in a group that launchers left which were killed: nobody holds their locks."""
    import fcntl

    with suppress(OSError):
        for name in os.listdir(parent):
            if not name.startswith(PREFIX):
                continue
            directory = f"{parent}/{name}"
            with suppress(OSError):
                lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.rmdir(directory)
                finally:
                    os.close(lock)


def sweep_above(hierarchies: tuple[Hierarchy, ...]) -> None:
    """Sweep wherever a launcher like this one makes groups that nobody placed elsewhere."""
    for hierarchy in hierarchies:
        place = hierarchy.own
        sweep(place)
        while hierarchy.version == 2 and place != hierarchy.top and len(place) > 1:
            place = os.path.dirname(place)
            sweep(place)


def _controllers(hierarchy: Hierarchy) -> frozenset[str]:
    if hierarchy.version == 1:
        return hierarchy.controllers
    return frozenset(_read(f"{hierarchy.own}/cgroup.controllers").split())


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(_MOST)
    except OSError:
        return ""


def _write(path: str, value: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)
