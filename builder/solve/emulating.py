"""Steps and containers of other machines: behind which walls and with what they run, and what is said when they do not."""

from __future__ import annotations

import os

import msgspec

from builder.errors import BuildError, ContainerError
from builder.oci.platform import Platform
from builder.solve.translate import Behind, translated
from runtime.emulation import Emulation, How
from runtime.errors import SandboxError, StartFailed
from runtime.launch import Launcher
from runtime.spec import BindMount, IsolationName


class Ways(msgspec.Struct, frozen=True):
    """Through which launcher commands of a platform run, and what they have to be shown for it."""

    launcher: Launcher
    mounts: tuple[BindMount, ...] = ()


def ways_for(platform: Platform, behind: Behind, directory: str) -> Ways:
    """Make programs of a platform run, if that can be had.

    In `directory` something is put for a moment. Where they cannot run nothing is refused: whether a program is really for
    that platform shows when it is executed.

    Raises: BuildError: it has another operating system, which nothing emulates.
    """
    if platform.os != "linux":
        raise BuildError(
            f"commands of the platform `{platform}` cannot be run on Linux",
            code="build.no-emulator",
            hint="build it where that system runs; files can be copied from and to it here",
        )
    if platform.machine == os.uname().machine:
        return Ways(behind.launcher)
    launcher, emulation = emulation_of(platform.machine, behind, directory)
    if emulation.how is not How.SHOWN:
        return Ways(launcher)
    shown = BindMount(target=emulation.emulator, source=emulation.emulator, read_only=True)
    return Ways(launcher, (shown,))


def without_emulator(error: BaseException, behind: Behind, directory: str) -> ContainerError | None:
    """Return what to say of a command that was not started, where that is for its machine; None where it is not.

    `error` is the runtime's, or one that comes from it.
    """
    cause = error if isinstance(error, StartFailed) else error.__cause__
    if not isinstance(cause, StartFailed) or not cause.machine:
        return None
    platform, host = Platform.of("linux", cause.machine), Platform.host()
    command = cause.message.partition(" cannot be executed")[0]
    _, emulation = emulation_of(cause.machine, behind, directory)
    said = ContainerError(
        f"{command} is a program for `{platform}`, which this machine, `{host}`, cannot run",
        code="build.no-emulator",
        notes=(emulation.reason,) if emulation.reason else (),
        hint=emulation.hint or "build for the platform of this machine",
    )
    said.exit_code = cause.exit_code
    return said


def emulation_of(machine: str, behind: Behind, directory: str) -> tuple[Launcher, Emulation]:
    """Return the launcher behind whose walls programs of a machine run, and how; or else why nowhere.

    Root has no user namespace in which an emulator could be registered for a build alone: what needs that runs in one.
    """
    behind.open()
    with translated():
        found = behind.launcher.emulation(machine, directory)
    installed = found.how is How.NOT and found.emulator
    if not installed or behind.opened is not IsolationName.ROOT:
        return behind.launcher, found
    try:
        beside = behind.beside(IsolationName.USERNS_ROOT)
        other = beside.emulation(machine, directory)
    except SandboxError:
        return behind.launcher, found
    return (behind.launcher if other.how is How.NOT else beside), other
