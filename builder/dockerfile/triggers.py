"""ONBUILD triggers: texts kept in an image, or instructions of an earlier stage, that a child runs first.

A text comes from outside the Dockerfile, so everything in it stands where the FROM stands that brought it in.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from builder.diagnostics import SourceFile, Span
from builder.dockerfile import grammar, lines, readers
from builder.dockerfile.instructions import From, Instruction, OnBuild
from builder.dockerfile.lines import LogicalLine
from builder.errors import DockerfileError

MAX_TRIGGERS = 20_000
"""Triggers of all stages of a Dockerfile together: a stage has its own copy of those of its base."""

_BACKSLASH = "\\"
_Error = TypeVar("_Error", bound=DockerfileError)


class _Placed(LogicalLine, frozen=True, kw_only=True):
    """A line that stands, whole and in each of its parts, at one place of another text."""

    place: Span

    def span(self, start: int, end: int) -> Span:
        del start, end
        return self.place


def of_stage(kept: list[OnBuild], source: SourceFile, escape: str) -> list[Instruction]:
    """Return what a stage leaves to those built on it.

    Triggers are texts, read with the usual escape character whatever the file's own is.

    Raises: DockerfileError: one means something else with that character, and nothing possible.
    """
    if escape == _BACKSLASH:
        return [each.trigger for each in kept]
    return [_read(each.expression, each.span, source) for each in kept]


def of_image(texts: tuple[str, ...], place: Span, source: SourceFile) -> list[Instruction]:
    """Return what an image leaves to those built on it; `place` is that of its name.

    Raises: DockerfileError: a text is no instruction.
    """
    return [_read(text, place, source) for text in texts]


def explained(error: _Error, instruction: Instruction) -> _Error:
    """Add to an error which trigger it is about, and return it."""
    error.notes = (*error.notes, named(instruction))
    return error


def named(instruction: Instruction) -> str:
    """Return the fact which trigger something is about."""
    shown = instruction.text.partition("\n")[0]
    return f"an ONBUILD trigger of the base asks for `{shown[:200]}`"


def _read(text: str, place: Span, source: SourceFile) -> Instruction:
    """Read one trigger, all of whose parts stand at `place`."""
    try:
        return _instruction(text, place, source)
    except DockerfileError as error:
        raise DockerfileError(
            error.message,
            code=error.code,
            span=place,
            source=source,
            notes=(
                *error.notes,
                f"an ONBUILD trigger of the base asks for `{text.partition(chr(10))[0][:200]}`",
            ),
            hint=error.hint,
        ) from error


def _instruction(text: str, place: Span, source: SourceFile) -> Instruction:
    read = lines.read(SourceFile("ONBUILD", text))
    if read.errors:
        raise read.errors[0]
    found = read.logical
    if len(found) != 1:
        raise DockerfileError("an ONBUILD trigger is one instruction, not several")
    instruction = readers.read(grammar.statement(source, _placed(found[0], place), _BACKSLASH))
    if isinstance(instruction, From):
        raise DockerfileError("FROM cannot be a trigger of ONBUILD")
    return instruction


def _placed(line: LogicalLine, place: Span) -> LogicalLine:
    heredocs = tuple([msgspec.structs.replace(body, span=place) for body in line.heredocs])
    return _Placed(
        text=line.text,
        lead=line.lead,
        marks=line.marks,
        start_line=line.start_line,
        last_line=line.last_line,
        end_line=line.end_line,
        heredocs=heredocs,
        place=place,
    )
