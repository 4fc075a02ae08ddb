"""Instructions that a backslash at the end of the line above has made a part of another one."""

from __future__ import annotations

from collections.abc import Sequence

from builder.dockerfile.arguments import SPACE
from builder.dockerfile.instructions import KEYWORDS


def swallowed(lines: Sequence[str], first: int, last: int) -> tuple[str, ...]:
    """Return a note when a line of an instruction, which stands on lines `first` to `last`, is one itself.

    Only what is written in capitals counts: commands and words may well be called `add` or `copy`.
    """
    above = first
    for number in range(first + 1, min(last, len(lines)) + 1):
        text = lines[number - 1].strip(SPACE)
        if not text or text.startswith("#"):
            continue
        word = text.split(maxsplit=1)[0]
        if word in KEYWORDS and len(text) > len(word):
            return (
                f"line {number}, `{text[:40]}`, belongs to it: line {above} ends with a backslash",
            )
        above = number
    return ()
