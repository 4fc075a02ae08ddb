"""Processes that a command without walls left behind: there is no namespace that ends with it."""

from __future__ import annotations

import os
import signal
from collections.abc import Container
from contextlib import suppress


def end_children(kept: Container[int] = ()) -> None:
    """Kill the children of this process and, as they come to it, theirs; but for those that are `kept`.

    It is to be a subreaper, so that the children of what ends become its own.
    """
    while True:
        found = [pid for pid in _children() if pid not in kept]
        if not found:
            return
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in found:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _children() -> list[int]:
    own = str(os.getpid())
    found = []
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                # The name of a program may hold anything, so what follows is counted from its end.
                parent = file.read().rpartition(b")")[2].split()[1]
        except OSError:
            continue
        if parent.decode() == own:
            found.append(int(name))
    return found
