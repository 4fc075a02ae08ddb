"""Colours of a terminal, as a value: the plain palette is all empty strings.

rich is not needed for this much, and costs more than a whole cached build.
Source: ECMA-48, 8.3.117 (SGR).
"""

from __future__ import annotations

from typing import TextIO

import msgspec

from builder.settings import Settings


class Palette(msgspec.Struct, frozen=True, kw_only=True):
    """The sequences that switch a role on, and `reset`, which ends it."""

    error: str = ""
    warning: str = ""
    note: str = ""
    hint: str = ""
    margin: str = ""
    strong: str = ""
    dim: str = ""
    good: str = ""
    reset: str = ""

    def paint(self, role: str, text: str) -> str:
        """Return `text` in the colour of a role, which is one of the sequences above."""
        return f"{role}{text}{self.reset}" if role else text


PLAIN = Palette()
COLOURED = Palette(
    error="\x1b[1;31m",
    warning="\x1b[1;33m",
    note="\x1b[1m",
    hint="\x1b[36m",
    margin="\x1b[1;34m",
    strong="\x1b[1m",
    dim="\x1b[2m",
    good="\x1b[32m",
    reset="\x1b[0m",
)


def is_terminal(stream: TextIO) -> bool:
    """Say whether a person looks at `stream`; a closed one has nobody."""
    try:
        return stream.isatty()
    except ValueError:
        return False


def palette_for(stream: TextIO, settings: Settings) -> Palette:
    """Return colours where `stream` is a terminal that shows them and the user has not refused them.

    Source: no-color.org.
    """
    if settings.no_color or settings.dumb_terminal or not is_terminal(stream):
        return PLAIN
    return COLOURED
