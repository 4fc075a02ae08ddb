from __future__ import annotations

from collections.abc import Iterable

from builder.events import (
    Cause,
    Difference,
    Event,
    Explained,
    Outcome,
    Progress,
    VertexDone,
    VertexLog,
    VertexStarted,
)
from builder.ui.plain import State, reduce, render
from tests.unit.builder.ui.recorded import BAD, GOOD


def shown(events: Iterable[Event], state: State = State()) -> str:  # noqa: B008  a frozen value
    text = ""
    for event in events:
        state = reduce(state, event)
        text += render(state)
    return text


def test_good_build() -> None:
    assert shown(GOOD) == (
        "#1 [internal] load build definition\n"
        "#1 12 lines\n"
        "#1 DONE 0.0s\n"
        "\n"
        "#2 [build 1/2] FROM docker.io/library/debian\n"
        "\n"
        "#3 [stage-1 1/1] RUN make\n"
        "#3 waiting for the cache mount `/root/.cache`\n"
        "#3 0.200 cc -c a.c\n"
        "#2 sha256:abc 21MB / 30MB 5.2s (4.04MB/s)\n"
        "#3 0.300 cc -c b.c\n"
        "#3 0.400 étape\n"
        "#3 1.200 end\n"
        "#3 DONE 1.2s\n"
        "#2 sha256:abc 30MB / 30MB 6.0s (5MB/s)\n"
        "#2 DONE 6.2s\n"
        "\n"
        "#4 [build 2/2] COPY . .\n"
        "#4 CACHED\n"
    )


def test_failed_build_keeps_the_last_words_and_tells_cached_from_cancelled() -> None:
    assert shown(BAD) == (
        "#1 [1/3] RUN make\n"
        "\n"
        "#2 [2/3] RUN test\n"
        "#1 0.250 error: no rule\n"
        "#1 0.500 stopped\n"
        "#1 ERROR: the command exited with code 2\n"
        "#2 CANCELED\n"
        "#3 SKIPPED\n"
    )


def test_what_was_there_already_is_not_told_as_moved() -> None:
    text = shown(
        [
            VertexStarted(id=1, name="push a"),
            Progress(id=1, item="sha256:abc", done=0, total=9),
            Progress(id=1, item="sha256:abc", done=9, total=9, here=True),
        ]
    )
    assert text == "#1 push a\n#1 sha256:abc exists\n"


def test_every_line_of_output_is_under_its_number_so_that_it_cannot_pose_as_another() -> None:
    text = shown(
        [VertexStarted(id=1, name="RUN evil"), VertexLog(id=1, data=b"a\r#2 CACHED\x1b[1A\n")]
    )
    assert text.splitlines() == ["#1 RUN evil", "#1 0.000 a", "#1 0.000 #2 CACHED␛[1A"]


def test_colours_of_a_command_are_kept_on_request() -> None:
    log = VertexLog(id=1, data=b"\x1b[31mred\n")
    assert shown([log]) == "#1 0.000 red\n"
    assert shown([log], State(colour=True)) == "#1 0.000 \x1b[31mred\x1b[0m\n"


def test_name_of_a_step_stays_on_its_line() -> None:
    assert shown([VertexStarted(id=1, name="RUN <<EOF\necho\x1b[2J")]) == "#1 RUN <<EOF echo␛[2J\n"


def test_reducing_does_not_change_the_state_before() -> None:
    before = reduce(State(), VertexStarted(id=1, name="RUN a"))
    reduce(before, VertexLog(id=1, data=b"partial"))
    assert before.steps[1].pending.data == b""


def test_a_step_of_a_first_build_does_not_say_that_it_is_not_cached() -> None:
    never = Difference(cause=Cause.NEVER)
    assert shown(
        (
            VertexStarted(id=1, name="RUN make"),
            Explained(id=1, reason="never built before", differences=(never,)),
        )
    ).splitlines() == ["#1 RUN make"]


def test_a_step_that_is_not_cached_says_why_in_a_line() -> None:
    lines = shown(
        (
            VertexStarted(id=1, name="RUN make"),
            Explained(id=1, reason="ENV A changed\n#9 DONE"),
            VertexDone(id=1, outcome=Outcome.SAME, note="same result as before", at=1.0),
        )
    ).splitlines()
    assert lines == [
        "#1 RUN make",
        "#1 not cached: ENV A changed #9 DONE",
        "#1 same result as before",
        "#1 DONE 1.0s",
    ]
