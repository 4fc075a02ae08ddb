from __future__ import annotations

import os
import pty
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from builder.containers.pumps import Pump, is_pipe, write_all


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe whose ends may be closed by the test."""
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


def test_only_pipes_may_be_handed_on(tmp_path: Path, pipe: tuple[int, int]) -> None:
    assert is_pipe(pipe[0])
    assert is_pipe(pipe[1])
    with ExitStack() as stack:
        (tmp_path / "file").touch()
        for path in (tmp_path, tmp_path / "file", Path("/dev/null")):
            descriptor = os.open(path, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            assert not is_pipe(descriptor)
        for descriptor in pty.openpty():
            stack.callback(os.close, descriptor)
            assert not is_pipe(descriptor)
    assert not is_pipe(descriptor)  # closed by now


def test_a_pump_passes_everything_on(tmp_path: Path, pipe: tuple[int, int]) -> None:
    data = os.urandom(300_000)
    with (tmp_path / "out").open("wb") as sink:
        pump = Pump(pipe[0], sink.fileno())
        write_all(pipe[1], data)
        os.close(pipe[1])
        pump.finish()
    assert (tmp_path / "out").read_bytes() == data


def test_a_pump_stops_though_its_source_goes_on(tmp_path: Path, pipe: tuple[int, int]) -> None:
    ended: list[bool] = []
    with (tmp_path / "out").open("wb") as sink:
        pump = Pump(pipe[0], sink.fileno(), at_end=lambda: ended.append(True))
        assert pump.stop()
    assert ended == [True]
    write_all(pipe[1], b"for the next reader")
    assert os.read(pipe[0], 100) == b"for the next reader"


def test_a_pump_ends_when_nobody_takes_what_it_brings(pipe: tuple[int, int]) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    pump = Pump(pipe[0], write_end)
    write_all(pipe[1], b"x")
    pump.finish()
    os.close(write_end)


def test_writing_waits_where_a_sink_is_set_not_to_block(pipe: tuple[int, int]) -> None:
    data = os.urandom(1_000_000)
    os.set_blocking(pipe[1], False)

    def write() -> None:
        write_all(pipe[1], data)
        os.close(pipe[1])

    thread = threading.Thread(target=write)
    thread.start()
    with open(pipe[0], "rb", closefd=False) as reader:
        assert reader.read() == data
    thread.join()
