"""One statement: a keyword, its flags and what follows, with the mistakes that all instructions share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from builder.diagnostics import SourceFile, Span
from builder.dockerfile import arguments, suggest
from builder.dockerfile.arguments import JsonList, Piece
from builder.dockerfile.instructions import Command, Flag, Heredoc, Word
from builder.dockerfile.lines import LogicalLine
from builder.errors import DockerfileError, DockerfileErrors

MAX_WORDS = 20_000
"""Words of one instruction."""

OWN_LINE = "a comment stands on a line of its own"

_USUAL_FORMS = {
    "ARG": "ARG NAME=DEFAULT",
    "ENV": "ENV NAME=VALUE",
    "EXPOSE": "EXPOSE 80",
    "HEALTHCHECK": "HEALTHCHECK CMD COMMAND",
    "LABEL": "LABEL NAME=VALUE",
    "MAINTAINER": 'LABEL org.opencontainers.image.authors="NAME"',
    "ONBUILD": "ONBUILD RUN COMMAND",
    "STOPSIGNAL": "STOPSIGNAL SIGTERM",
    "USER": "USER NAME",
    "VOLUME": "VOLUME /PATH",
    "WORKDIR": "WORKDIR /PATH",
}

VALUE, BOOLEAN, LIST = "value", "boolean", "list"
"""What a flag takes: one value, true or false or nothing, or a value each time it is given."""


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """An instruction being read: `start` is where its keyword stands in the line, `at` where the rest begins."""

    source: SourceFile
    line: LogicalLine
    escape: str
    start: int
    keyword: Piece
    flags: tuple[Piece, ...]
    at: int

    @property
    def name(self) -> str:
        """The keyword in upper case."""
        return self.keyword.text.upper()

    @property
    def rest(self) -> str:
        """What follows the flags."""
        return self.line.text[self.at :]

    @property
    def heredocs(self) -> tuple[Heredoc, ...]:
        """The here-documents of the line."""
        return self.line.heredocs

    def whole(self) -> Span:
        """Return the span of the instruction without the bodies of its here-documents."""
        return self.line.span(self.start, len(self.line.text))

    def keyword_word(self) -> Word:
        """Return the keyword as written."""
        return self.word(self.keyword)

    def common(self) -> dict[str, Any]:
        """Return the fields that every instruction has."""
        return {
            "span": self.whole(),
            "keyword": self.keyword_word(),
            "text": self.line.text[self.start :],
            "comments": self.line.comments,
        }

    def word(self, piece: Piece) -> Word:
        """Return a piece with its place in the file."""
        return Word(piece.text, self.line.span(piece.start, piece.end))

    def error(
        self,
        message: str,
        span: Span | None = None,
        *,
        code: str = "dockerfile.syntax",
        hint: str | None = None,
        notes: tuple[str, ...] = (),
    ) -> DockerfileError:
        """Return an error at `span`, or else under the keyword."""
        return DockerfileError(
            message,
            code=code,
            span=span or self.keyword_word().span,
            source=self.source,
            hint=hint,
            notes=notes,
        )

    def usual_form(self) -> str:
        """Return the hint how the instruction is usually written."""
        return f"write it like `{_USUAL_FORMS[self.name]}`"

    def one_text(self) -> Word:
        """Return all that follows, as one word."""
        if not self.rest:
            raise self.error(f"{self.name} needs an argument", hint=self.usual_form())
        return self.word(Piece(self.rest, self.at, len(self.line.text)))

    def words(self) -> tuple[Word, ...]:
        """Return what follows cut at blanks; quotes do not count."""
        return self._placed(arguments.plain_words(self.line.text, self.at))

    def quoted_words(self) -> tuple[Word, ...]:
        """Return what follows cut at white space outside quotes."""
        return self._placed(arguments.quoted_words(self.line.text, self.at, self.escape))

    def words_or_json(self) -> tuple[Word, ...]:
        """Return the strings of a JSON array, or the words."""
        found = self.json()
        return self.words() if found is None else self._placed(found.items)

    def command(self, at: int | None = None) -> Command:
        """Return the command from `at`: a JSON array of strings, or one text for the shell."""
        at = self.at if at is None else at
        found = self.json(at)
        if found is not None:
            return Command(words=self._placed(found.items), shell_form=False)
        text = self.line.text[at:]
        words = (self.word(Piece(text, at, len(self.line.text))),) if text else ()
        return Command(words=words, shell_form=True)

    def json(self, at: int | None = None) -> JsonList | None:
        """Return the JSON array of strings that follows, or None when it is anything else."""
        at = self.at if at is None else at
        try:
            found = arguments.json_list(self.line.text, at)
        except arguments.NotStrings:
            raise self.error(
                "the JSON array holds something else than strings",
                self.line.span(at, len(self.line.text)),
                hint="put every element in double quotes",
            ) from None
        if found is not None:
            for item in found.items:
                if "\0" in item.text:
                    raise self.error(
                        "a string of the JSON array holds a NUL character",
                        self.line.span(item.start, item.end),
                        hint="remove `\\u0000`",
                    )
        return found

    def _placed(self, pieces: list[Piece] | tuple[Piece, ...]) -> tuple[Word, ...]:
        if len(pieces) > MAX_WORDS:
            raise self.error(f"{self.name} has more than {MAX_WORDS} words")
        return tuple([self.word(piece) for piece in pieces])

    def read_flags(self, known: Mapping[str, str]) -> Flags:
        """Check the flags against the names and kinds that the instruction knows.

        Raises: DockerfileError: a flag is unknown, comes twice, lacks its value, or is neither true nor false.
            DockerfileErrors: several are.
        """
        if not self.flags:
            return _NO_FLAGS
        found: dict[str, list[Flag]] = {}
        errors: list[DockerfileError] = []
        for piece in self.flags:
            try:
                flag = self._flag(piece, known)
            except DockerfileError as error:
                errors.append(error)
                continue
            given = found.setdefault(flag.name, [])
            if given and known[flag.name] != LIST:
                errors.append(
                    self.error(
                        f"the flag `--{flag.name}` is given twice",
                        flag.span,
                        hint="remove one of them",
                    )
                )
            given.append(flag)
        if errors:
            raise DockerfileErrors(tuple(errors)) if errors[1:] else errors[0]
        return Flags({name: tuple(given) for name, given in found.items()})

    def _flag(self, piece: Piece, known: Mapping[str, str]) -> Flag:
        name, equals, value = piece.text.partition("=")
        name = name[2:]
        span = self.line.span(piece.start, piece.end)
        kind = known.get(name)
        if kind is None:
            raise self.error(
                f"{self.name} has no flag `--{name}`",
                self.line.span(piece.start, min(piece.start + 2 + len(name), piece.end)),
                code="dockerfile.unknown-flag",
                notes=(_known_flags(self.name, known),),
                hint=self._flag_hint(name, known),
            )
        if (kind != BOOLEAN and not equals) or (kind == BOOLEAN and equals and not value):
            raise self.error(
                f"the flag `--{name}` has no value",
                span,
                notes=("a flag and its value are one word",) if not equals else (),
                hint=f"write it as `--{name}=VALUE`",
            )
        if kind == BOOLEAN and value.lower() not in ("", "true", "false"):
            raise self.error(
                f"the flag `--{name}` is true or false, not `{value}`",
                span,
                hint=f"write `--{name}` or `--{name}=false`",
            )
        place = self.line.text.find("=", piece.start, piece.end) + 1
        value_span = self.line.span(place, piece.end) if equals and 0 < place < piece.end else span
        return Flag(name, value if equals else None, span, value_span)

    def _flag_hint(self, name: str, known: Mapping[str, str]) -> str | None:
        if name.lower() in known:
            return f"write it in lower case: `--{name.lower()}`"
        near = suggest.nearest(name.lower(), known)
        if near is not None:
            return f"did you mean `--{near}`?"
        return "write `--` before it if it belongs to the command" if self.name == "RUN" else None


class Flags(msgspec.Struct, frozen=True):
    """The flags given, by name."""

    given: dict[str, tuple[Flag, ...]]

    def one(self, name: str) -> Flag | None:
        """Return a flag that is given at most once."""
        found = self.given.get(name)
        return found[0] if found else None

    def all(self, name: str) -> tuple[Flag, ...]:
        """Return every use of a flag."""
        return self.given.get(name, ())


_NO_FLAGS = Flags({})


def statement(
    source: SourceFile, line: LogicalLine, escape: str, start: int = 0, keyword: str | None = None
) -> Statement:
    """Cut keyword and flags off a line, from `start`; `keyword` is what another splitter found."""
    text = line.text
    end = start + (len(keyword) if keyword else arguments.keyword_end(text[start:]))
    flags, at = arguments.flags(text, end, escape)
    return Statement(
        source=source,
        line=line,
        escape=escape,
        start=start,
        keyword=Piece(text[start:end], start, end),
        flags=flags,
        at=at,
    )


def _known_flags(name: str, known: Mapping[str, str]) -> str:
    if not known:
        return f"{name} has no flags at all"
    if len(known) == 1:
        return f"its only flag is `--{next(iter(known))}`"
    return "its flags are " + ", ".join(f"`--{flag}`" for flag in sorted(known))
