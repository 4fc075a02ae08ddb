"""What the runtime refuses or fails at; a tree of its own.

SandboxError                code, message, notes, hint
├── Unsupported             .feature .reason      this host does not allow what was asked
├── SetupFailed             .operation            a mount, id map or file could not be made
├── StartFailed             .exit_code            the command cannot be executed (126) or found (127)
├── JobFailed               .kind .detail         a function run behind the launcher raised
├── Interrupted             .signal_number        it was cancelled, and nothing of it runs any more
└── LauncherGone                                  the launcher died
"""

from __future__ import annotations


class SandboxError(Exception):
    """The root of the runtime's errors."""

    def __init__(
        self, message: str, *, notes: tuple[str, ...] = (), hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.notes = notes
        self.hint = hint


class Unsupported(SandboxError):
    """This kernel or user does not allow `feature`; `reason` says what was tried and what came back."""

    def __init__(
        self,
        feature: str,
        reason: str,
        *,
        notes: tuple[str, ...] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(f"{feature} is not possible here: {reason}", notes=notes, hint=hint)
        self.feature = feature
        self.reason = reason


class SetupFailed(SandboxError):
    """An operation of the plan failed; nothing of the command has run."""

    def __init__(self, operation: str, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"cannot {operation}: {reason}", hint=hint)
        self.operation = operation
        self.reason = reason


class StartFailed(SandboxError):
    """The walls stand, but the command could not be started."""

    def __init__(
        self,
        message: str,
        *,
        exit_code: int,
        notes: tuple[str, ...] = (),
        hint: str | None = None,
        machine: str = "",
    ) -> None:
        super().__init__(message, notes=notes, hint=hint)
        self.exit_code = exit_code
        self.machine = machine
        """The machine that the program is for, where that is why; "" otherwise."""


class JobFailed(SandboxError):
    """A function run behind the launcher raised; `kind` names the exception, `detail` is its plain data."""

    def __init__(self, message: str, *, kind: str, detail: dict[str, object] | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.detail = detail or {}


class Interrupted(SandboxError):
    """A run or a job was cancelled; its processes have ended."""

    def __init__(self, signal_number: int) -> None:
        super().__init__("interrupted")
        self.signal_number = signal_number


class LauncherGone(SandboxError):
    """The launcher process has ended unexpectedly."""
