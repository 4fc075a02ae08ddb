from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.ui.cells import clip, neutral, width


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é日", "plain é日"),
        ("a\tb", "a\tb"),
        ("\x1b[2J", "␛[2J"),
        ("\x1b]0;title\x07", "␛]0;title␇"),
        ("\x9b2J", "\\x9b2J"),
        ("a\x00b\x7f", "a␀b␡"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[31", "␛[31"),
        ("a\nb", "a␊b"),
        (b"\x92b".decode("utf-8", "surrogateescape"), "\\x92b"),
    ],
)
def test_control_characters_are_made_visible(text: str, shown: str) -> None:
    assert neutral(text) == shown


def test_colours_may_be_kept_and_always_end() -> None:
    assert neutral("\x1b[1;31mred", colour=True) == "\x1b[1;31mred\x1b[0m"


def test_text_is_never_concealed() -> None:
    assert neutral("a\x1b[8mb\x1b[1;8mc", colour=True) == "abc"


@given(st.text(), st.booleans())
def test_no_control_but_tab_and_colour_gets_through(text: str, colour: bool) -> None:
    shown = neutral(text, colour=colour)
    for piece in shown.split("\x1b[")[1:]:
        assert piece.lstrip("0123456789;:").startswith("m")
    rest = shown.replace("\x1b[", "").replace("\t", "")
    assert not any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in rest)


def test_width_counts_cells() -> None:
    assert width("abc") == 3
    assert width("日本") == 4
    assert width("e\u0301") == 1


@pytest.mark.parametrize(
    ("text", "cells", "cut"),
    [("abcdef", 6, "abcdef"), ("abcdef", 4, "abc…"), ("日本語", 4, "日…"), ("abc", 0, "")],
)
def test_clip_marks_what_it_cut(text: str, cells: int, cut: str) -> None:
    assert clip(text, cells) == cut


@given(st.text(), st.integers(0, 20))
def test_clipped_text_fits(text: str, cells: int) -> None:
    assert width(clip(neutral(text), cells)) <= cells
