"""The layout of a Dockerfile made even, without changing what it says.

Keywords are written in upper case, at the left margin; words are one blank apart; lines that continue an
instruction made of words are indented by four. Commands of RUN, CMD and ENTRYPOINT stay as they are to the
blank: what a shell is given is in the image's history and in the cache's keys.
"""

from __future__ import annotations

from typing import Any

import msgspec

from builder.diagnostics import SourceFile, Span
from builder.dockerfile.arguments import plain_words
from builder.dockerfile.instructions import (
    Add,
    Arg,
    Copy,
    Dockerfile,
    Env,
    Expose,
    Flag,
    From,
    Instruction,
    Label,
    Run,
    Volume,
)
from builder.dockerfile.parse import parse
from builder.dockerfile.printing import Segment, segments
from builder.errors import DockerfileError

_BLANKS = " \t"
_INDENT = "    "


def format_dockerfile(text: str, name: str = "Dockerfile") -> str:
    """Return a text with even layout; one that is even already comes back as it is.

    Raises: DockerfileError: it is not a Dockerfile.
    """
    dockerfile = parse(SourceFile(name, text))
    found = _formatted(dockerfile)
    # Layout must never be worth a changed image: whatever is read differently stays as it was.
    return found if _says_the_same(dockerfile, found, name) else text


def _formatted(dockerfile: Dockerfile) -> str:
    escape = dockerfile.directives.escape
    parts = [
        _between(segment.text) if segment.instruction is None else _instruction(segment, escape)
        for segment in segments(dockerfile)
    ]
    text = "".join(parts)
    while text.endswith(("\n\n", "\n\r\n")):
        text = text[: -2 if text.endswith("\r\n") else -1]
    return text if text.endswith("\n") else text + "\n"


def _says_the_same(before: Dockerfile, text: str, name: str) -> bool:
    try:
        after = parse(SourceFile(name, text))
    except DockerfileError:
        return False
    return meaning(before) == meaning(after)


def meaning(dockerfile: Dockerfile) -> list[Any]:
    """Return all that a Dockerfile says, without places and layout: equal for texts that build the same."""
    directives = _bare(dockerfile.directives)
    return [directives, *[_bare(each) for each in dockerfile.instructions]]


def _bare(value: object) -> Any:
    if isinstance(value, Span):
        return None
    if isinstance(value, tuple):
        return [_bare(each) for each in value]
    if isinstance(value, msgspec.Struct):
        fields = {field: getattr(value, field) for field in value.__struct_fields__}
        if isinstance(value, Instruction):
            # The joined text is layout; so is the case of the keyword.
            fields.update(text="", keyword=value.keyword.text.upper())
        return [type(value).__name__, *[_bare(each) for each in fields.values()]]
    return value


def _between(text: str) -> str:
    """Take blanks away around comments, and from lines that hold nothing else."""
    lines = text.split("\n")
    return "\n".join([_stripped(line) for line in lines])


def _stripped(line: str) -> str:
    bare = line.strip(_BLANKS + "\r")
    mark, bare = ("\ufeff", bare[1:]) if bare.startswith("\ufeff") else ("", bare)
    if bare and not bare.startswith("#"):
        return line  # an instruction of nothing but an escape character
    return mark + bare + ("\r" if line.endswith("\r") else "")


def _instruction(segment: Segment, escape: str) -> str:
    instruction = segment.instruction
    assert instruction is not None
    lines = segment.text.split("\n")
    head = lines[: instruction.span.end_line - segment.line + 1]
    bodies = lines[len(head) :]
    text = "\n".join(head)
    starts = [0]
    for line in head:
        starts.append(starts[-1] + len(line) + 1)
    mark = 1 if text.startswith("\ufeff") else 0

    def offset(line: int, column: int) -> int:
        row = line - segment.line
        return starts[row] + column - 1 + (mark if row == 0 else 0)

    pieces = [
        (offset(span.line, span.column), offset(span.end_line, span.end_column))
        for span in _pieces(instruction)
    ]
    words = _is_of_words(instruction)
    out = [text[:mark], instruction.keyword.text.upper()]
    keyword = instruction.keyword.span
    at = offset(keyword.end_line, keyword.end_column)
    for start, end in pieces:
        if start < at:
            return segment.text  # it is spelt in a way that has no places
        out += [_gap(text[at:start], escape, words=words), _upper_as(text[start:end], instruction)]
        at = end
    out.append(_rest(text[at:], escape, words=words, first=not pieces))
    return "\n".join(["".join(out), *bodies])


def _pieces(instruction: Instruction) -> list[Span]:
    """Return the places of what may be set apart by one blank: flags, and the words of what is made of words."""
    match instruction:
        case From():
            found = [instruction.image.span, *_as(instruction)]
            return [*_flags(instruction.platform), *found]
        case Arg():
            return [
                each.name.span.to(each.default.span if each.default else each.name.span)
                for each in instruction.arguments
            ]
        case Env() | Label():
            return [pair.name.span.to(pair.value.span) for pair in instruction.pairs]
        case Expose():
            return [word.span for word in instruction.ports]
        case Volume():
            return [word.span for word in instruction.paths]
        case Copy() | Add() if not instruction.files:
            flags = _copy_flags(instruction)
            words = [*instruction.sources, instruction.dest]
            return [*_flags(*flags), *[word.span for word in words]]
        case Run():
            run = (instruction.network, instruction.security)
            return _flags(*run, *instruction.mounts, *instruction.devices)
        case _:
            return []


def _copy_flags(instruction: Copy | Add) -> tuple[Flag | None, ...]:
    common = (instruction.chown, instruction.chmod, instruction.link, *instruction.excludes)
    if isinstance(instruction, Copy):
        return (*common, instruction.from_, instruction.parents)
    return (*common, instruction.keep_git_dir, instruction.checksum, instruction.unpack)


def _flags(*flags: Flag | None) -> list[Span]:
    spans = [flag.span for flag in flags if flag is not None]
    return sorted(spans, key=lambda span: (span.line, span.column))


def _as(head: From) -> list[Span]:
    """Return the places of AS and the name, where the line holds them together."""
    span = head.span
    if head.name is None:
        return []
    if span.line != span.end_line:
        return [head.name.span]
    keyword = plain_words(head.text, 0)[-2]
    column = span.column + keyword.start
    return [Span(span.line, column, span.line, column + 2), head.name.span]


def _upper_as(text: str, instruction: Instruction) -> str:
    return "AS" if isinstance(instruction, From) and text in ("as", "As", "aS") else text


def _is_of_words(instruction: Instruction) -> bool:
    return not isinstance(instruction, Run) and bool(_pieces(instruction))


def _gap(text: str, escape: str, *, words: bool) -> str:
    """Return what stands between two pieces, made even: one blank, or a continuation."""
    if not text.strip(_BLANKS):
        return " " if text else ""
    lines = text.split("\n")
    first = lines[0].strip(_BLANKS + "\r")
    if not words or len(lines) < 2 or first != escape or lines[-1].strip(_BLANKS):
        return text
    kept = [line.strip(_BLANKS + "\r") for line in lines[1:-1]]
    if any(line and not line.startswith("#") and line != escape for line in kept):
        return text
    end = "\r\n" if lines[0].endswith("\r") else "\n"
    comments = [_INDENT + line for line in kept if line.startswith("#")]
    return end.join([f" {escape}", *comments, _INDENT])


def _rest(text: str, escape: str, *, words: bool, first: bool) -> str:
    """Return what follows the last piece: nothing, or a command, which stays as it is."""
    lines = text.split("\n")
    if (first or not words) and lines[0].strip(_BLANKS + "\r") not in ("", escape):
        lines[0] = " " + lines[0].lstrip(_BLANKS)
    return "\n".join([_without_trailing_blanks(line) for line in lines])


def _without_trailing_blanks(line: str) -> str:
    end = "\r" if line.endswith("\r") else ""
    return line.removesuffix("\r").rstrip(_BLANKS) + end
