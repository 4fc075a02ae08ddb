"""Where the program begins: the launcher first, then everything else, then the exit code.

The launcher must be forked before threads, locks and connections exist, and while the process is small:
nothing heavier than this file is imported before it.
"""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from builder.cli.catalogue import VERBS, verb_of
from builder.cli.descriptors import name_failures, open_missing

if TYPE_CHECKING:
    from runtime.launch import Launcher

_CANNOT_START = 125
_INTERRUPTED = 130
_BROKEN_PIPE = 141


def lapstrake() -> NoReturn:
    """Run `lapstrake VERB …` and end the process."""
    _run(sys.argv[1:])


def build() -> NoReturn:
    """Run `build …`, which is `lapstrake build …`, and end the process."""
    _run(["build", *sys.argv[1:]])


def _run(arguments: list[str]) -> NoReturn:
    # Modules and parsed values stay; looking for cycles among them at every 700th object is wasted.
    gc.set_threshold(50_000)
    open_missing()
    name_failures()
    try:
        try:
            launcher = _launcher(arguments)
        except OSError as error:
            sys.stderr.write(f"error[start]: no process can be started: {error.strerror}\n")
            _end(_CANNOT_START)
        from builder.cli.application import main
        from builder.cli.invocation import Invocation

        code = main(arguments, Invocation(launcher))
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except BrokenPipeError:  # the reader of standard output has gone: `lapstrake images | head -1`
        code = _BROKEN_PIPE
    _end(_flushed(code))


def _end(code: int) -> NoReturn:
    """End the process at once: everything is closed, and taking the interpreter apart takes milliseconds."""
    with suppress(OSError):  # nobody is left to be told
        sys.stderr.flush()
    os._exit(code)


def _launcher(arguments: list[str]) -> Launcher | None:
    verb = VERBS.get(verb_of(arguments) or "")
    if verb is None or not verb.opens_store:
        return None
    from runtime.launch import Launcher

    return Launcher.fork()


def _flushed(code: int) -> int:
    """Write what is still buffered, and return the exit code.

    What fails only here must not make a traceback at the very end; after another failure it is not told.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return code or _BROKEN_PIPE
    except Exception as error:  # noqa: BLE001  OutputError, whose module is not imported for a success
        if not code:
            with suppress(OSError):
                sys.stderr.write(f"error[output]: {error}\n")
        return code or 1
    return code
