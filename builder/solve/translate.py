"""From the runtime's errors to the builder's, in one place."""

from __future__ import annotations

import errno
import os
from _thread import allocate_lock  # `threading` is on no cached build's way
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

from builder import errors
from builder.errors import BuildError, Cancelled, ContainerError, LapstrakeError, StoreError
from runtime.errors import (
    Interrupted,
    JobFailed,
    LauncherGone,
    SandboxError,
    SetupFailed,
    StartFailed,
    Unsupported,
)
from runtime.launch import Cancellation, Launcher
from runtime.spec import IsolationName


def translate(error: SandboxError) -> LapstrakeError:
    """Return what the builder says about a runtime error; facts are kept, none is added twice."""
    match error:
        case JobFailed():
            return _from_job(error)
        case Unsupported():
            translated: LapstrakeError = BuildError(
                error.message, code="build.no-isolation", notes=error.notes, hint=error.hint
            )
            translated.exit_code = 125
            return translated
        case StartFailed():
            translated = ContainerError(
                error.message, code="container.start-failed", notes=error.notes, hint=error.hint
            )
            translated.exit_code = error.exit_code
            return translated
        case SetupFailed():
            return BuildError(
                error.message, code="build.setup-failed", notes=error.notes, hint=error.hint
            )
        case Interrupted():
            return Cancelled(signal_number=error.signal_number or 2)
        case LauncherGone():
            return BuildError(
                "the process that holds the sandbox has ended unexpectedly",
                code="build.launcher-gone",
                notes=error.notes,
                hint="see whether the machine ran out of memory (`dmesg`), then build again",
            )
        case _:
            return BuildError(error.message, notes=error.notes, hint=error.hint)


def _from_job(error: JobFailed) -> LapstrakeError:
    """Rebuild the error that a function behind the launcher raised."""
    detail = error.detail
    known = getattr(errors, error.kind, None)
    if isinstance(known, type) and issubclass(known, LapstrakeError) and "code" in detail:
        rebuilt = LapstrakeError(
            str(detail.get("message", error.message)),
            code=str(detail["code"]),
            notes=_texts(detail.get("notes")),
            hint=cast("str | None", detail.get("hint")),
        )
        rebuilt.exit_code = known.exit_code
        rebuilt.__class__ = known
        return rebuilt
    if error.kind == SetupFailed.__name__ and "message" in detail:
        return BuildError(
            str(detail["message"]),
            code="build.setup-failed",
            notes=_texts(detail.get("notes")),
            hint=cast("str | None", detail.get("hint")),
        )
    number = detail.get("errno")
    if isinstance(number, int):
        return from_os_error(number, str(detail.get("path") or ""), error.message)
    unforeseen = BuildError(
        f"a step of the builder failed: {error.kind}: {error.message}",
        code="internal",
        hint="please report this, with `LAPSTRAKE_DEBUG=1` in the environment",
    )
    if "traceback" in detail:
        unforeseen.add_note(f"Behind the launcher:\n{detail['traceback']}")
    return unforeseen


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(each) for each in value) if isinstance(value, list | tuple) else ()


def from_os_error(number: int, path: str, message: str) -> LapstrakeError:
    """Return what to say about a system error while files were read or written."""
    if number in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(
            "no space is left on the device",
            code="store.no-space",
            notes=(path,) if path else (),
            hint="free some space, run `lapstrake prune`, or choose another store with `--root DIR`",
        )
    where = f"`{path}`: " if path else ""
    return BuildError(
        f"{where}{os.strerror(number)}", code="build.io", notes=(message,) if not path else ()
    )


@contextmanager
def translated() -> Iterator[None]:
    """Turn runtime and system errors of a block into the builder's."""
    try:
        yield
    except SandboxError as error:
        raise translate(error) from error
    except OSError as error:
        if error.errno is None:
            raise
        raise from_os_error(error.errno, str(error.filename or ""), str(error)) from error


class Behind:
    """Runs functions behind the launcher, its walls entered at the first; see `builder.store.jobs.Jobs`."""

    def __init__(
        self, launcher: Launcher, isolation: IsolationName, cancellation: Cancellation
    ) -> None:
        self.launcher = launcher
        self.cancellation = cancellation
        self._isolation = isolation
        self._opened: IsolationName | None = None
        self._abandoned = False
        self.on_open: Callable[[], None] | None = None
        self._held: tuple[int, ...] = ()
        self._beside: Launcher | SandboxError | None = None
        self._starting = allocate_lock()

    def open(self) -> IsolationName:
        """Enter the walls, which are tried for real; idempotent.

        Raises: BuildError: `build.no-isolation`: this host does not allow them.
        """
        if self._opened is None:
            with translated():
                self._opened = self.launcher.open(self._isolation)
            if self.on_open is not None:
                self.on_open()
        return self._opened

    @property
    def opened(self) -> IsolationName | None:
        """Which walls stand, None while nothing needed any."""
        return self._opened

    def call(
        self,
        function: str,
        arguments: object,
        *,
        fds: tuple[int, ...] = (),
        report: Callable[[object], None] | None = None,
        cleanup: bool = False,
    ) -> object:
        """Return what the function returned; see `Jobs.call`."""
        self.open()
        cancellation = None if cleanup else self.cancellation
        with translated():
            return self.launcher.call(
                function,
                arguments,
                fds=fds,
                report=report,
                cancellation=cancellation,
                hold=self._held,
            )

    def beside(self, isolation: IsolationName) -> Launcher:
        """Return a second launcher, behind other walls; it is started when it is first wanted, for one kind of them.

        Raises: SandboxError: these walls cannot be entered here.
        """
        with self._starting:
            if self._beside is None:
                launcher = Launcher.spawn()
                try:
                    launcher.open(isolation)
                except SandboxError as error:
                    launcher.close()
                    self._beside = error
                else:
                    self._beside = launcher
        if isinstance(self._beside, SandboxError):
            raise self._beside
        return self._beside

    def close(self) -> None:
        """End the second launcher, if there is one; the first is who gave it's."""
        if isinstance(self._beside, Launcher):
            self._beside.close()
            self._beside = None

    @property
    def held(self) -> tuple[int, ...]:
        """The descriptors that `hold` was given."""
        return self._held

    def hold(self, descriptor: int) -> None:
        """Have a descriptor, such as a lock, held until whatever runs behind the launcher has ended."""
        self._held = (*self._held, descriptor)

    def abandon(self) -> None:
        """End what is running, because another step failed; `renew` allows work again."""
        self._abandoned = not self.cancellation.cancelled
        self.cancellation.cancel()

    def renew(self) -> None:
        """Allow work again after `abandon`; not after an interrupt by the user."""
        if self._abandoned:
            self.cancellation = Cancellation()
            self._abandoned = False
