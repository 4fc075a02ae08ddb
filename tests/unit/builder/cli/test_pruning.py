"""The words of `prune`."""

from __future__ import annotations

import time

import pytest

from builder.cli.pruning import pruning_of
from builder.engine import Kind, LabelFilter, Pruning
from builder.errors import UsageError


def read(*filters: str, everything: bool = False, cache_mounts: bool = False) -> Pruning:
    """Read filters."""
    return pruning_of(
        filters,
        everything=everything,
        cache_mounts=cache_mounts,
        reserved=None,
        most=None,
        free=None,
    )


@pytest.mark.parametrize(
    ("word", "moment"),
    [
        ("until=1700000000", 1_700_000_000),
        ("until=2023-11-14T22:13:20Z", 1_700_000_000),
        ("until=2023-11-14T22:13:20", 1_700_000_000),
        ("until=2023-11-15T00:13:20+02:00", 1_700_000_000),
        ("until=2023-11-14", 1_699_920_000),
    ],
)
def test_until_is_a_moment(word: str, moment: float) -> None:
    assert read(word).until == moment


@pytest.mark.parametrize(
    ("word", "seconds"),
    [("until=24h", 86_400), ("until=1h30m", 5_400), ("unused-for=10s", 10), ("until=2d", 172_800)],
)
def test_until_is_a_span_before_now(word: str, seconds: float) -> None:
    until = read(word).until
    assert until is not None
    assert abs(time.time() - seconds - until) < 60


def test_the_earliest_of_several_moments_counts() -> None:
    assert read("until=20", "until=10").until == 10


def test_labels_are_wanted_or_not_with_a_value_or_any() -> None:
    assert read("label=a", "label=b=c=d", "label!=e").labels == (
        LabelFilter("a", None, wanted=True),
        LabelFilter("b", "c=d", wanted=True),
        LabelFilter("e", None, wanted=False),
    )


@pytest.mark.parametrize(
    ("label", "passes"),
    [
        (LabelFilter("a", None, wanted=True), True),
        (LabelFilter("a", "1", wanted=True), True),
        (LabelFilter("a", "2", wanted=True), False),
        (LabelFilter("b", None, wanted=True), False),
        (LabelFilter("a", None, wanted=False), False),
        (LabelFilter("a", "2", wanted=False), True),
        (LabelFilter("b", None, wanted=False), True),
    ],
)
def test_a_label_passes_by_its_name_and_value(label: LabelFilter, *, passes: bool) -> None:
    assert label.takes({"a": "1"}) is passes


def test_images_with_names_are_dangling_false() -> None:
    assert read("dangling=false").everything
    assert not read("dangling=true").everything
    assert read("dangling=true", everything=True).everything


def test_types_leave_images_alone() -> None:
    assert read().kinds is None
    assert read("type=regular", cache_mounts=True).kinds == {Kind.STEPS, Kind.CACHE_MOUNTS}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("inuse=true",), "the filter `inuse=true` is not known"),
        (("untill=1h",), "the filter `untill=1h` is not known"),
        (("until",), "the filter `until` is not known"),
        (("until=yesterday",), "`yesterday` in `until=yesterday` is no moment"),
        (("dangling=maybe",), "neither true nor false"),
        (("type=frontend",), "`frontend` in `type=frontend` is no type"),
        (("type=regular", "label=a"), "only images have labels"),
    ],
)
def test_what_is_no_filter_is_refused(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(*words)
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("pruning", "used", "available", "to_free"),
    [
        (Pruning(), 100, 0, None),
        (Pruning(most=30), 100, 0, 70),
        (Pruning(most=300), 100, 0, 0),
        (Pruning(free=30), 100, 20, 10),
        (Pruning(free=30), 100, 40, 0),
        (Pruning(reserved=30), 100, 0, 70),
        (Pruning(reserved=30, most=10), 100, 0, 70),
        (Pruning(reserved=90, most=30, free=50), 100, 0, 10),
    ],
)
def test_what_is_to_be_freed(
    pruning: Pruning, used: int, available: int, to_free: int | None
) -> None:
    assert pruning.to_free(used, available) == to_free
