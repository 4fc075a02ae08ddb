"""The last lines of an output, whatever is in it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from builder.solve.steps.run import TAIL_LINES, TAIL_WIDTH, Tail


def tail_of(*pieces: bytes) -> list[str]:
    tail = Tail()
    for piece in pieces:
        tail.add(piece)
    return tail.notes()[0].split("\n")[1:] if tail.notes() else []


def test_nothing_is_said_of_no_output() -> None:
    assert Tail().notes() == ()
    assert tail_of(b"", b"\n \n") == []


def test_the_last_lines_are_kept_in_order() -> None:
    output = b"".join(b"%d\n" % number for number in range(100))
    assert tail_of(output) == [str(number) for number in range(100 - TAIL_LINES, 100)]


def test_a_line_may_come_in_pieces_and_the_last_one_may_be_open() -> None:
    assert tail_of(b"on", b"e\ntw", b"o") == ["one", "two"]


@given(st.lists(st.binary(max_size=2000)))
def test_it_is_bounded_whatever_is_put_in(pieces: list[bytes]) -> None:
    lines = tail_of(*pieces)
    assert len(lines) <= TAIL_LINES
    assert all(len(line) <= TAIL_WIDTH for line in lines)


@given(st.lists(st.text("ab \n", max_size=60)))
def test_it_does_not_matter_where_lines_are_cut_into_pieces(pieces: list[str]) -> None:
    output = "".join(pieces)
    expected = [line.rstrip() for line in output.split("\n") if line.strip()][-TAIL_LINES:]
    found = [line.rstrip() for line in tail_of(*[piece.encode() for piece in pieces])]
    assert [line for line in found if line] == expected
