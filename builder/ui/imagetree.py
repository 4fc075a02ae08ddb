"""Images with their platforms below them, as `docker images --tree` draws them.

Source: docker/cli, cli/command/image/tree.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from builder.ui.cells import neutral, width
from builder.ui.size import size
from builder.ui.summary import short_id

if TYPE_CHECKING:
    from builder.engine import TreeMember, TreeRow

_UNTAGGED = "<untagged>"
_GAP = "   "


def drawn(rows: Sequence[TreeRow]) -> str:
    """Return the tree as lines, each ended by a newline, with an empty one after each image."""
    lines = list(_lines(rows))
    first = max(width("IMAGE"), *(width(text) for text, _ in lines)) if lines else width("IMAGE")
    head = f"{'IMAGE':{first}}{_GAP}{'ID':12}{_GAP}DISK USAGE{_GAP}CONTENT SIZE\n"
    return head + "".join(
        (text + " " * (first - width(text)) + details).rstrip() + "\n" for text, details in lines
    )


def _lines(rows: Sequence[TreeRow]) -> Iterator[tuple[str, str]]:
    """Yield what stands in the first column, and what stands behind it."""
    for row in rows:
        names = [neutral(name) for name in row.names] or [_UNTAGGED]
        yield from ((name, "") for name in names[:-1])
        yield names[-1], _details(row.top)
        for number, each in enumerate(row.members, 1):
            branch = "└─" if number == len(row.members) else "├─"
            yield f"{branch} {neutral(each.platform or 'unknown')}", _details(each)
        yield "", ""


def _details(image: TreeMember) -> str:
    transferred = "N/A" if image.transferred is None else size(image.transferred)
    return f"{_GAP}{short_id(image.id):12}{_GAP}{size(image.size):>10}{_GAP}{transferred:>12}"
