"""Plain text columns, set as Docker sets them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from builder.ui.cells import neutral, width

_PADDING = 3
_NARROWEST = 10


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return the header and the rows as aligned lines, each ended by a newline.

    Columns are at least ten cells wide and three apart; the last one is not filled up.
    """
    lines = [tuple(map(neutral, row)) for row in (header, *rows)]
    widths = [
        max(_NARROWEST, *(width(line[column]) + _PADDING for line in lines))
        for column in range(len(header) - 1)
    ]
    return "".join(_line(line, widths) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    filled = [
        cell + " " * (space - width(cell)) for cell, space in zip(cells, widths, strict=False)
    ]
    return "".join((*filled, cells[-1])).rstrip() + "\n"
