"""Which times count for the content id of a step's layer can be told again from its entry list and its tar."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.layer.pack import SECOND
from builder.layer.scanned import LayerScan
from builder.layer.times import Counted, StepTimes, counted

SINCE = 1000 * SECOND + 500


@pytest.mark.parametrize(
    "moments",
    [
        (),
        (5 * SECOND,),
        (SINCE + 1, SINCE + 3 * SECOND),
        (5 * SECOND + 7, SINCE - 1, SINCE + 1),
        (SINCE + 1, SINCE - 1, SINCE - 400, SINCE, 999 * SECOND),
        (SINCE - 1, 1001 * SECOND),
    ],
)
def test_the_list_and_whole_seconds_give_the_same_id(
    tmp_path: Path, moments: tuple[int, ...]
) -> None:
    times = StepTimes(SINCE)
    listed: list[int] = []
    seconds: list[tuple[bytes, int]] = []
    for number, moment in enumerate(moments):
        path = tmp_path / str(number)
        path.touch()
        os.utime(path, ns=(moment, moment))
        listed.append(times.of(b"%d" % number, path.stat()))
        seconds.append((b"%d" % number, moment // SECOND))
    made = times.complete(LayerScan(diff_id="", size=0, content_id="plain", count=1))
    assert counted(listed).content_id("plain", seconds) == made.content_id


def test_other_times_give_another_id() -> None:
    times = [(b"a", 5), (b"b", 7)]
    ids = {Counted(before).content_id("plain", times) for before in (0, 6, 8)}
    assert len(ids) == 3
