"""Why a step is not in the cache, told from facts alone."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from builder.events import Cause, Difference, FileDifference
from builder.graph.explain import (
    ABSENT,
    Below,
    Facts,
    chain,
    compare,
    nearest,
    place_of,
    reason,
    remark,
)

PYTHON = "docker.io/library/python:3.12"


def facts(text: str = "RUN make", **given: Any) -> Facts:
    whole = {"stage": "build", "position": 2, "kind": "run", "key": "k", **given}
    return Facts(text=text, **whole)


def image(digest: str, name: str = PYTHON) -> Below:
    return Below(name, digest, is_image=True, identity=f"sha256:{digest * 64}")


def why(now: Facts, before: Facts | None) -> str:
    return reason(compare(now, before))


def why_below(now: tuple[Below, ...], before: tuple[Below, ...] | None) -> str:
    return reason(compare(facts(), facts(), below=now, before_below=before))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("[build 2/5] RUN make", ("build", 2, "RUN make")),
        ("[ 2/15] RUN [a] b", ("", 2, "RUN [a] b")),
        ("[stage-1  2/15] COPY a b", ("stage-1", 2, "COPY a b")),
        ("[internal] take / from x", ("", 0, "take / from x")),
        ("FROM scratch", ("", 0, "FROM scratch")),
    ],
)
def test_the_name_of_a_step_says_where_it_stands(name: str, expected: tuple[str, int, str]) -> None:
    assert place_of(name) == expected


def test_what_was_never_built_has_nothing_to_be_compared_with() -> None:
    assert why(facts(), None) == "never built before"


def test_equal_facts_mean_that_the_result_was_lost() -> None:
    assert why(facts(), facts(key="other")) == "its result is no longer in the store"


@pytest.mark.parametrize(
    ("now", "before", "expected"),
    [
        ({"command": "a"}, {"command": "b"}, "the command changed"),
        ({"ENV A": "1"}, {"ENV A": "2"}, "ENV A changed"),
        ({"ARG A": "1"}, {}, "ARG A is new"),
        ({}, {"ENV A": "2"}, "ENV A is gone"),
        ({"user": "ann"}, {"user": ""}, "the user changed: none is now ann"),
        ({"directory": "/a"}, {"directory": "/b"}, "the working directory changed: /b is now /a"),
        ({"mount /c": "cache ro"}, {"mount /c": "cache rw"}, "a mount changed: /c"),
        ({"--chown": "5"}, {"--chown": ""}, "--chown changed"),
        (
            {"seen /x": "directory"},
            {"seen /x": "absent"},
            "it is copied onto something else: /x",
        ),
        (
            {"order of variables": "A B", "ENV A": "1"},
            {"order of variables": "B", "ENV A": "2"},
            "ENV A changed",
        ),
        (
            {"order of variables": "A B"},
            {"order of variables": "B A"},
            "the order of variables changed",
        ),
    ],
)
def test_what_an_author_changed_is_named(
    now: dict[str, str], before: dict[str, str], expected: str
) -> None:
    assert why(facts(values=now), facts(values=before)) == expected


def test_what_only_one_of_two_copies_observed_is_no_difference() -> None:
    now = facts(values={"seen /a": "absent", "destination": "/x"})
    assert why(now, facts(values={"destination": "/y"})) == (
        "the destination changed: /y is now /x"
    )


@pytest.mark.parametrize(
    ("now", "before", "expected"),
    [
        ({"bind /src": "1"}, {"bind /src": "2"}, "a bind mount changed: /src"),
        ({"secret token": "1"}, {"secret token": "2"}, "the secret token changed"),
        ({"files": "1"}, {"files": "2"}, "the files changed"),
    ],
)
def test_what_was_read_is_named(now: dict[str, str], before: dict[str, str], expected: str) -> None:
    assert why(facts(digests=now), facts(digests=before)) == expected


def test_a_new_base_is_named_with_its_digest() -> None:
    assert (
        why_below((image("a"),), (image("b"),))
        == f"the base changed: python:3.12 is now sha256:{'a' * 12}…"
    )


def test_another_base_is_named() -> None:
    now = image("a", "docker.io/library/python:3.13")
    assert why_below((now,), (image("b"),)) == ("the base changed: python:3.12 is now python:3.13")


def test_of_what_a_step_stands_on_the_lowest_that_differs_is_named() -> None:
    one, two = Below("COPY . .", "1"), Below("RUN a", "2")
    before = (image("a"), one, two)
    changed = (image("a"), Below("COPY . .", "9"), Below("RUN a", "8"))
    assert why_below(changed, before) == "a step before it made other files: COPY . ."
    renamed = (image("a"), Below("COPY . ./", "9"), two)
    assert why_below(renamed, before) == "a step before it made other files: COPY . ./"
    longer = (image("a"), Below("RUN new", "7"), one, two)
    assert why_below(longer, before) == "a step before it is new: RUN new"
    assert why_below(before, longer) == "a step before it is gone: RUN new"
    on_top = (image("a"), one, two, Below("RUN new", "7"))
    assert why_below(on_top, before) == "a step before it is new: RUN new"
    assert why_below(before, None) == "what it stands on changed"


def test_what_a_step_stood_on_is_found_again_from_the_facts_of_the_others() -> None:
    bottom = image("a")
    one = facts("COPY . .", image=bottom, base="a", layer="1", after="s1")
    two = facts("RUN a", image=bottom, base="s1", layer="2", after="s2")
    three = facts("RUN b", image=bottom, base="s2")
    by_after = {each.after: each for each in (one, two)}
    assert chain(three, by_after) == (bottom, Below("COPY . .", "1"), Below("RUN a", "2"))
    assert chain(one, by_after) == (bottom,)
    assert chain(three, {"s2": two}) is None
    assert chain(facts(base="x"), {"x": facts(base="x", after="x")}) is None
    assert chain(facts(), {}) == ()


def test_many_reasons_are_counted() -> None:
    now = facts(values={"command": "a", "user": "b", "directory": "c", "script": "1"})
    before = facts(values={"command": "x", "user": "y", "directory": "z", "script": "2"})
    assert why(now, before) == "the command changed; the user changed: y is now b; and 2 more"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ((("a", "content"),), "1 file changed: a"),
        ((("a", "content"), ("b", "mode 644, now 755")), "2 files changed: a, b"),
        ((("a", "added"), ("b", "added")), "2 files added: a, b"),
        ((("a", "removed"),), "1 file removed: a"),
        ((("a", "added"), ("b", "removed")), "2 files changed: a, b"),
        ((("a", "added"), ("b", "added"), ("c", "added")), "3 files added: a, b, …"),
    ],
)
def test_files_are_counted_and_two_are_named(
    files: tuple[tuple[str, str], ...], expected: str
) -> None:
    named = tuple(FileDifference(*each) for each in files)
    difference = Difference(cause=Cause.FILES, files=named, total=len(named))
    assert reason([difference]) == expected


def test_what_follows_stays_cached_only_where_nothing_below_changed() -> None:
    command = Difference(cause=Cause.INPUT, subject="command")
    base = Difference(cause=Cause.BASE, subject=PYTHON)
    assert remark([command]) == "same result as before, what follows stays cached"
    assert remark([command, base]) == "same result as before"


class TestNearest:
    """Which time before a step is compared with."""

    def test_the_same_text_goes_before_the_same_place(self) -> None:
        text = facts(position=7, when=1.0)
        place = facts("RUN other", when=2.0)
        assert nearest(facts(), [place, text], {"RUN make"}) is text

    def test_the_stage_goes_before_all(self) -> None:
        here, there = facts(position=7, when=1.0), facts(stage="test", when=2.0)
        assert nearest(facts(), [here, there], set()) is here

    def test_a_step_at_the_same_place_counts_unless_it_has_moved(self) -> None:
        before = facts("RUN make old")
        assert nearest(facts(), [before], {"RUN make"}) is before
        assert nearest(facts(), [before], {"RUN make", "RUN make old"}) is None

    def test_neither_text_nor_place_is_nothing(self) -> None:
        assert nearest(facts(), [facts("RUN b", position=3)], set()) is None

    def test_another_kind_is_nothing(self) -> None:
        assert nearest(facts(), [facts(kind="copy")], set()) is None

    def test_of_several_the_one_with_most_in_common_counts_then_the_newest(self) -> None:
        now = facts(values={"ENV A": "1", "ENV B": "1"})
        much = facts(values={"ENV A": "1", "ENV B": "2"}, when=1.0)
        little = facts(values={"ENV A": "2", "ENV B": "2"}, when=2.0)
        assert nearest(now, [much, little], set()) is much
        newer = msgspec.structs.replace(much, when=3.0)
        assert nearest(now, [newer, much, little], set()) is newer


def test_what_was_not_there_is_told_from_what_was_empty() -> None:
    [difference] = compare(facts(values={"ENV A": ""}), facts())
    assert (difference.before, difference.after) == (ABSENT, "")
