from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.ui.cells import neutral
from builder.ui.output import LONGEST, Pending, feed, feed_plain, finish


def lines_of(*pieces: bytes) -> list[str]:
    pending = Pending()
    lines: list[str] = []
    for piece in pieces:
        pending, complete = feed(pending, piece)
        lines.extend(complete)
    return [*lines, *finish(pending)]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ((b"a\nb\n",), ["a", "b"]),
        ((b"a", b"b\nc"), ["ab", "c"]),
        ((b"\xe6\x97", b"\xa5\n"), ["日"]),
        ((b"a\r\nb\r\n",), ["a", "b"]),
        ((b"a\r", b"\nb"), ["a", "b"]),
        ((b"10%\r20%\r100%\ndone",), ["10%", "20%", "100%", "done"]),
        ((b"10%\r", b"20%\r", b"\n"), ["10%", "20%"]),
        ((b"\n\n",), ["", ""]),
        ((b"caf\xe9\n",), ["caf\\xe9"]),
        ((b"",), []),
    ],
)
def test_pieces_become_lines(pieces: tuple[bytes, ...], expected: list[str]) -> None:
    assert lines_of(*pieces) == expected


def test_line_without_an_end_is_cut_between_characters() -> None:
    text = "x" + "é" * LONGEST
    lines = lines_of(text.encode())
    assert "".join(lines) == text
    assert max(len(line.encode()) for line in lines) <= LONGEST


def test_memory_of_an_endless_line_is_bounded() -> None:
    pending = Pending()
    for _ in range(50):
        pending, _lines = feed(pending, b"x" * 4096)
        assert len(pending.data) <= LONGEST


@given(st.text(alphabet="ab\n é日"), st.lists(st.integers(0, 40)))
def test_lines_do_not_depend_on_where_the_pieces_are_cut(text: str, cuts: list[int]) -> None:
    data = text.encode()
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[a:b] for a, b in itertools.pairwise(places)]
    assert lines_of(*pieces) == lines_of(data)


@given(st.lists(st.binary(max_size=12)))
def test_nothing_but_line_ends_is_lost(pieces: list[bytes]) -> None:
    shown = "".join(lines_of(*pieces))
    wanted = b"".join(pieces).replace(b"\r", b"").replace(b"\n", b"")
    if wanted.isascii():
        assert shown == wanted.decode()


@given(st.lists(st.binary(max_size=40) | st.text("ab\t\n", max_size=40).map(str.encode)))
def test_the_fast_way_says_the_same_where_it_says_anything(pieces: list[bytes]) -> None:
    pending = Pending()
    for piece in pieces:
        slow, lines = feed(pending, piece)
        easy = feed_plain(pending, piece)
        if easy is not None:
            assert easy == (slow, "".join(f"{line}\n" for line in lines))
            assert all(neutral(line) == line for line in lines)
        pending = slow


def test_usual_output_goes_the_fast_way() -> None:
    assert feed_plain(Pending(b"one"), b" two\n\tthree\nfo") == (
        Pending(b"fo"),
        "one two\n\tthree\n",
    )
