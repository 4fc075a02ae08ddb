"""The real program, killed with SIGKILL when it comes to one of the points where something becomes final.

    python interrupted_program.py POINT TRACE lapstrake's words…

The points (a rename, a statement of the index, a job's start and return, a command's start and return, an
event) are counted over all processes of the program, those behind the launcher too; each is noted in the file
TRACE. At point 0 nothing is killed. Only the builder is killed, wherever the point was: what follows from
that for the others is what is tested.
"""

from __future__ import annotations

import mmap
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from builder.cli import start
from builder.solve.translate import Behind
from builder.store.db import Database
from builder.ui.progress import _Watched
from runtime.launch import Launcher

POINT = int(sys.argv[1])
TRACE = sys.argv[2]
BUILDER = os.getpid()
COUNTER = mmap.mmap(-1, mmap.PAGESIZE)  # shared with the processes that are forked from here
LOCK = threading.Lock()


def reached(name: str) -> None:
    """Count a point, and kill the builder if it is the one."""
    with LOCK:
        number = int.from_bytes(COUNTER[:8], "little") + 1
        COUNTER[:8] = number.to_bytes(8, "little")
    with open(TRACE, "a") as trace:  # a worker closes what it has not opened itself
        trace.write(f"{number} {name}\n")
    if number == POINT:
        os.kill(BUILDER, signal.SIGKILL)
        if os.getpid() == BUILDER:
            signal.pause()  # the signal may take another thread first


def before(holder: Any, name: str, describe: Callable[..., str], *, after: bool = False) -> None:
    """Make a point of each call of `holder.name`, and of its return if `after` is set."""
    original = getattr(holder, name)

    def wrapped(*arguments: Any, **options: Any) -> Any:
        what = describe(*arguments)
        reached(what)
        result = original(*arguments, **options)
        if after:
            reached(f"{what} returned")
        return result

    setattr(holder, name, wrapped)


before(os, "rename", lambda old, new: f"rename to {new}")
before(os, "replace", lambda old, new: f"replace {new}")
before(Database, "execute", lambda _, statement, *__: " ".join(statement.split())[:40])
before(Behind, "call", lambda _, function, *__: f"job {function}", after=True)
before(Launcher, "run", lambda *_: "command", after=True)
before(Launcher, "open", lambda *_: "walls", after=True)
before(_Watched, "emit", lambda _, event: f"event {type(event).__name__}")

sys.argv[:] = sys.argv[2:]
start.lapstrake()
