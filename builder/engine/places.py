"""Where in the Dockerfile a step that failed is written, as exactly as its error tells: the guilty word."""

from __future__ import annotations

from collections.abc import Callable

from builder.diagnostics import SourceFile, Span
from builder.errors import LapstrakeError, RunFailed
from builder.graph.operations import CopyOp
from builder.graph.vertex import Vertex

_DASHES = "-\u2013\u2014\u2212"
"""Those of a word processor too."""


def locator(source: SourceFile) -> Callable[[LapstrakeError, Vertex], LapstrakeError]:
    """Return what adds the place of a vertex to an error of its step."""

    def locate(error: LapstrakeError, vertex: Vertex) -> LapstrakeError:
        if error.hint is None and isinstance(error, RunFailed):
            error.hint = "to look around, run `lapstrake debug`"
        located = error.located(_narrow(error, vertex, source), source)
        if vertex.span is not None and error.code.startswith("context."):
            _explain(error, vertex.span, source)
        elif vertex.span is not None and error.code in ("build.run-failed", "build.start-failed"):
            _explain_command(error, vertex.span, source)
        return located

    return locate


def _explain(error: LapstrakeError, instruction: Span, source: SourceFile) -> None:
    """Add what quotes and the escape character have to do with a source that is not there."""
    from builder.dockerfile.continuations import swallowed

    lines = source.text.removeprefix("\ufeff").split("\n")
    error.notes += swallowed(lines, instruction.line, instruction.end_line)
    place = error.span
    if place is None or place == instruction or place.line != place.end_line:
        return
    written = lines[place.line - 1][place.column - 1 : place.end_column - 1]
    if written.startswith(('["', "['", "[\u201c", "[\u2018")):
        error.hint = "a JSON array has double quotes around each path and commas between them"
    elif "\\" in written and error.code == "context.missing-source":
        error.notes += ("a backslash escapes the character after it",)
        error.hint = "write paths with `/`"


def _explain_command(error: LapstrakeError, instruction: Span, source: SourceFile) -> None:
    """Add what of a command that failed is hardly meant as a command."""
    from builder.dockerfile.continuations import swallowed

    lines = source.text.removeprefix("\ufeff").split("\n")
    error.notes += swallowed(lines, instruction.line, instruction.end_line)
    words = lines[instruction.line - 1][instruction.column - 1 :].split(maxsplit=2)[1:2]
    if not words or words[0].startswith("--"):
        return
    flag = words[0].lstrip(_DASHES)
    if flag != words[0] and flag.startswith(("mount=", "network=", "security=")):
        error.hint = f"if it is meant as a flag, write it with two dashes: `--{flag[:60]}`"


def _narrow(error: LapstrakeError, vertex: Vertex, source: SourceFile) -> Span | None:
    """Return the span of the word that a message quotes, or else that of the instruction."""
    span = vertex.span
    quoted = error.message.split("`")[1:2]
    if span is None or not quoted or not error.code.startswith(("context.", "build.copy-failed")):
        return span
    return (
        _source_word(vertex, quoted[0], source)
        or _word_in(source, span, quoted[0])
        or _word_in(source, span, quoted[0].lstrip("/"))
        or span
    )


def _source_word(vertex: Vertex, path: str, source: SourceFile) -> Span | None:
    """Return the place of the source of a copy that comes to a path, which may be written with variables."""
    from builder.dockerfile.instructions import Add, Copy
    from builder.dockerfile.parse import read
    from builder.dockerfile.remotes import BadRemote, read_remote

    op = vertex.op
    dockerfile = read(source, split=lambda _text: ()).dockerfile
    if not isinstance(op, CopyOp) or dockerfile is None:
        return None
    paths = [each for one in op.sources for each in one.paths if each]
    for instruction in dockerfile.instructions:
        if instruction.span != vertex.span or not isinstance(instruction, Copy | Add):
            continue
        words = []
        for word in instruction.sources:
            try:
                is_remote = read_remote(word.text) is not None
            except BadRemote:
                return None
            if not is_remote:
                words.append(word)
        if len(words) != len(paths):
            return None
        for word, each in zip(words, paths, strict=True):
            if path.lstrip("/") in (each.replace("/./", "/"), each.partition("/./")[0]):
                return word.span
    return None


def _word_in(source: SourceFile, span: Span, word: str) -> Span | None:
    """Return the place of a word as it is written in an instruction."""
    lines = source.text.removeprefix("\ufeff").split("\n")
    for number in range(span.line, span.end_line + 1):
        start = span.column - 1 if number == span.line else 0
        at = _whole_word(lines[number - 1], word, start)
        if at is not None:
            return Span(number, at + 1, number, at + 1 + len(word))
    return None


def _whole_word(line: str, word: str, start: int) -> int | None:
    at = line.find(word, start) if word else -1
    while at >= 0:
        around = line[at - 1 : at] + line[at + len(word) : at + len(word) + 1]
        if not any(each.isalnum() or each in "._-" for each in around):
            return at
        at = line.find(word, at + 1)
    return None
