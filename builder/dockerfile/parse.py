"""Dockerfile text to typed instructions.

Every mistake that stands for itself is reported, not only the first.
"""

from __future__ import annotations

import msgspec

from builder.diagnostics import SourceFile
from builder.dockerfile import grammar, lines, readers, supported
from builder.dockerfile import split as splitting
from builder.dockerfile.instructions import Arg, Dockerfile, From, Instruction
from builder.dockerfile.lines import LogicalLine
from builder.dockerfile.split import Split, SplitInstruction
from builder.errors import DockerfileError, DockerfileErrors

_MOST_ERRORS = 20


class Reading(msgspec.Struct, frozen=True):
    """What could be read of a text, and what is wrong with the rest.

    `dockerfile` holds the instructions without mistakes, None where there are not even lines.
    """

    dockerfile: Dockerfile | None
    errors: tuple[DockerfileError, ...]


def parse(source: SourceFile, *, split: Split = splitting.split) -> Dockerfile:
    """Read a Dockerfile.

    `split` cuts logical lines into keyword and value; the default is dockerfile-parse, and one that
    remembers earlier answers saves its import.

    Raises: DockerfileError: the text is not a Dockerfile; DockerfileErrors when there are several mistakes.
    """
    reading = read(source, split=split)
    if len(reading.errors) > 1:
        raise DockerfileErrors(reading.errors)
    if reading.errors:
        raise reading.errors[0]
    assert reading.dockerfile is not None
    return reading.dockerfile


def parse_dockerfile(text: str, name: str = "Dockerfile") -> Dockerfile:
    """Read the text of a Dockerfile; errors call it `name`.

    Raises: DockerfileError: the text is not a Dockerfile; DockerfileErrors when there are several mistakes.
    """
    return parse(SourceFile(name, text))


def read(source: SourceFile, *, split: Split = splitting.split) -> Reading:
    """Read as much of a Dockerfile as is right; for those who look at files that are being written.

    Raises: nothing; what `parse` would raise is in the answer.
    """
    if not source.text:
        empty = DockerfileError(
            f"`{source.name}` is empty",
            code="dockerfile.empty",
            hint="begin it with FROM and the name of an image",
        )
        return Reading(None, (empty,))
    try:
        found = lines.read(source)
    except DockerfileError as error:
        return Reading(None, (error,))
    pieces = {piece.start_line: piece for piece in split(splitting.plain_text(found))}
    errors: list[DockerfileError] = []
    instructions: list[Instruction] = []
    escape = found.directives.escape
    for line in found.logical:
        keyword = _agreed_keyword(line, pieces.get(line.start_line))
        try:
            instructions.append(
                readers.read(grammar.statement(source, line, escape, keyword=keyword))
            )
        except DockerfileError as error:
            errors.append(error)
            if len(errors) == _MOST_ERRORS:
                break
    if not errors:
        errors = _misplaced(source, instructions)
    elif (foreign := supported.foreign_syntax(found.directives, source)) is not None:
        errors = [foreign]  # in another language, they may be none
    dockerfile = Dockerfile(
        source=source,
        directives=found.directives,
        instructions=tuple(instructions),
        warnings=found.warnings,
    )
    return Reading(dockerfile, tuple(errors))


def _agreed_keyword(line: LogicalLine, piece: SplitInstruction | None) -> str | None:
    """Return the keyword that the splitter found, when it read the line as we do."""
    if piece is None:
        return None
    keyword, value = line.text[: len(piece.keyword)], line.text[len(piece.keyword) :]
    if keyword.upper() != piece.keyword or (value and value[0] not in " \t\v\f\r"):
        return None
    return keyword if value.strip() == piece.value.strip() else None


def _misplaced(source: SourceFile, instructions: list[Instruction]) -> list[DockerfileError]:
    """Return what is wrong with the order: something but ARG before the first FROM, or no FROM."""
    for instruction in instructions:
        if isinstance(instruction, From):
            return []
        if not isinstance(instruction, Arg):
            return [
                DockerfileError(
                    f"{instruction.keyword.text.upper()} stands before the first FROM",
                    span=instruction.keyword.span,
                    source=source,
                    notes=("only ARG may stand there",),
                    hint="begin with FROM and the name of an image",
                )
            ]
    return [
        DockerfileError(
            f"`{source.name}` has no FROM, so there is nothing to build",
            code="dockerfile.empty",
            span=instructions[-1].span,
            source=source,
            hint="add FROM and the name of an image",
        )
    ]
