from __future__ import annotations

from builder.ui.table import columns, table


def test_columns_are_those_of_docker() -> None:
    assert table(
        ("REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"),
        [("debian", "bookworm-slim", "0123456789ab", "2 hours ago", "74.8MB")],
    ) == (
        "REPOSITORY   TAG             IMAGE ID       CREATED       SIZE\n"
        "debian       bookworm-slim   0123456789ab   2 hours ago   74.8MB\n"
    )


def test_empty_table_is_its_header() -> None:
    assert table(("REPOSITORY", "TAG", "SIZE"), []) == "REPOSITORY   TAG       SIZE\n"


def test_wide_characters_keep_the_columns() -> None:
    lines = table(("A", "B"), [("日本語日本語", "x"), ("abc", "y")]).splitlines()
    assert lines == ["A              B", "日本語日本語   x", "abc            y"]


def test_cells_cannot_reach_the_terminal() -> None:
    assert "\x1b" not in table(("A", "B"), [("\x1b[2J", "x")])


def test_columns_end_where_a_line_lacks_them() -> None:
    lines = [["a", "b", "c"], ["wider than ten", "", ""], ["alone"], ["x", "y"]]
    assert columns(lines) == (
        "a                b         c\nwider than ten             \nalone\nx         y\n"
    )


def test_columns_are_aligned_by_cells_of_the_screen() -> None:
    assert (
        columns([["日本語日本語", "x"], ["\x1b[2J", "y"]]) == "日本語日本語   x\n␛[2J           y\n"
    )
