"""What the steps of a project were: kept, shortened, and never in the way."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from builder.graph.explain import Facts
from builder.store import traces
from builder.store.traces import Trace


def facts(number: int, size: int = 0) -> Facts:
    values = {"command": "x" * size}
    return Facts(
        stage="", position=number, text=f"RUN {number}", kind="run", key="k", values=values
    )


def test_what_was_added_is_read_in_its_order(tmp_path: Path) -> None:
    trace = Trace(str(tmp_path / "traces" / "p"))
    assert trace.read() == []
    trace.add(facts(1), facts(2))
    trace.add(facts(3))
    assert trace.read() == [facts(1), facts(2), facts(3)]


def test_what_was_cut_off_or_is_not_understood_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "traces" / "p"
    trace = Trace(str(path))
    trace.add(facts(1))
    with path.open("ab") as file:
        file.write(b"\0\0\0\2{}" + b"\0\0\1\0cut")
    assert trace.read() == [facts(1)]


def test_the_older_half_goes_where_there_is_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "LARGEST", 10_000)
    trace = Trace(str(tmp_path / "traces" / "p"))
    for number in range(50):
        trace.add(facts(number, 1000))
    kept = trace.read()
    assert kept[-1].position == 49
    assert os.path.getsize(tmp_path / "traces" / "p") < 12_000


def test_projects_of_long_ago_go_when_a_new_one_comes(tmp_path: Path) -> None:
    old = tmp_path / "traces" / "old"
    Trace(str(old)).add(facts(1))
    ancient = time.time() - traces.OLDEST - 5
    os.utime(old, (ancient, ancient))
    Trace(str(tmp_path / "traces" / "new")).add(facts(1))
    assert os.listdir(tmp_path / "traces") == ["new"]


def test_a_place_that_cannot_be_written_loses_it_in_silence(tmp_path: Path) -> None:
    (tmp_path / "traces").write_text("")
    Trace(str(tmp_path / "traces" / "p")).add(facts(1))
