"""Dockerfile text to typed instructions.

Every mistake that stands for itself is reported, not only the first.
"""

from __future__ import annotations

import msgspec

from builder.diagnostics import SourceFile
from builder.dockerfile import grammar, lines, readers, strangers, supported
from builder.dockerfile import split as splitting
from builder.dockerfile.continuations import swallowed
from builder.dockerfile.instructions import Arg, Dockerfile, From, Hole, Instruction
from builder.dockerfile.lines import Lines, LogicalLine
from builder.dockerfile.mistakes import NEVER, Mistakes
from builder.dockerfile.split import Split, SplitInstruction
from builder.dockerfile.strangers import Surroundings
from builder.errors import DockerfileError, DockerfileErrors


class Reading(msgspec.Struct, frozen=True):
    """What could be read of a text, and what is wrong with the rest.

    `dockerfile` holds the instructions without mistakes, and holes where the others stand; None where there are
    not even lines. A FROM with a mistake counts as far as it can be read: what follows it is its stage.
    """

    dockerfile: Dockerfile | None
    mistakes: Mistakes


def parse(source: SourceFile, *, split: Split = splitting.split) -> Dockerfile:
    """Read a Dockerfile.

    `split` cuts logical lines into keyword and value; the default is dockerfile-parse, and one that
    remembers earlier answers saves its import.

    Raises: DockerfileError: the text is not a Dockerfile; DockerfileErrors when there are several mistakes.
    """
    reading = read(source, split=split)
    reading.mistakes.raise_any()
    assert reading.dockerfile is not None
    return reading.dockerfile


def parse_dockerfile(text: str, name: str = "Dockerfile") -> Dockerfile:
    """Read the text of a Dockerfile; errors call it `name`.

    Raises: DockerfileError: the text is not a Dockerfile; DockerfileErrors when there are several mistakes.
    """
    return parse(SourceFile(name, text))


def read(source: SourceFile, *, split: Split = splitting.split) -> Reading:
    """Read as much of a Dockerfile as is right: for those who have more to say about it.

    Raises: nothing; what `parse` would raise is in the answer.
    """
    if not source.text:
        empty = DockerfileError(
            f"`{source.name}` is empty",
            code="dockerfile.empty",
            hint="begin it with FROM and the name of an image",
        )
        return Reading(None, Mistakes([empty]))
    try:
        found = lines.read(source)
    except DockerfileError as error:
        return Reading(None, Mistakes([error]))
    return _Reader(source, found, split(splitting.plain_text(found))).read()


class _Reader:
    """One pass over the logical lines."""

    def __init__(
        self, source: SourceFile, found: Lines, pieces: tuple[SplitInstruction, ...]
    ) -> None:
        self.source = source
        self.lines = found
        self.pieces = {piece.start_line: piece for piece in pieces}
        self.mistakes = Mistakes(found.errors)
        self.instructions: list[Instruction] = []
        self.holes: list[Hole] = []
        self.before: LogicalLine | None = None
        """The last line that begins with an instruction, or something like one."""
        self.strangers: list[LogicalLine] = []
        """The lines right before this one that begin with no instruction, nor anything like one."""

    def read(self) -> Reading:
        for line in self.lines.logical:
            self._line(line)
            if self.mistakes.full:
                break
        self._tell_strangers()
        self._check_order()
        foreign = supported.foreign_syntax(self.lines.directives, self.source)
        if self.mistakes and foreign is not None:
            self.mistakes = Mistakes([foreign])  # in another language, they may be none
        dockerfile = Dockerfile(
            source=self.source,
            directives=self.lines.directives,
            instructions=tuple(self.instructions),
            warnings=self.lines.warnings,
            holes=tuple(self.holes),
        )
        return Reading(dockerfile, self.mistakes)

    def _line(self, line: LogicalLine) -> None:
        keyword = _agreed_keyword(line, self.pieces.get(line.start_line))
        given = grammar.statement(self.source, line, self.lines.directives.escape, keyword=keyword)
        meant = strangers.meant(given)
        if meant != given.name and self._in_a_text(given.keyword.text):
            meant = ""
        if meant:
            self._tell_strangers()
            self.before = line
        else:
            self.strangers.append(line)
        if meant and not line.open:
            try:
                self.instructions.append(readers.read(given))
            except DockerfileError as error:
                self._take(error, line)
            else:
                return
        self.holes.append(Hole(meant, line.start_line))
        if meant == "FROM":
            with self.mistakes.collecting():
                self.instructions.append(readers.recovered_head(given))

    def _take(self, error: DockerfileError, line: LogicalLine) -> None:
        notes = swallowed(self.lines.physical, line.start_line, line.last_line)
        for each in error.errors if isinstance(error, DockerfileErrors) else (error,):
            each.notes += notes
            self.mistakes.add(each)

    def _tell_strangers(self) -> None:
        """Tell of lines that begin with no instruction; those that follow each other are one mistake."""
        if not self.strangers:
            return
        first, *others = self.strangers
        self.strangers = []
        statement = grammar.statement(self.source, first, self.lines.directives.escape)
        around = Surroundings(
            before=self.before,
            others=tuple([line.start_line for line in others]),
            alone=len(others) + 1 == len(self.lines.logical),
        )
        if around.alone:
            self.mistakes.clear()  # of what is no Dockerfile, that is all there is to say
        self.mistakes.add(strangers.unknown(statement, around))

    def _in_a_text(self, word: str) -> bool:
        """Tell whether a word that is like an instruction stands in the middle of something else: it is just a word."""
        if self.strangers:
            return not word.isupper()
        return self.before is not None and strangers.in_a_body(self.before)

    def _check_order(self) -> None:
        """Tell of something but ARG before the first FROM, or of no FROM; not where a hole may be one."""
        before = min([hole.line for hole in self.holes if hole.name in ("", "FROM")], default=NEVER)
        for instruction in self.instructions:
            if isinstance(instruction, From) or instruction.span.line > before:
                return
            if not isinstance(instruction, Arg):
                self.mistakes.add(self._misplaced(instruction))
                return
        if before != NEVER:
            return
        self.mistakes.add(
            DockerfileError(
                f"`{self.source.name}` has no FROM, so there is nothing to build",
                code="dockerfile.empty",
                span=self.instructions[-1].span if self.instructions else None,
                source=self.source,
                hint="add FROM and the name of an image",
            )
        )

    def _misplaced(self, instruction: Instruction) -> DockerfileError:
        return DockerfileError(
            f"{instruction.keyword.text.upper()} stands before the first FROM",
            span=instruction.keyword.span,
            source=self.source,
            notes=("only ARG may stand there",),
            hint="begin with FROM and the name of an image",
        )


def _agreed_keyword(line: LogicalLine, piece: SplitInstruction | None) -> str | None:
    """Return the keyword that the splitter found, when it read the line as we do."""
    if piece is None:
        return None
    keyword, value = line.text[: len(piece.keyword)], line.text[len(piece.keyword) :]
    if keyword.upper() != piece.keyword or (value and value[0] not in " \t\v\f\r"):
        return None
    return keyword if value.strip() == piece.value.strip() else None
