"""Subordinate ids."""

from __future__ import annotations

from runtime.idmap import subordinate, total, with_own

TEXT = """# comment
ann:100000:65536
1000:300000:10
bob:400000:65536
ann:broken
ann:-5:10
ann:5:0
ann:200000:1000
"""


def test_ranges_go_by_name_and_by_number_and_bad_lines_are_ignored() -> None:
    assert subordinate(TEXT, "ann", 1000) == ((100000, 65536), (300000, 10), (200000, 1000))
    assert subordinate(TEXT, None, 1000) == ((300000, 10),)
    assert subordinate(TEXT, "eve", 7) == ()


def test_ones_own_id_becomes_0_and_ranges_follow_one_another() -> None:
    ranges = with_own(1000, ((100000, 65536), (300000, 10)))
    assert ranges == ((0, 1000, 1), (1, 100000, 65536), (65537, 300000, 10))
    assert total(ranges) == 65547


def test_no_more_ranges_than_the_kernel_takes() -> None:
    text = "".join(f"ann:{number}:1\n" for number in range(1000))
    assert len(with_own(1, subordinate(text, "ann", 1))) == 340
