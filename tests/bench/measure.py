"""Running a command while watching how long it takes and how much memory its own processes hold."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.unprivileged import Person, public_interpreter

SAMPLE_SECONDS = 0.02
INTERPRETER = str(public_interpreter())


class Measured(NamedTuple):
    """One run: wall and CPU time in seconds, peak memory of the largest process in bytes."""

    seconds: float
    cpu: float
    peak: int


def measure(
    argv: Sequence[str | Path],
    *,
    cwd: str | Path = "/",
    environment: dict[str, str] | None = None,
    person: Person | None = None,
) -> Measured:
    """Run `argv` to its end, which must be good, as `person` if one is given.

    The peak is that of processes which run the product's interpreter: what a step starts is not counted.
    """
    given: dict[str, Any] = {}
    if person is not None:
        environment = person.environment(environment)
        given = {"user": person.uid, "group": person.gid, "extra_groups": ()}
    started = time.perf_counter()
    process = subprocess.Popen(
        argv,
        cwd=cwd,
        env=environment,
        **given,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    watch = _Watch(process.pid)
    watch.start()
    assert process.stderr is not None
    complaints = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    watch.stop()
    if process.returncode != 0:
        words = " ".join(map(str, argv))
        message = f"{words} ended with {process.returncode}\n{complaints.decode(errors='replace')}"
        raise RuntimeError(message)
    return Measured(seconds, usage.ru_utime + usage.ru_stime, watch.peak)


class _Watch(threading.Thread):
    """Samples the high-water marks of a process and its descendants."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self._pid = pid
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            waiting = [self._pid]
            while waiting:
                pid = waiting.pop()
                with contextlib.suppress(OSError, ValueError):
                    waiting.extend(_children(pid))
                    if os.readlink(f"/proc/{pid}/exe") == INTERPRETER:
                        self.peak = max(self.peak, _high_water(pid))

    def stop(self) -> None:
        self._ended.set()
        self.join()


def _children(pid: int) -> list[int]:
    return [
        int(child)
        for thread in os.listdir(f"/proc/{pid}/task")
        for child in Path(f"/proc/{pid}/task/{thread}/children").read_text().split()
    ]


def _high_water(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
