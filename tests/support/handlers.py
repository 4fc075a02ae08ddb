"""Runs a command where the kernel was told of an emulator; afterwards it is as before.

    python -m tests.support.handlers own MACHINE FLAGS COMMAND [ARGUMENT]…
    python -m tests.support.handlers machine MACHINE FLAGS COMMAND [ARGUMENT]…

As root. With `own`, the command is root of a user namespace that has all ids, a network of its own, and handlers that are its
alone (Linux 6.7); so it is as on another machine, and with the flags `none` one that knows no handler. With `machine` everybody
is served by the handler meanwhile.
"""

from __future__ import annotations

import os
import subprocess
import sys

from runtime.emulation import REGISTERED, emulators_for, registration
from runtime.isolation import OWN_NETWORK, enter
from runtime.spec import IsolationName
from runtime.syscalls import CLONE_NEWNS, Syscalls

NONE = "none"
NAME = "lapstrake-tests"


def main(words: list[str]) -> int:
    """Run the command and return its exit code."""
    where, machine, flags, *command = words
    calls = Syscalls()
    if where == "own":
        enter(IsolationName.USERNS_ROOT, calls)
        calls.unshare(OWN_NETWORK)
    else:
        calls.unshare(CLONE_NEWNS)
        calls.make_private()
    subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", REGISTERED], check=True)
    told = b""
    if flags != NONE:
        # Debian's emulators have another name where they are to take the first word apart.
        named = sorted(emulators_for(machine), key=lambda path: path.endswith("-P"))
        emulator = named[-1 if "P" in flags else 0]
        told = registration(machine, emulator, flags).replace(b"lapstrake-", NAME.encode(), 1)
        _write("register", told)
    try:
        return subprocess.run(command, check=False).returncode
    finally:
        if told:
            _write(f"{NAME}{machine}", b"-1")


def _write(name: str, data: bytes) -> None:
    descriptor = os.open(f"{REGISTERED}/{name}", os.O_WRONLY)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
