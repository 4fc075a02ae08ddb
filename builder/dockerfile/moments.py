"""The time that a build is given: SOURCE_DATE_EPOCH, a number of seconds or what it is to be taken from.

    1700000000      seconds since 1970
    context         the main context: a commit, or what the server says of a download
    NAME            a named context, or a stage that is nothing but one ADD of a URL or repository

A local directory has no such time: then none is given.

Source: BuildKit, docs/build-repro.md, "SOURCE_DATE_EPOCH".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from builder.diagnostics import Span
from builder.dockerfile import suggest
from builder.dockerfile.instructions import Add, Arg, Argument, Dockerfile, Instruction
from builder.dockerfile.outline import Outline, Outlines
from builder.errors import DockerfileError, UsageError

NAME = "SOURCE_DATE_EPOCH"
CONTEXT = "context"

YEARS = range(-30_610_224_000, 253_402_300_800)
"""The seconds of the years 1000 to 9999, which a time in a configuration can name."""

_MOST_DIGITS = 12
_SCRATCH = "scratch"


class MomentNeeded(Exception):
    """The time is to be taken from elsewhere: `text` says from what; `stage` that this is a stage."""

    def __init__(self, text: str, *, stage: bool) -> None:
        super().__init__(text)
        self.text = text
        self.stage = stage


def epoch(
    dockerfile: Dockerfile,
    given: Mapping[str, str],
    arguments: Mapping[str, str],
    contexts: Iterable[str],
    outlines: Outlines,
) -> int | None:
    """Return the seconds that SOURCE_DATE_EPOCH sets, given or as a global argument; None when it does not.

    Raises: MomentNeeded: they are to be taken from elsewhere. UsageError: it is given, and means nothing.
        DockerfileError: an ARG says so, or the stage that it names is no such stage.
    """
    text = given.get(NAME, arguments.get(NAME, ""))
    if not text:
        return None
    digits = text.removeprefix("-").removeprefix("+")
    is_number = digits.isascii() and digits.isdecimal() and len(digits) <= _MOST_DIGITS
    if is_number and int(text) in YEARS:
        return int(text)
    if text == CONTEXT or text in contexts:
        raise MomentNeeded(text, stage=False)
    index = outlines.names.get(text.lower())
    if index is not None:
        _check_stage(outlines.stages[index], dockerfile)
        raise MomentNeeded(text, stage=True)
    declared = None if NAME in given else _global(dockerfile.instructions)
    raise _refusal(text, dockerfile, declared, (*contexts, *outlines.names, CONTEXT))


def _refusal(
    text: str, dockerfile: Dockerfile, declared: Argument | None, names: Iterable[str]
) -> DockerfileError | UsageError:
    message = f"`{text[:60]}` is no time for {NAME}"
    notes = (
        f"it is a number of seconds in the years 1000 to 9999, `{CONTEXT}`, or the name of a context or a stage",
    )
    near = suggest.hint(text, names)
    hint = near or f"give it as a number: `--build-arg {NAME}=$(git log -1 --format=%ct)`"
    if declared is None:
        return UsageError(message, notes=notes, hint=hint)
    return DockerfileError(
        message,
        code="dockerfile.syntax",
        span=(declared.default or declared.name).span,
        source=dockerfile.source,
        notes=notes,
        hint=hint,
    )


def _check_stage(stage: Outline, dockerfile: Dockerfile) -> None:
    """Refuse a stage that is more than one ADD of something remote; what it adds is found when it is lowered."""
    added = [each for each in stage.instructions if isinstance(each, Add)]
    other = next((each for each in stage.instructions if not isinstance(each, Add | Arg)), None)
    span: Span | None = None
    if stage.head.image.text.lower() != _SCRATCH and "$" not in stage.head.image.text:
        span = stage.head.image.span
    elif other is not None:
        span = other.span
    elif len(added) != 1:
        span = stage.head.span if not added else added[1].span
    elif added[0].files or len(added[0].sources) != 1:
        span = added[0].span
    if span is not None:
        raise not_one_source(span, dockerfile)


def not_one_source(span: Span | None, dockerfile: Dockerfile) -> DockerfileError:
    """Return the error for a stage of which no time can be taken."""
    return DockerfileError(
        f"{NAME} names a stage that is not one ADD of a URL or repository",
        code="dockerfile.syntax",
        span=span,
        source=dockerfile.source,
        notes=("the time of such a stage is that of its one source",),
        hint="begin it with `FROM scratch`, and give it nothing but `ARG` and one `ADD` with one source",
    )


def _global(instructions: Iterable[Instruction]) -> Argument | None:
    """Return the last declaration with a default above the first FROM."""
    found = None
    for instruction in instructions:
        if not isinstance(instruction, Arg):
            break
        for argument in instruction.arguments:
            if argument.name.text == NAME and argument.default is not None:
                found = argument
    return found
