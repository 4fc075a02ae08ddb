"""Changing a Dockerfile in places: the rest of the text stays as it is, comments and formatting too."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from builder.diagnostics import SourceFile, Span
from builder.dockerfile import suggest
from builder.dockerfile.instructions import Arg, Dockerfile, From
from builder.dockerfile.parse import parse
from builder.errors import DockerfileError

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:,@+-=%~^")


class Edit(msgspec.Struct, frozen=True):
    """Text to put in the place of what a span covers: that of a word, a flag or a whole instruction."""

    span: Span
    text: str


def rewrite(dockerfile: Dockerfile, edits: Iterable[Edit]) -> Dockerfile:
    """Return the Dockerfile that results from edits, in any order.

    Raises: ValueError: two edits overlap, or a span lies outside the text. DockerfileError: the result is no
        Dockerfile.
    """
    text = dockerfile.source.text
    starts = _line_starts(text)
    places = sorted(
        [
            (
                _offset(starts, text, edit.span.line, edit.span.column),
                _offset(starts, text, edit.span.end_line, edit.span.end_column),
                edit.text,
            )
            for edit in edits
        ]
    )
    parts: list[str] = []
    at = 0
    for start, end, new in places:
        if start < at or end < start:
            raise ValueError("two edits overlap")
        parts += [text[at:start], new]
        at = end
    parts.append(text[at:])
    return parse(SourceFile(dockerfile.source.name, "".join(parts)))


def replace_base(dockerfile: Dockerfile, stage: str | int, reference: str) -> Dockerfile:
    """Return the Dockerfile with another image, or stage, in the FROM of a stage, by name or number.

    Raises: DockerfileError: there is no such stage, or the result is no Dockerfile.
    """
    heads = [each for each in dockerfile.instructions if isinstance(each, From)]
    if isinstance(stage, int):
        found = heads[stage] if 0 <= stage < len(heads) else None
    else:
        named = [each for each in heads if each.name and each.name.text == stage.lower()]
        found = named[-1] if named else None
    if found is None:
        names = [each.name.text for each in heads if each.name is not None]
        raise DockerfileError(
            f"there is no stage `{stage}`",
            code="dockerfile.unknown-stage",
            hint=suggest.hint(str(stage).lower(), names),
        )
    return rewrite(dockerfile, [Edit(found.image.span, reference)])


def set_argument(dockerfile: Dockerfile, name: str, default: str) -> Dockerfile:
    """Return the Dockerfile with another default of a build argument, wherever it has one, or else at its first ARG.

    Raises: DockerfileError: no ARG declares it. ValueError: the default holds a newline.
    """
    declared = [
        argument
        for instruction in dockerfile.instructions
        if isinstance(instruction, Arg)
        for argument in instruction.arguments
        if argument.name.text == name
    ]
    if not declared:
        raise DockerfileError(f"no ARG declares `{name}`", hint=f"add `ARG {name}` first")
    chosen = [each for each in declared if each.default is not None] or declared[:1]
    written = f"{name}={quoted(default, dockerfile.directives.escape)}"
    return rewrite(
        dockerfile,
        [
            Edit(each.name.span.to(each.default.span if each.default else each.name.span), written)
            for each in chosen
        ],
    )


def quoted(value: str, escape: str = "\\") -> str:
    """Return a value as it is written in ENV, ARG and LABEL, quoted where that is needed.

    Raises: ValueError: it holds a newline, which cannot be written.
    """
    if "\n" in value or "\r" in value:
        raise ValueError("a value in a Dockerfile holds no newline")
    if value and _PLAIN.issuperset(value):
        return value
    special = '"$' + escape
    return '"' + "".join([escape + char if char in special else char for char in value]) + '"'


def _line_starts(text: str) -> list[int]:
    # Columns do not count a byte-order mark.
    starts = [1 if text.startswith("\ufeff") else 0]
    at = text.find("\n")
    while at >= 0:
        starts.append(at + 1)
        at = text.find("\n", at + 1)
    return starts


def _offset(starts: list[int], text: str, line: int, column: int) -> int:
    if not 1 <= line <= len(starts) or column < 1:
        raise ValueError(f"there is no line {line}")
    offset = starts[line - 1] + column - 1
    end = starts[line] - 1 if line < len(starts) else len(text)
    if offset > end:
        raise ValueError(f"line {line} has no column {column}")
    return offset
