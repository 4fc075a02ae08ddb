from __future__ import annotations

from builder.engine import TreeMember, TreeRow
from builder.ui.imagetree import drawn


def member(digit: str, platform: str = "", transferred: int | None = None) -> TreeMember:
    return TreeMember(
        platform=platform, id="sha256:" + digit * 64, size=12_100_000, transferred=transferred
    )


def test_platforms_stand_below_their_names() -> None:
    several = (member("a", "linux/amd64", 5_000), member("b", "linux/arm/v7"))
    rows = (
        TreeRow(names=("app:1", "app:latest"), top=member("a"), members=several),
        TreeRow(names=(), top=member("c", transferred=7), members=(member("c"),)),
    )
    assert drawn(rows) == (
        "IMAGE             ID             DISK USAGE   CONTENT SIZE\n"
        "app:1\n"
        "app:latest        aaaaaaaaaaaa       12.1MB            N/A\n"
        "├─ linux/amd64    aaaaaaaaaaaa       12.1MB            5kB\n"
        "└─ linux/arm/v7   bbbbbbbbbbbb       12.1MB            N/A\n"
        "\n"
        "<untagged>        cccccccccccc       12.1MB             7B\n"
        "└─ unknown        cccccccccccc       12.1MB            N/A\n"
        "\n"
    )


def test_an_empty_tree_is_its_header() -> None:
    assert drawn(()) == "IMAGE   ID             DISK USAGE   CONTENT SIZE\n"


def test_platforms_cannot_reach_the_terminal() -> None:
    row = TreeRow(names=("a:1",), top=member("a"), members=(member("a", "linux/\x1b[2J"),))
    assert "\x1b" not in drawn((row,))
