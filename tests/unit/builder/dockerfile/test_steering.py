"""Comments of ours above an instruction: what they ask for, and what is refused."""

from __future__ import annotations

import pytest

from builder.dockerfile.durations import seconds
from builder.graph.operations import RunOp
from builder.graph.vertex import Vertex
from builder.solve.lookup import run_key
from builder.store.layers import State
from tests.unit.builder.dockerfile.checks.checking import check
from tests.unit.builder.dockerfile.dockerfiles import error_of, lowered, marked

HEAD = "FROM base\nARG SHA=1\nARG NONE\nENV KEPT=2\n"


def last(text: str, **options: object) -> Vertex:
    found = lowered(HEAD + text, **options)  # type: ignore[arg-type]
    assert found.graph.target is not None
    return found.graph.vertices[found.graph.target]


def run(text: str, **options: object) -> RunOp:
    operation = last(text, **options).op
    assert isinstance(operation, RunOp)
    return operation


@pytest.mark.parametrize(
    "instruction", ["RUN true", "COPY a b", "ADD a b", "WORKDIR /w", "RUN true \\\n && false"]
)
def test_a_time_to_live_is_for_the_step_below(instruction: str) -> None:
    vertex = last(f"# a remark\n# lapstrake: ttl=1d\n{instruction}")
    assert vertex.ttl == 86_400
    assert last(f"# lapstrake: ttl=1d\n\nRUN true\n{instruction}").ttl == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90), ("30m", 1800), ("12h", 43_200), ("1d12h", 129_600), ("2w", 1_209_600)],
)
def test_time_spans_are_written_as_people_do(text: str, expected: int) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text", ["", "0d", "1", "d", "1.5h", "-1d", "1y", "1d ", "9" * 13 + "s", "٣d"]
)
def test_other_texts_are_no_time_spans(text: str) -> None:
    with pytest.raises(ValueError):
        seconds(text)


def test_an_argument_that_is_to_be_ignored_is_seen_and_does_not_count() -> None:
    text = "# lapstrake: ignore-arg=SHA\nRUN echo $SHA"
    one, two = run(text), run(text, build_args={"SHA": "7"})
    assert "SHA=7" in two.hidden_env
    assert not any(each.startswith("SHA=") for each in two.env)
    assert "KEPT=2" in two.env
    assert run_key(one, State()).digest == run_key(two, State()).digest
    plain = "RUN echo $SHA"
    other = run(plain, build_args={"SHA": "7"})
    assert run_key(run(plain), State()).digest != run_key(other, State()).digest


def test_several_are_named_with_commas_or_in_lines_of_their_own_beside_a_ttl() -> None:
    text = "# lapstrake: ignore-arg=SHA,NONE ttl=1h\n# LAPSTRAKE: Ignore-Arg=NONE\nRUN true"
    assert last(text).ttl == 3600
    assert run(text, build_args={"NONE": "x"}).hidden_env == ("SHA=1", "NONE=x")


def test_an_argument_without_a_value_may_be_ignored() -> None:
    assert run("# lapstrake: ignore-arg=NONE\nRUN true").hidden_env == ()


def test_it_counts_for_the_one_step_only() -> None:
    assert "SHA=1" in run("# lapstrake: ignore-arg=SHA\nRUN true\nRUN false").env


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("ignore-arg=SHO\nRUN a", "there is no build argument `SHO` here", "did you mean `SHA`?"),
        (
            "ignore-arg=OTHER\nRUN a",
            "there is no build argument `OTHER` here",
            "declare it above with `ARG OTHER`",
        ),
        (
            "ignore-arg=KEPT\nRUN a",
            "`KEPT` is a variable of the image, not a build argument",
            "it counts as any ENV does",
        ),
        ("ignore-arg\nRUN a", "`ignore-arg` names no argument", None),
        ("ignore-arg=SHA\nCOPY a b", "`ignore-arg` counts for RUN only", "leave it out"),
        (
            "ttl=soon\nRUN a",
            "`ttl=soon` is no time span",
            "write it as a number with a unit: `30m`, `12h`, `1d`, `2w`",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, message: str, hint: str | None) -> None:
    error = error_of(lowered, f"{HEAD}# lapstrake: {text}")
    assert (error.message, error.hint) == (message, hint)
    assert marked(error) == text.partition("\n")[2].partition(" ")[0]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "# lapstrake: tll=1d\nRUN true",
            "`tll` in a comment of lapstrake's own says nothing",
            "did you mean `ttl`?",
        ),
        (
            "# Lapstrake: whatever\nRUN true",
            "`whatever` in a comment of lapstrake's own says nothing",
            None,
        ),
        ("# lapstrake: ttl=1d\nENV A=1", "`ttl` has no effect above ENV", None),
        ("# lapstrake: ignore-arg=A\nCMD true", "`ignore-arg` has no effect above CMD", None),
    ],
)
def test_what_says_nothing_is_a_warning(text: str, message: str, hint: str | None) -> None:
    shown = [each for each in check(f"FROM base\n{text}") if each.code == "CommentWithoutEffect"]
    [warning] = shown
    assert (warning.message, warning.hint) == (message, hint)


def test_the_warning_is_silenced_as_others_are() -> None:
    text = "FROM base\n# check=skip=CommentWithoutEffect\n# lapstrake: tll=1d\nRUN true"
    assert check(text) == ()


def test_other_comments_and_what_is_known_are_no_reason_to_warn() -> None:
    text = "FROM base\nARG A=1\n# lapstrake\n# lapstraked: x\n# lapstrake: ttl=1d ignore-arg=A\nRUN true"
    assert check(text) == ()


def test_a_comment_of_ours_describes_no_argument() -> None:
    text = "# check=experimental=InvalidDefinitionDescription\nFROM base\n# lapstrake: x\nARG A=1"
    assert [each.code for each in check(text)] == ["CommentWithoutEffect"]
