"""Steps and containers of other machines: what they are shown so that they run, and what is said when they do not."""

from __future__ import annotations

import os

from builder.errors import BuildError, ContainerError
from builder.oci.platform import Platform
from builder.solve.translate import Behind, translated
from runtime.emulation import Emulation, How
from runtime.errors import StartFailed
from runtime.spec import BindMount


def emulation_mounts(platform: Platform, behind: Behind, directory: str) -> tuple[BindMount, ...]:
    """Make programs of a platform run, if that can be had, and return what they have to be shown for it.

    In `directory` something is put for a moment. Where they cannot run nothing is refused: whether a program is really for
    that platform shows when it is executed.

    Raises: BuildError: no emulator has another operating system.
    """
    if platform.os != "linux":
        raise BuildError(
            f"commands of the platform `{platform}` cannot be run on Linux",
            code="build.no-emulator",
            hint="build it where that system runs; files can be copied from and to it here",
        )
    if platform.machine == os.uname().machine:
        return ()
    emulation = _emulation(platform.machine, behind, directory)
    if emulation.how is not How.SHOWN:
        return ()
    return (BindMount(target=emulation.emulator, source=emulation.emulator, read_only=True),)


def without_emulator(error: BaseException, behind: Behind, directory: str) -> ContainerError | None:
    """Return what to say of a command that was not started, where that is for its machine; None where it is not.

    `error` is the runtime's, or one that comes from it.
    """
    cause = error if isinstance(error, StartFailed) else error.__cause__
    if not isinstance(cause, StartFailed) or not cause.machine:
        return None
    platform, host = Platform.of("linux", cause.machine), Platform.host()
    command = cause.message.partition(" cannot be executed")[0]
    emulation = _emulation(cause.machine, behind, directory)
    said = ContainerError(
        f"{command} is a program for `{platform}`, which this machine, `{host}`, cannot run",
        code="build.no-emulator",
        notes=(emulation.reason,) if emulation.reason else (),
        hint=emulation.hint or "build for the platform of this machine",
    )
    said.exit_code = cause.exit_code
    return said


def _emulation(machine: str, behind: Behind, directory: str) -> Emulation:
    behind.open()
    with translated():
        return behind.launcher.emulation(machine, directory)
