"""A process behind the walls that runs functions for the builder, one at a time.

    request  ("job", "package.module:function", arguments)   and descriptors
    answer   ("report", value)… then ("result", value) or ("raised", message, kind, detail)

A job is `def job(arguments, fds, report) -> object`; its module is imported when it is first wanted.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NoReturn, cast

from runtime import wire
from runtime.syscalls import Syscalls

_LONGEST = 16 * 1024
"""Characters of a traceback that are handed on."""

Report = Callable[[object], None]
Job = Callable[[object, tuple[int, ...], Report], object]

_DETAILS = ("code", "message", "notes", "hint", "exit_code", "reason", "operation", "feature")


def serve_jobs(calls: Syscalls, request: wire.Socket, prefixes: tuple[str, ...]) -> NoReturn:
    """Run jobs until the builder closes the socket; never returns."""
    try:
        calls.die_with_parent()
        own = request.fileno()
        if own != 3:
            os.dup2(own, 3, inheritable=False)
            request.detach()
            request = wire.from_descriptor(3)
        os.closerange(4, _highest_descriptor())
        null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        os.dup2(null, 0)
        os.close(null)
        _enable_collection()
        while True:
            message, descriptors = wire.receive(request)
            _, name, arguments = cast("tuple[str, str, object]", message)
            _answer(request, name, arguments, tuple(descriptors), prefixes)
            wire.close_all(descriptors)
    except (EOFError, OSError):
        os._exit(0)
    finally:
        os._exit(70)


def find_job(name: str, prefixes: tuple[str, ...]) -> Job:
    """Import the function that `package.module:function` names.

    Raises: LookupError: it lies outside of what was allowed when the launcher started.
    """
    from importlib import import_module

    module, colon, function = name.partition(":")
    if not colon or not f"{module}.".startswith(prefixes) or function.startswith("_"):
        raise LookupError(f"`{name}` is not a function that may run behind the launcher")
    return cast("Job", getattr(import_module(module), function))


def _answer(
    request: wire.Socket,
    name: str,
    arguments: object,
    descriptors: tuple[int, ...],
    prefixes: tuple[str, ...],
) -> None:
    def report(value: object) -> None:
        wire.send(request, ("report", value))

    try:
        result = find_job(name, prefixes)(arguments, descriptors, report)
        wire.send(request, ("result", result))
    except Exception as error:  # noqa: BLE001 - the builder raises it again in its own words
        wire.send(request, ("raised", _text(str(error)), type(error).__name__, _details(error)))


def _details(error: Exception) -> dict[str, object]:
    details: dict[str, object] = {}
    for name in _DETAILS:
        value = getattr(error, name, None)
        if isinstance(value, tuple) and all(isinstance(item, str) for item in value):
            details[name] = tuple(_text(item) for item in value)
        elif isinstance(value, str):
            details[name] = _text(value)
        elif isinstance(value, int):
            details[name] = value
    if isinstance(error, OSError):
        details["errno"] = error.errno
        details["strerror"] = error.strerror
        if isinstance(error.filename, (str, bytes)):
            details["path"] = _text(os.fsdecode(error.filename))
    elif "code" not in details:
        import traceback  # nobody has foreseen this one: whoever looks for its cause needs the place

        details["traceback"] = _text("".join(traceback.format_exception(error)))[-_LONGEST:]
    return details


def _text(text: str) -> str:
    """Return a text that may quote a file's name as valid UTF-8."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def _highest_descriptor() -> int:
    return max((int(name) for name in os.listdir("/proc/self/fd")), default=256) + 1


def _enable_collection() -> None:
    import gc

    gc.enable()
