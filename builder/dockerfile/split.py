"""The adapter of dockerfile-parse: its splitting of logical lines into keyword and value.

The package knows nothing of here-documents, empty continuation lines, an escaped escape character or columns,
so it is handed only the lines that it reads right (`plain_text`), and where its answer differs from our own
reading, ours counts. It is imported at the first call: remembering its answers by file digest saves that.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from builder.dockerfile.lines import Lines, LogicalLine

_MOST_LINES = 500
"""Physical lines of one instruction: the package joins them in quadratic time."""

_MOST_LINES_OF_FILE = 50_000
"""Beyond this the file is not handed over at all: the package keeps every line several times."""


class SplitInstruction(msgspec.Struct, frozen=True, array_like=True):
    """One logical instruction: upper-case keyword and value; lines count from 1, the last is included."""

    keyword: str
    value: str
    start_line: int
    end_line: int


Split = Callable[[str], tuple[SplitInstruction, ...]]


def split(text: str) -> tuple[SplitInstruction, ...]:
    """Return the instructions of `text`, as dockerfile-parse sees them."""
    import io

    from dockerfile_parse import DockerfileParser

    parser = DockerfileParser(fileobj=io.BytesIO(text.encode()), env_replace=False)
    return tuple(
        SplitInstruction(
            str(found["instruction"]),
            str(found["value"]),
            int(found["startline"]) + 1,
            int(found["endline"]) + 1,
        )
        for found in parser.structure
        if found["instruction"] != "COMMENT"
    )


def plain_text(lines: Lines) -> str:
    """Return the file with everything blanked that dockerfile-parse reads wrong, line numbers kept."""
    if len(lines.physical) > _MOST_LINES_OF_FILE:
        return ""
    shown = [""] * len(lines.physical)
    if lines.directives.escape != "\\":
        # The directive must be found where the package looks for it: first.
        shown[0] = "# escape=" + lines.directives.escape
    for line in lines.logical:
        if not _is_plain(line, lines):
            continue
        for index in range(line.start_line - 1, line.last_line):
            text = lines.physical[index]
            shown[index] = text if text.strip() else "#"
        last = shown[line.last_line - 1].rstrip()
        shown[line.last_line - 1] = last.removesuffix(lines.directives.escape)
    return "\n".join(shown) + "\n"


def _is_plain(line: LogicalLine, lines: Lines) -> bool:
    escape = lines.directives.escape
    physical = lines.physical[line.start_line - 1 : line.last_line]
    if len(physical) > _MOST_LINES or not all(text.isascii() for text in physical):
        return False
    return not any(text.rstrip().endswith(escape * 2) for text in physical)
