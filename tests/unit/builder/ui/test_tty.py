from __future__ import annotations

from collections.abc import Iterable

from builder.events import (
    BuildStarted,
    Cause,
    Difference,
    Event,
    Explained,
    Outcome,
    VertexDone,
    VertexLog,
    VertexStarted,
)
from builder.ui.cells import width
from builder.ui.tty import Role, State, final, layout, reduce
from tests.unit.builder.ui.recorded import BAD, GOOD


def after(events: Iterable[Event]) -> State:
    state = State()
    for event in events:
        state = reduce(state, event)
    return state


def picture(state: State, now: float, columns: int = 60, height: int = 30) -> list[str]:
    return [row.text(columns) for row in layout(state, now, height)]


def test_running_steps_show_their_output_timer_and_transfers() -> None:
    assert picture(after(GOOD[:10]), 2.2, 72) == [
        "[+] Building 2.2s (1/4, 1 warning)",
        " => [internal] load build definition  (12 lines)                    0.0s",
        " => [build 1/2] FROM docker.io/library/debian                       2.1s",
        " => => sha256:abc  [============>           ] 15MB / 30MB  7.5MB/s",
        " => [stage-1 1/1] RUN make                                          1.9s",
        " => => # cc -c a.c",
        " => => # cc -c",
    ]


def test_waiting_is_shown_until_something_happens() -> None:
    assert " => => waiting for the cache mount `/root/.cache`" in picture(after(GOOD[:8]), 0.4)
    assert not any("waiting" in line for line in picture(after(GOOD[:9]), 0.5))


def test_final_picture_has_every_step_and_the_output_of_the_failed_one() -> None:
    assert [row.text(40) for row in final(after(BAD))] == [
        "[+] Building 0.6s (3/3)",
        " => ERROR [1/3] RUN make            0.5s",
        " => => # error: no rule",
        " => => # stopped",
        " => CANCELED [2/3] RUN test         0.6s",
        " => SKIPPED #3                      0.0s",
    ]


def test_final_picture_of_a_good_build_has_no_output_left() -> None:
    rows = final(after(GOOD))
    assert [row.role for row in rows] == [Role.HEADER] + [Role.DONE] * 4
    assert rows[-1].left == " => CACHED [build 2/2] COPY . ."


def test_steps_that_ended_give_way_to_those_that_run() -> None:
    events: list[Event] = []
    for number in range(1, 31):
        events.append(VertexStarted(id=number, name=f"step {number}"))
        if number < 30:
            events.append(VertexDone(id=number, outcome=Outcome.EXECUTED))
    events.append(VertexLog(id=30, data=b"a\nb\n"))
    lines = picture(after(events), 1.0, 30, 8)
    assert len(lines) <= 8
    assert lines[0] == "[+] Building 1.0s (29/30)"
    assert lines[-3].startswith(" => step 30")
    assert lines[-1] == " => => # b"


def test_steps_from_before_the_plan_are_counted_beside_it() -> None:
    events: list[Event] = [
        VertexStarted(id=1, name="pull a"),
        VertexDone(id=1, outcome=Outcome.EXECUTED),
        BuildStarted(dockerfile="Dockerfile", total=1),
    ]
    assert picture(after(events), 0.0)[0] == "[+] Building 0.0s (1/2)"


def test_title_says_what_is_done() -> None:
    assert picture(State(title="Pulling"), 0.5) == ["[+] Pulling 0.5s (0/0)"]


def test_picture_never_exceeds_the_screen() -> None:
    events: list[Event] = []
    for number in range(40):
        events.append(VertexStarted(id=number, name="日本語" * 30))
        events.append(VertexLog(id=number, data=b"x" * 300 + b"\n" * 10))
    lines = picture(after(events), 1.0, 40, 10)
    assert len(lines) == 10
    assert max(map(width, lines)) <= 40


def test_last_lines_are_kept_and_neutral() -> None:
    log = VertexLog(id=1, data=b"".join(b"%d\x1b[2J\n" % n for n in range(100)))
    state = after([VertexStarted(id=1, name="RUN"), log])
    assert len(state.steps[1].tail) == 20
    assert state.steps[1].tail[-1] == "99␛[2J"


def test_why_a_step_is_not_cached_stands_below_it_also_when_it_has_ended() -> None:
    changed = Difference(cause=Cause.INPUT, subject="ENV A")
    events: list[Event] = [
        VertexStarted(id=1, name="RUN make"),
        Explained(id=1, reason="ENV A changed", differences=(changed,)),
    ]
    assert picture(after(events), 1.0)[1:] == [
        " => RUN make                                            1.0s",
        " => => not cached: ENV A changed",
    ]
    events.append(VertexDone(id=1, outcome=Outcome.SAME, note="same result as before", at=1.0))
    assert picture(after(events), 1.0)[1:] == [
        " => SAME RUN make  (same result as before)              1.0s",
        " => => not cached: ENV A changed",
    ]


def test_what_whoever_started_the_build_knows_anyway_takes_no_room() -> None:
    for cause in (Cause.NEVER, Cause.ASKED):
        events = (
            VertexStarted(id=1, name="RUN make"),
            Explained(id=1, reason="x", differences=(Difference(cause=cause),)),
        )
        assert len(picture(after(events), 1.0)) == 2
