from __future__ import annotations

import pytest

from builder.ui.size import age, age_of, duration, size


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0B"),
        (999, "999B"),
        (1000, "1kB"),
        (12_345_678, "12.3MB"),
        (999_950, "1MB"),
        (123_400_000, "123MB"),
        (7_800_000_000, "7.8GB"),
        (5 * 10**18, "5000PB"),
    ],
)
def test_sizes_are_decimal_with_three_digits(count: int, shown: str) -> None:
    assert size(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0.0s"), (1.24, "1.2s"), (59.99, "1m00.0s"), (123.4, "2m03.4s"), (3725, "1h02m05s")],
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "Less than a second ago"),
        (1, "1 second ago"),
        (59, "59 seconds ago"),
        (60, "About a minute ago"),
        (3599, "59 minutes ago"),
        (3600, "About an hour ago"),
        (2 * 3600, "2 hours ago"),
        (47 * 3600, "47 hours ago"),
        (2 * 86400, "2 days ago"),
        (15 * 86400, "2 weeks ago"),
        (90 * 86400, "3 months ago"),
        (800 * 86400, "2 years ago"),
    ],
)
def test_ages_are_in_dockers_words(seconds: float, shown: str) -> None:
    assert age(seconds) == shown


def test_age_of_an_image_without_a_date_is_not_known() -> None:
    assert age_of("", 0) == "N/A"
    assert age_of("0001-01-01T00:00:00Z", 0) == "N/A"
    assert age_of("not a date", 0) == "N/A"


def test_age_of_reads_nanoseconds() -> None:
    assert age_of("1970-01-01T00:00:00.123456789Z", 7200) == "2 hours ago"
