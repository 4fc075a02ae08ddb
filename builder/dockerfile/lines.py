"""Lines of a Dockerfile to logical lines: continuations joined, here-documents attached, every place kept.

        RUN echo a (continued)  one logical line, "RUN echo a && b <<EOF",
        # a comment            whose marks say where its pieces stand,
          && b <<EOF           with one here-document
        body
        EOF

Source: moby/buildkit, frontend/dockerfile/parser (behaviour, not code).
"""

from __future__ import annotations

from bisect import bisect_right

import msgspec

from builder.diagnostics import Diagnostic, Severity, SourceFile, Span
from builder.dockerfile import directives as directive_lines
from builder.dockerfile import encoding
from builder.dockerfile.arguments import SPACE, keyword_end
from builder.dockerfile.continuations import swallowed
from builder.dockerfile.heredocs import Opening, openings
from builder.dockerfile.instructions import Directives, Heredoc
from builder.errors import DockerfileError

MAX_LINE = 65535
"""Bytes of one line, without its end."""

MAX_SIZE = 4 << 20
"""Characters of a Dockerfile."""

MAX_INSTRUCTIONS = 20_000


class LogicalLine(msgspec.Struct, frozen=True, kw_only=True):
    """One instruction: `text` begins with the keyword and has no white space around it.

    `marks` are (offset, line, column) of each stretch of the text, offsets counted `lead` characters before
    it; `tail` is the white space after it. The instruction itself ends on `last_line`, its here-documents on
    `end_line`. Of an `open` one the end of a here-document was not found, or it is not text.
    """

    text: str
    lead: int
    marks: tuple[tuple[int, int, int], ...]
    start_line: int
    last_line: int
    end_line: int
    tail: str = ""
    heredocs: tuple[Heredoc, ...] = ()
    comments: tuple[str, ...] = ()
    open: bool = False

    def position(self, offset: int) -> tuple[int, int]:
        """Return the line and column, from 1, of character `offset` of the text."""
        offset += self.lead
        marks = self.marks
        mark = marks[0] if len(marks) == 1 else marks[bisect_right(marks, (offset, 1 << 60)) - 1]
        return mark[1], mark[2] + offset - mark[0]

    def span(self, start: int, end: int) -> Span:
        """Return the span of characters `start` to `end`, at least one column wide."""
        if len(self.marks) == 1:  # on one line, as nearly always
            _, line, column = self.marks[0]
            column += self.lead
            return Span(line, column + start, line, column + (end if end > start else start + 1))
        line, column = self.position(start)
        end_line, end_column = self.position(max(end - 1, start))
        return Span(line, column, end_line, end_column + 1)


class Lines(msgspec.Struct, frozen=True, kw_only=True):
    """What the reader found; `physical` are all lines of the file without their ends.

    `errors` are the mistakes of lines that are `open`, or continued by nothing.
    """

    directives: Directives
    logical: tuple[LogicalLine, ...]
    warnings: tuple[Diagnostic, ...]
    physical: tuple[str, ...]
    errors: tuple[DockerfileError, ...] = ()


def read(source: SourceFile) -> Lines:
    """Read the logical lines.

    Raises: DockerfileError: too large, a line too long, a bad directive, or nothing but comments.
    """
    return _Reader(source).read()


class _Reader:
    """One pass over the physical lines; `at` is the index of the next one."""

    def __init__(self, source: SourceFile) -> None:
        self.source = source
        self.physical, self.raw = _physical_lines(source)
        self.is_odd = encoding.is_odd(source.text)
        if self.is_odd:
            self.physical = [_with_readable_comment(line) for line in self.physical]
        self.directives, self.first = directive_lines.read(source, self.physical)
        self.escape = self.directives.escape
        self.at = 0
        self.warnings: list[Diagnostic] = []
        self.errors: list[DockerfileError] = []
        self._no_texts: dict[str, tuple[DockerfileError, int]] = {}
        """By hint: the mistake that is told of bytes that are no text, and how many more there are."""

    def read(self) -> Lines:
        logical: list[LogicalLine] = []
        comments: list[str] = []
        count = len(self.physical)
        while self.at < count:
            line = self.physical[self.at]
            stripped = line.lstrip(SPACE)
            if stripped.startswith("#"):
                comment = stripped[1:].strip(SPACE)
                if not comment:
                    comments.clear()
                elif self.at >= self.first:
                    comments.append(comment)
                self.at += 1
            elif not stripped:
                self.at += 1
            else:
                found = self._logical(tuple(comments))
                if found is not None:
                    logical.append(found)
                if len(logical) > MAX_INSTRUCTIONS:
                    raise DockerfileError(
                        f"`{self.source.name}` has more than {MAX_INSTRUCTIONS} instructions",
                        span=logical[-1].span(0, 1),
                        source=self.source,
                        hint="move long lists of commands into a script",
                    )
                comments.clear()
        if not logical:
            raise DockerfileError(
                f"`{self.source.name}` has no instructions",
                code="dockerfile.empty",
                hint="begin it with FROM and the name of an image, or `FROM scratch`",
            )
        return Lines(
            directives=self.directives,
            logical=tuple(logical),
            warnings=tuple(self.warnings),
            physical=tuple(self.physical),
            errors=tuple(self.errors),
        )

    def _logical(self, comments: tuple[str, ...]) -> LogicalLine | None:
        start = self.at
        line = self.physical[start]
        indent = len(line) - len(line.lstrip(SPACE))
        piece, more = self._continued(line[indent:])
        pieces = [piece]
        marks = [(0, start + 1, indent + 1)]
        size = len(piece)
        last = start
        empty: int | None = None
        self.at += 1
        while more and self.at < len(self.physical):
            line = self.physical[self.at]
            self.at += 1
            stripped = line.lstrip(SPACE)
            if stripped.startswith("#"):
                continue
            if not stripped:
                empty = self.at if empty is None else empty
                continue
            piece, more = self._continued(line)
            marks.append((size, self.at, 1))
            pieces.append(piece)
            size += len(piece)
            last = self.at - 1
        joined = "".join(pieces)
        text = joined.strip(SPACE)
        if not text:
            self.errors.append(self._not_continued(start + 1, indent + 1))
            return None
        if empty is not None:
            self._warn_of_empty_line(empty, swallowed(self.physical, start + 1, last + 1))
        found = LogicalLine(
            text=text,
            lead=len(joined) - len(joined.lstrip(SPACE)),
            marks=tuple(marks),
            start_line=start + 1,
            last_line=last + 1,
            end_line=last + 1,
            tail=joined[len(joined.rstrip(SPACE)) :],
            comments=comments,
        )
        found = self._with_heredocs(found)
        return self._as_text(found) if self.is_odd else found

    def _as_text(self, line: LogicalLine) -> LogicalLine:
        """Return a line without what is no text, or, where that has a meaning, an open one.

        What a label or an author says goes nowhere but into the configuration; a here-document whose name is
        quoted is copied as it is.
        """
        keyword = line.text[: keyword_end(line.text)].upper()
        at = encoding.first_odd(line.text)
        if at >= 0 and (keyword not in ("LABEL", "MAINTAINER") or "\0" in line.text):
            return self._no_text(line, line.span(at, at + 1), "save it in UTF-8")
        for body in line.heredocs:
            at = encoding.first_odd(body.body)
            if at < 0:
                continue
            is_file = keyword in ("ADD", "COPY")
            if is_file and not body.expand and encoding.is_bytes(body.body):
                continue
            above = body.body[:at].split("\n")
            row, column = body.span.line + len(above) - 1, len(above[-1]) + 1
            return self._no_text(
                line,
                Span(row, column, row, column + 1),
                f"write `<<'{body.name}'`, which copies bytes as they are"
                if is_file and body.expand
                else "save it in UTF-8",
            )
        return msgspec.structs.replace(line, text=encoding.readable(line.text))

    def _no_text(self, line: LogicalLine, span: Span, hint: str) -> LogicalLine:
        """Return an open line; all that want the same done about them are one mistake, at the first."""
        first, more = self._no_texts.get(hint, (None, 0))
        if first is None:
            first = DockerfileError(
                f"`{self.source.name}` is not text in UTF-8",
                span=span,
                source=self.source,
                hint=hint,
            )
            self.errors.append(first)
        else:
            more += 1
            others = "another instruction is" if more == 1 else f"{more} other instructions are"
            first.notes = (f"{others} not either",)
        self._no_texts[hint] = (first, more)
        return msgspec.structs.replace(line, text=encoding.readable(line.text), open=True)

    def _not_continued(self, line: int, column: int) -> DockerfileError:
        return DockerfileError(
            "the escape character continues nothing",
            span=Span(line, column, line, column + 1),
            source=self.source,
            hint="remove the line",
        )

    def _continued(self, line: str) -> tuple[str, bool]:
        """Cut the escape character that continues the line; one that is escaped itself does not."""
        cut = line.rstrip(" \t")
        if cut.endswith(self.escape) and (len(cut) == 1 or cut[-2] != self.escape):
            return cut[:-1], True
        return line, False

    def _warn_of_empty_line(self, line: int, notes: tuple[str, ...]) -> None:
        self.warnings.append(
            Diagnostic(
                severity=Severity.WARNING,
                code="NoEmptyContinuation",
                message="an empty line stands inside a continued instruction",
                span=Span(line, 1, line, max(len(self.physical[line - 1]), 1) + 1),
                source=self.source,
                notes=notes,
                hint="remove the backslash above it"
                if notes
                else "remove the line, or make it a comment",
            )
        )

    def _with_heredocs(self, line: LogicalLine) -> LogicalLine:
        if "<<" not in line.text:
            return line
        found: list[Heredoc] = []
        for opening in openings(line.text, self.escape):
            body = self._body(opening)
            if body is None:
                self.errors.append(self._not_closed(line, opening))
                return msgspec.structs.replace(
                    line, end_line=max(self.at, line.end_line), open=True
                )
            found.append(body)
        if not found:
            return line
        return msgspec.structs.replace(line, heredocs=tuple(found), end_line=self.at)

    def _body(self, opening: Opening) -> Heredoc | None:
        start = self.at
        for index in range(start, len(self.physical)):
            text = self.physical[index]
            if (text.lstrip("\t") if opening.strip_tabs else text) == opening.name:
                self.at = index + 1
                return Heredoc(
                    name=opening.name,
                    body="".join([text + "\n" for text in self.raw[start:index]]),
                    expand=opening.expand,
                    strip_tabs=opening.strip_tabs,
                    descriptor=opening.descriptor,
                    span=Span(start + 1, 1, index + 1, len(text) + 1),
                )
        return None

    def _not_closed(self, line: LogicalLine, opening: Opening) -> DockerfileError:
        """Return the error, and go on after the line that was meant as the end, or else at the end of the file."""
        at = max(line.text.rfind("<<"), 0) if opening.at < 0 else opening.at
        notes, hint = _meant_end(self.physical, self.at, opening)
        for index in range(self.at, len(self.physical)):
            if self.physical[index].strip().lower() == opening.name.lower():
                self.at = index + 1
                break
        else:
            self.at = len(self.physical)
        return DockerfileError(
            f"the here-document `{opening.name}` is not closed",
            span=line.span(at, len(line.text) if opening.at < 0 else opening.end),
            source=self.source,
            notes=notes,
            hint=hint,
        )


def _meant_end(lines: list[str], start: int, opening: Opening) -> tuple[tuple[str, ...], str]:
    """Return what stands where the end of a here-document seems to be meant, and what to do."""
    name = opening.name
    for index in range(start, len(lines)):
        text = lines[index]
        if text.strip().lower() != name.lower():
            continue
        if text.strip() != name:
            what, hint = f"holds `{text.strip()}`", f"write it as `{name}`, in the same case"
        elif text.rstrip() != text:
            what, hint = f"holds `{name}` with blanks after it", "remove the blanks at its end"
        else:
            what = f"holds `{name}` with blanks before it"
            hint = f"move `{name}` to the start of its line"
            if not text.removesuffix(name).strip("\t"):
                hint += f", or open the here-document with `<<-{name}`, which allows tabs"
        return (f"line {index + 1} {what}, which does not end it",), hint
    return (), f"end it with a line that holds `{name}` and nothing else"


def _with_readable_comment(line: str) -> str:
    return encoding.readable(line) if line.lstrip(SPACE).startswith("#") else line


def _physical_lines(source: SourceFile) -> tuple[list[str], list[str]]:
    """Cut the text into lines, without and with the carriage returns of their ends.

    These are no part of an instruction, but they are part of a here-document's body.
    """
    text = source.text.removeprefix("\ufeff")
    if encoding.is_utf16(text):
        raise DockerfileError(
            f"`{source.name}` is text in UTF-16, not in UTF-8",
            hint="save it in UTF-8; `iconv -f UTF-16 -t UTF-8` converts it",
        )
    if len(text) > MAX_SIZE:
        raise DockerfileError(
            f"`{source.name}` is larger than {MAX_SIZE >> 20} MiB",
            hint="put large data in files of the build context",
        )
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    raw = lines
    if "\r" in text:
        lines = [line.rstrip("\r") for line in raw]
    _check_lengths(source, text, raw)
    return lines, raw


def _check_lengths(source: SourceFile, text: str, lines: list[str]) -> None:
    ascii_only = text.isascii()
    if len(text) <= MAX_LINE and ascii_only:
        return
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_LINE or (
            len(line) * 4 > MAX_LINE
            and not ascii_only
            and len(line.encode("utf-8", "replace")) > MAX_LINE
        ):
            raise DockerfileError(
                f"line {number} is longer than {MAX_LINE} bytes",
                span=Span(number, 1, number, 2),
                source=source,
                hint="break it with the escape character, or use a file of the build context",
            )
