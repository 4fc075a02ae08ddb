from __future__ import annotations

from builder.ui.summary import short_id, summary

ID = "sha256:0123456789ab" + "c" * 52


def test_summary_names_image_size_time_and_cache() -> None:
    assert (
        summary(
            image_id=ID,
            names=("a:latest", "b:1"),
            bytes_=12_345_678,
            seconds=1.44,
            steps=5,
            cached=3,
        )
        == "Built a:latest, b:1 (0123456789ab, 12.3MB) in 1.4s, 3 of 5 steps were cached"
    )


def test_summary_of_an_image_without_a_name_gives_its_id() -> None:
    line = summary(image_id=ID, names=(), bytes_=0, seconds=0, steps=0, cached=0)
    assert line == "Built 0123456789ab (0B) in 0.0s, no steps to run"


def test_summary_says_when_everything_was_cached() -> None:
    line = summary(image_id=None, names=(), bytes_=0, seconds=0.06, steps=4, cached=4)
    assert line == "Finished in 0.1s, all 4 steps were cached"


def test_short_id_is_twelve_digits() -> None:
    assert short_id(ID) == "0123456789ab"
