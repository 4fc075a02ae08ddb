from __future__ import annotations

from builder.ui.table import table


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
