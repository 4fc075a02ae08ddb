"""Takes defences away from the launcher that the tests fork; nothing of this is reachable from the product.

`defences.toml` names for each defence the function here that switches it off.
"""

from __future__ import annotations

import os
import signal
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

from runtime import (
    filters,
    init,
    isolation,
    kernel_mounts,
    mounts,
    operations,
    plan,
    stack,
    stubs,
    zygote,
)
from runtime.syscalls import Syscalls

ASKED = "LAPSTRAKE_TEST_DEFENCE_OFF"
LIST = Path(__file__).parents[1] / "defences.toml"


class Defence(NamedTuple):
    """A wall: its name, the function of this module that takes it down, the test that must then fail."""

    name: str
    off: str
    test: str


def defences() -> list[Defence]:
    """Return the list."""
    return [Defence(**entry) for entry in tomllib.loads(LIST.read_text())["defence"]]


def switch_off_what_is_asked() -> None:
    """Switch off the defence that the environment names, if any."""
    if name := os.environ.get(ASKED):
        (defence,) = (one for one in defences() if one.name == name)
        switch: Callable[[], None] = globals()[defence.off]
        switch()


def _nothing(*_: object, **__: object) -> None:
    return None


def no_filter() -> None:
    Syscalls.load_filter = _nothing


def no_filter_for_i386() -> None:
    allowed = (6).to_bytes(2, "little") + bytes(2) + (0x7FFF0000).to_bytes(4, "little")
    load = filters.load

    def weaker(machine: str) -> bytes:
        code = load(machine)
        # Load the architecture; is it the machine's own; go there; is it the sibling; go there; refuse.
        return code[:32] + allowed + code[40:]

    filters.load = weaker


def all_capabilities() -> None:
    Syscalls.set_capabilities = _nothing
    Syscalls.drop_bounding = _nothing


def whole_bounding_set() -> None:
    Syscalls.drop_bounding = _nothing


def devices_in_the_root() -> None:
    stack.ATTR_NODEV = 0


def devices_in_dev() -> None:
    kernel_mounts.ATTR_NODEV = 0


def writable_devices() -> None:
    kernel_mounts.ATTR_READ_ONLY = 0


def devices_in_mounts() -> None:
    mounts.ATTR_NODEV = 0


def no_masks() -> None:
    kernel_mounts.Hide.execute = _nothing


def nothing_frozen() -> None:
    kernel_mounts.Freeze.execute = _nothing


def writable_sysfs() -> None:
    kernel_mounts.ATTR_READ_ONLY = 0


def control_groups() -> None:
    plan.HIDDEN_IN_SYS = tuple(name for name in plan.HIDDEN_IN_SYS if name != "fs/cgroup")


def callers_keyring() -> None:
    Syscalls.new_session_keyring = _nothing


def callers_session() -> None:
    zygote.os.setsid = _nothing


def inherited_descriptors() -> None:
    Syscalls.mark_close_on_exec = _nothing


def callers_environment() -> None:
    execve = os.execve
    init.os.execve = lambda path, argv, env: execve(path, argv, {**os.environ, **env})


def old_root_kept() -> None:
    def pivot(calls: Syscalls, root: int, *, above: int) -> None:
        os.fchdir(root)
        calls._call("pivot_root", calls._older.get("pivot_root"), b".", b".")
        # The old root stays where it is then: over the new one.
        calls._checked("umount2", calls._libc.umount2(b".", 2))
        os.chdir("/")

    Syscalls.pivot = pivot


def directory_by_its_path() -> None:
    operations.EnterDirectory.execute = lambda step, calls, scene: os.chdir(step.path)


def targets_by_their_paths() -> None:
    def by_path(root: int, path: str, flags: int, **_: object) -> int:
        return os.open(path.lstrip("/"), flags | os.O_CLOEXEC, dir_fd=root)

    mounts.open_beneath = by_path


def accounts_by_their_paths() -> None:
    from runtime import user

    def by_path(root: int, path: str, most: int, **_: object) -> bytes:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags, dir_fd=root)) as file:
            return file.read(most)

    user.read_beneath = by_path


def links_instead_of_directories() -> None:
    stubs.stat = SimpleNamespace(**{**vars(stat), "S_ISDIR": lambda mode: True})
    kernel_mounts._REAL_DIRECTORY = os.O_PATH | os.O_DIRECTORY


def no_mask_for_new_files() -> None:
    umask = os.umask
    init.os.umask = lambda mask: umask(0)


def lives_on() -> None:
    Syscalls.die_with_parent = _nothing


def processes_of_the_host() -> None:
    isolation.CONTAINER_NAMESPACES &= ~isolation.CLONE_NEWPID


def memory_of_the_host() -> None:
    isolation.CONTAINER_NAMESPACES &= ~isolation.CLONE_NEWIPC


def network_of_the_host() -> None:
    isolation.OWN_NETWORK = 0


def command_after_the_interpreter() -> None:
    def become(start: object, path: str, argv: tuple[str, ...], env: dict[str, str]) -> None:
        os.execve(path, argv, env)

    init._become = become


def ignored_signals() -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    set_action = signal.signal
    init.signal.signal = lambda number, action: set_action(signal.SIGUSR2, signal.SIG_DFL)


def writable_binds() -> None:
    mounts.ATTR_READ_ONLY = 0


def mounts_that_spread() -> None:
    Syscalls.make_private = _nothing
