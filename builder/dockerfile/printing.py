r"""A Dockerfile back to text: comments, blank lines and formatting are kept, so printing undoes parsing.

# syntax=docker/dockerfile:1     a segment without instruction
FROM debian \                    one segment: an instruction with its continuation,
  AS base                        its comments in between and its here-documents
<blank line>                     a segment without instruction
"""

from __future__ import annotations

import msgspec

from builder.dockerfile.instructions import Add, Copy, Dockerfile, Instruction, Run


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """Whole lines of a Dockerfile, line ends included; `instruction` is None between instructions.

    `line` is the number of the first of them.
    """

    text: str
    line: int
    instruction: Instruction | None = None


def segments(dockerfile: Dockerfile) -> tuple[Segment, ...]:
    """Cut the text of a Dockerfile into its instructions and what stands between them; nothing is lost."""
    lines = dockerfile.source.text.split("\n")
    ends = [line + "\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    found: list[Segment] = []
    at = 0
    for instruction in dockerfile.instructions:
        first, last = instruction.span.line - 1, last_line(instruction)
        if first > at:
            found.append(Segment(text="".join(ends[at:first]), line=at + 1))
        text = "".join(ends[first:last])
        found.append(Segment(text=text, line=first + 1, instruction=instruction))
        at = last
    if at < len(ends):
        found.append(Segment(text="".join(ends[at:]), line=at + 1))
    return tuple(found)


def print_dockerfile(dockerfile: Dockerfile) -> str:
    """Return the text of a Dockerfile, exactly as it was read."""
    return "".join([segment.text for segment in segments(dockerfile)])


def last_line(instruction: Instruction) -> int:
    """Return the number of the line where an instruction ends, its here-documents included."""
    match instruction:
        case Run():
            bodies = instruction.heredocs
        case Copy() | Add():
            bodies = instruction.files
        case _:
            bodies = ()
    return max(instruction.span.end_line, *[body.span.end_line for body in bodies], 0)
