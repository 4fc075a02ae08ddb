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


def columns(lines: Sequence[Sequence[str]]) -> str:
    """Return lines of cells aligned, each ended by a newline; those that do not have a column end the run that shares it.

    Every cell but the last of a line is filled up, empty ones too.
    Source: Go's text/tabwriter, as docker/cli sets it up.
    """
    cleaned = [[neutral(cell) for cell in line] for line in lines]
    sizes = [[width(cell) for cell in line] for line in cleaned]
    spaces: list[list[int]] = [[] for _ in cleaned]
    for column in range(max(map(len, cleaned), default=1) - 1):
        run: list[int] = []
        for number in range(len(cleaned) + 1):
            if number < len(cleaned) and column < len(cleaned[number]) - 1:
                run.append(number)
                continue
            widest = max((sizes[each][column] for each in run), default=0)
            for each in run:
                spaces[each].append(max(_NARROWEST, widest + _PADDING))
            run = []
    return "".join(
        "".join(
            cell + " " * (space - size)
            for cell, size, space in zip(cells, known, (*wide, known[-1]), strict=True)
        )
        + "\n"
        for cells, known, wide in zip(cleaned, sizes, spaces, strict=True)
    )


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    filled = [
        cell + " " * (space - width(cell)) for cell, space in zip(cells, widths, strict=False)
    ]
    return "".join((*filled, cells[-1])).rstrip() + "\n"
