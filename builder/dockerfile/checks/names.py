"""Rules about names and keywords: what stages are called, and in which case things are written."""

from __future__ import annotations

from collections.abc import Iterator

from builder.diagnostics import Span
from builder.dockerfile.arguments import Piece, plain_words
from builder.dockerfile.checks.finding import Finding
from builder.dockerfile.checks.walk import Scene, StageText
from builder.dockerfile.instructions import From, Instruction

_RESERVED = frozenset({"context", "scratch"})


def stage_names(_scene: Scene, stages: tuple[StageText, ...]) -> Iterator[Finding]:
    """StageNameCasing, FromAsCasing, ReservedStageName and DuplicateStageName."""
    first: dict[str, From] = {}
    for stage in stages:
        head = stage.head
        if head.name is None:
            continue
        written, keyword = plain_words(head.text, 0)[-1], plain_words(head.text, 0)[-2]
        yield from _casing(head, written, keyword)
        name = head.name.text
        if name in _RESERVED:
            yield Finding(
                rule="ReservedStageName",
                span=head.name.span,
                message=f"`{name}` has a meaning of its own, so no stage should be called that",
                hint="give the stage another name",
                comments=head.comments,
            )
        if name in first:
            yield Finding(
                rule="DuplicateStageName",
                span=head.name.span,
                message=f"there is another stage `{name}`",
                notes=(f"the first begins on line {first[name].span.line}",),
                hint="give each stage a name of its own",
                comments=head.comments,
            )
        first.setdefault(name, head)


def _casing(head: From, written: Piece, keyword: Piece) -> Iterator[Finding]:
    assert head.name is not None
    if written.text != head.name.text:
        yield Finding(
            rule="StageNameCasing",
            span=head.name.span,
            message=f"the name of the stage, `{written.text}`, is not in lower case",
            hint=f"write `{head.name.text}`",
            comments=head.comments,
        )
    from_ = head.keyword.text
    if from_ not in (from_.lower(), from_.upper()):
        return
    wanted = "as" if from_ == from_.lower() else "AS"
    if keyword.text != wanted:
        yield Finding(
            rule="FromAsCasing",
            span=_within(head, keyword),
            message=f"`{keyword.text}` is not in the same case as `{from_}`",
            hint=f"write `{wanted}`",
            comments=head.comments,
        )


def _within(instruction: Instruction, piece: Piece) -> Span:
    """Return the span of a piece of an instruction's text: the whole where it continues over lines."""
    span = instruction.span
    if span.line != span.end_line:
        return span
    return Span(span.line, span.column + piece.start, span.line, span.column + piece.end)


def keyword_casing(_scene: Scene, stages: tuple[StageText, ...]) -> Iterator[Finding]:
    """ConsistentInstructionCasing: the case of the majority counts, upper case when there is none."""
    written = [each for stage in stages for each in (stage.head, *stage.instructions)]
    keywords = [each.keyword.text for each in written]
    lower = sum(keyword == keyword.lower() for keyword in keywords)
    upper = sum(keyword == keyword.upper() for keyword in keywords)
    majority = str.lower if lower > upper else str.upper
    for instruction in written:
        keyword = instruction.keyword.text
        if keyword != majority(keyword):
            yield Finding(
                rule="ConsistentInstructionCasing",
                span=instruction.keyword.span,
                message=f"`{keyword}` is not in the case of most keywords in this file",
                hint=f"write `{majority(keyword)}`",
                comments=instruction.comments,
            )
