"""A process between the launcher and a command whose root is a plain tree: it furnishes the tree, waits, and clears it.

    launcher ─ fork ─► keeper: put furniture ─ clone ─► init … command
                          └─ waits, passes signals on ─► removes furniture, ends as the command did

To the launcher it is the command. It cannot be killed outright without leaving things behind, so the launcher
asks it to kill the command instead.
"""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import NoReturn

import msgspec

from runtime import wire
from runtime.beneath import open_beneath
from runtime.errors import SandboxError, SetupFailed
from runtime.furniture import Furniture
from runtime.init import Start, become_command, explained, receive_spec, send_failure
from runtime.leftovers import end_children
from runtime.plan import check, in_order, targets
from runtime.spec import ContainerSpec, StackMount
from runtime.syscalls import Syscalls

KILL = signal.SIGRTMAX
"""Asks a keeper to kill the command."""

_BROKEN = 70
_DIRECTORY = os.O_PATH | os.O_DIRECTORY
_KEPT = frozenset({signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGCONT})


def keep(calls: Syscalls, start: Start, flags: int) -> NoReturn:
    """Run a command in new namespaces (`flags`) over the plain tree that its specification names; never returns."""
    code = _BROKEN
    try:
        code = _Keeper(calls, start).run(flags)
    except SandboxError as error:
        send_failure(start.request, error)
    except OSError as error:
        send_failure(start.request, explained("furnish the tree", error))
    except BaseException as error:  # noqa: BLE001 - nothing may return into the launcher's copy
        send_failure(start.request, SetupFailed("furnish the tree", repr(error)))
    finally:
        if code < 0:
            _end_by(-code)
        os._exit(code)


class _Keeper:
    def __init__(self, calls: Syscalls, start: Start) -> None:
        self._calls = calls
        self._start = start
        self._pid = 0
        self._killed = False

    def run(self, flags: int) -> int:
        """Return the exit code of the command, negative for a signal."""
        self._calls.die_with_parent()
        self._calls.new_session()
        spec = receive_spec(self._start)
        check(spec)
        os.umask(0)
        assert spec.rootfs.upper is not None
        root = self._calls.open(spec.rootfs.upper, _DIRECTORY)
        furniture = Furniture(self._calls, root, spec.rootfs.work)
        without_walls = self._start.features.chroot
        try:
            if without_walls:
                from runtime import chroot

                self._calls.become_subreaper()
                chroot.furnish(self._calls, furniture, spec)
            else:
                furniture.put(targets(spec, self._start.features), _prepared(self._calls, spec))
            furniture.leave()
            return self._run(spec, flags)
        finally:
            if without_walls:
                end_children()
            furniture.remove()

    def _run(self, spec: ContainerSpec, flags: int) -> int:
        forwarded = signal.valid_signals() - _KEPT
        for number in forwarded:
            signal.signal(number, self._handle)
        start = msgspec.structs.replace(self._start, spec=spec)
        pid = self._calls.clone(flags)
        if pid == 0:
            for number in forwarded:
                signal.signal(number, signal.SIG_DFL)
            become_command(self._calls, start)
        self._pid = pid
        streams = () if start.stdin is None else (start.stdin,)
        wire.close_all([*streams, *start.outputs, *start.until_exec])
        if start.recorder is not None:
            start.recorder.close()
        if self._killed:
            os.kill(pid, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number == KILL:
            self._killed = True
        if self._pid:
            os.kill(self._pid, signal.SIGKILL if number == KILL else number)


def _prepared(calls: Syscalls, spec: ContainerSpec) -> dict[str, int]:
    """Return descriptors of what stacks will show, as far as its kind can be told without stacking."""
    found: dict[str, int] = {}
    for number, mount in enumerate(in_order(spec.mounts)):
        if isinstance(mount, StackMount):
            top = mount.rootfs.upper or mount.rootfs.lowers[0]
            root = calls.open(top, _DIRECTORY)
            found[f"stack{number}"] = open_beneath(
                root, mount.path.strip("/"), os.O_PATH, syscalls=calls
            )
    return found


def _end_by(number: int) -> None:
    """End by a signal, as the command did, but without a core."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
