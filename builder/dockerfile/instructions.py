"""The instructions of a Dockerfile as they are written: words unexpanded, everything with its place.

One frozen class each, together the closed union `Instruction`.
"""

from __future__ import annotations

import msgspec

from builder.diagnostics import Diagnostic, SourceFile, Span


class Word(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A word as written, quotes and variables included."""

    text: str
    span: Span

    def part(self, start: int, end: int | None = None) -> Span:
        """Return the span of characters `start` to `end`, or that of the word where it is spelt differently."""
        span = self.span
        end = len(self.text) if end is None else end
        written = span.line == span.end_line and span.end_column - span.column == len(self.text)
        if not written or start >= end:
            return span
        return Span(span.line, span.column + start, span.line, span.column + end)


class Flag(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`--name=value`; `value` is None when there is no equals sign, `value_span` then the flag's own."""

    name: str
    value: str | None
    span: Span
    value_span: Span

    @property
    def word(self) -> Word:
        """The value, to be expanded."""
        return Word(self.value or "", self.value_span)


class Heredoc(msgspec.Struct, frozen=True, kw_only=True):
    """A here-document: `body` as written, one newline at the end of each line."""

    name: str
    body: str
    expand: bool
    strip_tabs: bool
    descriptor: int
    span: Span

    def content(self) -> str:
        """Return the body, without leading tabs where `<<-` asks for that."""
        if not self.strip_tabs:
            return self.body
        return "\n".join([line.lstrip("\t") for line in self.body.split("\n")])


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What RUN, CMD, ENTRYPOINT, SHELL and HEALTHCHECK run: exec form, or one text for the shell."""

    words: tuple[Word, ...]
    shell_form: bool


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """`name=value` of ENV and LABEL; `legacy` is the form `ENV name value`."""

    name: Word
    value: Word
    legacy: bool = False


class Argument(msgspec.Struct, frozen=True, kw_only=True):
    """One `name` or `name=default` of ARG."""

    name: Word
    default: Word | None = None


class _Instruction(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Common to all: the whole place, the keyword's place, the joined text, and the comments right above."""

    span: Span
    keyword: Word
    text: str
    comments: tuple[str, ...] = ()


class From(_Instruction, frozen=True, kw_only=True, tag=True):
    """The start of a stage; `name` is lower-case."""

    image: Word
    name: Word | None = None
    platform: Flag | None = None


class Run(_Instruction, frozen=True, kw_only=True, tag=True):
    """Run a command; `heredocs` in the order in which they are named."""

    command: Command
    heredocs: tuple[Heredoc, ...] = ()
    network: Flag | None = None
    security: Flag | None = None
    mounts: tuple[Flag, ...] = ()
    devices: tuple[Flag, ...] = ()


class Copy(_Instruction, frozen=True, kw_only=True, tag=True):
    """Copy paths, and here-documents as files, to `dest`."""

    sources: tuple[Word, ...]
    files: tuple[Heredoc, ...] = ()
    dest: Word
    from_: Flag | None = None
    chown: Flag | None = None
    chmod: Flag | None = None
    link: Flag | None = None
    parents: Flag | None = None
    excludes: tuple[Flag, ...] = ()


class Add(_Instruction, frozen=True, kw_only=True, tag=True):
    """Copy paths, archives, URLs and here-documents to `dest`."""

    sources: tuple[Word, ...]
    files: tuple[Heredoc, ...] = ()
    dest: Word
    chown: Flag | None = None
    chmod: Flag | None = None
    link: Flag | None = None
    keep_git_dir: Flag | None = None
    checksum: Flag | None = None
    unpack: Flag | None = None
    excludes: tuple[Flag, ...] = ()


class Env(_Instruction, frozen=True, kw_only=True, tag=True):
    """Set variables of this stage and the image."""

    pairs: tuple[Pair, ...]


class Label(_Instruction, frozen=True, kw_only=True, tag=True):
    """Set labels of the image."""

    pairs: tuple[Pair, ...]


class Arg(_Instruction, frozen=True, kw_only=True, tag=True):
    """Declare build arguments."""

    arguments: tuple[Argument, ...]


class Workdir(_Instruction, frozen=True, kw_only=True, tag=True):
    """Make and enter a directory."""

    path: Word


class User(_Instruction, frozen=True, kw_only=True, tag=True):
    """Set the user of what follows and of the container."""

    user: Word


class Cmd(_Instruction, frozen=True, kw_only=True, tag=True):
    """Set the default command, or the arguments of the entry point."""

    command: Command


class Entrypoint(_Instruction, frozen=True, kw_only=True, tag=True):
    """Set the program of the container."""

    command: Command


class Expose(_Instruction, frozen=True, kw_only=True, tag=True):
    """Name ports that the container listens on."""

    ports: tuple[Word, ...]


class Volume(_Instruction, frozen=True, kw_only=True, tag=True):
    """Name directories whose contents outlive a container."""

    paths: tuple[Word, ...]


class Shell(_Instruction, frozen=True, kw_only=True, tag=True):
    """Set the shell of the shell form."""

    command: Command


class StopSignal(_Instruction, frozen=True, kw_only=True, tag=True):
    """Set the signal that ends the container."""

    signal: Word


class Healthcheck(_Instruction, frozen=True, kw_only=True, tag=True):
    """Set the health check, or none at all (`command` None); durations in nanoseconds, 0 inherits."""

    command: Command | None
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class OnBuild(_Instruction, frozen=True, kw_only=True, tag=True):
    """An instruction for those who build on the image; `expression` as it is stored in the image."""

    expression: str
    trigger: Instruction


class Maintainer(_Instruction, frozen=True, kw_only=True, tag=True):
    """Set the author."""

    name: Word


Instruction = (
    From
    | Run
    | Copy
    | Add
    | Env
    | Arg
    | Workdir
    | User
    | Cmd
    | Entrypoint
    | Label
    | Expose
    | Volume
    | Shell
    | StopSignal
    | Healthcheck
    | OnBuild
    | Maintainer
)

KEYWORDS = (
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
)


class Directives(msgspec.Struct, frozen=True, kw_only=True):
    """The parser directives at the top of the file; `escape` is the escape character in force."""

    syntax: Word | None = None
    escape: str = "\\"
    check: Word | None = None


class Hole(msgspec.Struct, frozen=True):
    """A line with an instruction that cannot be read; `name` is which it seems to be, "" for any."""

    name: str
    line: int


class Dockerfile(msgspec.Struct, frozen=True, kw_only=True):
    """A Dockerfile that has been read: at least one FROM, only ARG before it.

    One with mistakes has `holes`, and may lack these.
    """

    source: SourceFile
    directives: Directives
    instructions: tuple[Instruction, ...]
    warnings: tuple[Diagnostic, ...] = ()
    holes: tuple[Hole, ...] = ()
