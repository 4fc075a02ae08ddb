"""Go's durations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.dockerfile import durations


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("5s", 5 * 10**9),
        ("1m30s", 90 * 10**9),
        ("1.5h", 5400 * 10**9),
        (".5s", 500_000_000),
        ("1.s", 10**9),
        ("100ms", 100_000_000),
        ("3us2ns", 3002),
        ("2µs", 2000),
        ("-1s", -(10**9)),
        ("+1s", 10**9),
    ],
)
def test_a_duration_is_read(text: str, expected: int) -> None:
    assert durations.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "5", "s", ".s", "1.2.3s", "5 s", "5x", "-", "1s5", "9999999999h", "٣s", "1" * 200 + "s"],
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^"):
        durations.parse(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1500, "1.5µs"),
        (1_500_000, "1.5ms"),
        (1_500_000_000, "1.5s"),
        (90 * 10**9, "1m30s"),
        (3600 * 10**9, "1h0m0s"),
        (-(10**9), "-1s"),
    ],
)
def test_a_duration_is_shown_as_go_shows_it(value: int, expected: str) -> None:
    assert durations.show(value) == expected


@given(st.integers(0, (1 << 63) - 1))
def test_what_is_shown_reads_back(value: int) -> None:
    assert durations.parse(durations.show(value)) == value
