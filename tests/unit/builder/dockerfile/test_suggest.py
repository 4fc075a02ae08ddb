"""The nearest known word."""

from __future__ import annotations

import pytest

from builder.dockerfile.suggest import hint, nearest

WORDS = ["build", "test", "COPY"]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("biuld", "build"),
        ("buil", "build"),
        ("bulid", "build"),
        ("builds", "build"),
        ("b", None),
        ("xyz", None),
        ("build", None),
        ("", None),
        ("b" * 1000, None),
        ("cpoy", None),
    ],
)
def test_two_edits_are_near(word: str, expected: str | None) -> None:
    assert nearest(word, WORDS) == expected


def test_letter_case_can_be_ignored() -> None:
    assert nearest("CPOY", WORDS, fold=True) == "COPY"
    assert nearest("cpoy", WORDS, fold=True) == "copy"
    assert nearest("copy", WORDS, fold=True) is None


def test_short_words_are_not_guessed_at_random() -> None:
    assert nearest("ab", ["cd"]) is None
    assert nearest("ab", ["ac"]) == "ac"


def test_the_hint_is_a_question() -> None:
    assert hint("tset", WORDS) == "did you mean `test`?"
    assert hint("zzz", WORDS) is None
