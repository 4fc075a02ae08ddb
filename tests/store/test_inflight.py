"""Work in flight, shared between threads and processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from builder.errors import Cancelled
from builder.store.inflight import ROOM, InFlight

KEY = "a" * 64


def nobody() -> None:
    raise AssertionError("nobody else should hold it")


def never() -> bool:
    return False


def test_one_after_the_other_has_it_and_nothing_is_left(tmp_path: Path) -> None:
    flights = InFlight(str(tmp_path))
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(5):
            with flights.alone(KEY, waiting=lambda: None, cancelled=never):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(most) == 30
    assert list((tmp_path / ROOM).iterdir()) == []


def test_another_key_is_other_work(tmp_path: Path) -> None:
    flights = InFlight(str(tmp_path))
    with (
        flights.alone(KEY, waiting=nobody, cancelled=never),
        flights.alone("b" * 64, waiting=nobody, cancelled=never),
    ):
        pass


def test_who_waits_says_so_once_and_can_be_cancelled(tmp_path: Path) -> None:
    flights = InFlight(str(tmp_path))
    said: list[str] = []
    answers = iter([False, False, True])
    with (
        flights.alone(KEY, waiting=nobody, cancelled=never),
        pytest.raises(Cancelled),
        flights.alone(KEY, waiting=lambda: said.append("waits"), cancelled=lambda: next(answers)),
    ):
        pass
    assert said == ["waits"]


def test_a_process_that_is_killed_lets_go(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from builder.store.inflight import InFlight\n"
        "with InFlight(sys.argv[1]).alone(sys.argv[2], waiting=print, cancelled=lambda: False):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path), KEY]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        waited = threading.Event()

        def waiting() -> None:
            waited.set()
            other.kill()

        with InFlight(str(tmp_path)).alone(KEY, waiting=waiting, cancelled=never):
            assert waited.is_set()
