"""Comments of ours right above an instruction, which say how its cache counts.

    # lapstrake: ttl=1d                    a result older than that is not taken
    # lapstrake: ignore-arg=GIT_SHA,DATE   these build arguments do not count for the step

Other builders read comments, and build the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec

from builder.diagnostics import SourceFile
from builder.dockerfile import durations, suggest
from builder.dockerfile.instructions import Add, Copy, Instruction, Run, Workdir
from builder.errors import DockerfileError
from builder.graph.operations import RunOp

PREFIX = "lapstrake:"
TTL, IGNORE_ARG = "ttl", "ignore-arg"
OPTIONS = (TTL, IGNORE_ARG)


class Steering(msgspec.Struct, frozen=True, kw_only=True):
    """What the comments above an instruction ask for; `ttl` in seconds, 0 for no limit."""

    ttl: int = 0
    ignored_arguments: tuple[str, ...] = ()


NOTHING = Steering()


def words(comments: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield name and value of each option in comments of ours; a word without a value has ""."""
    for comment in comments:
        text = comment.strip()
        if text[: len(PREFIX)].lower() == PREFIX:
            for word in text[len(PREFIX) :].split():
                name, _, value = word.partition("=")
                yield name.lower(), value


def steering(instruction: Instruction, source: SourceFile) -> Steering:
    """Return what the comments above an instruction ask for; what they name besides, a check warns of.

    Raises: DockerfileError: a value is none, or counts for nothing there.
    """
    if not instruction.comments:
        return NOTHING
    ttl, ignored = 0, []
    for name, value in words(instruction.comments):
        if name == TTL:
            ttl = _ttl(value, instruction, source)
        elif name == IGNORE_ARG and isinstance(instruction, Run):
            ignored += [each for each in value.split(",") if each]
            if not value.strip(","):
                raise _refused("`ignore-arg` names no argument", instruction, source)
        elif name == IGNORE_ARG and isinstance(instruction, Copy | Add | Workdir):
            raise _refused(
                "`ignore-arg` counts for RUN only", instruction, source, hint="leave it out"
            )
    return Steering(ttl=ttl, ignored_arguments=tuple(dict.fromkeys(ignored)))


def apart(
    instruction: Run,
    asked: Steering,
    operation: RunOp,
    declared: Collection[str],
    source: SourceFile,
) -> RunOp:
    """Return a RUN for whose key the arguments that a comment names do not count.

    `declared` are the arguments in scope, with a value or without.

    Raises: DockerfileError: a name is that of none of them.
    """
    variables = {each.partition("=")[0] for each in operation.env} - set(operation.arguments)
    for name in asked.ignored_arguments:
        if name in variables:
            message = f"`{name}` is a variable of the image, not a build argument"
            raise _refused(message, instruction, source, hint="it counts as any ENV does")
        if name not in declared:
            hint = suggest.hint(name, declared) or f"declare it above with `ARG {name}`"
            message = f"there is no build argument `{name}` here"
            raise _refused(message, instruction, source, hint=hint)
    ignored = frozenset(asked.ignored_arguments)
    hidden = tuple([each for each in operation.env if each.partition("=")[0] in ignored])
    return msgspec.structs.replace(
        operation,
        env=tuple([each for each in operation.env if each not in hidden]),
        hidden_env=(*operation.hidden_env, *hidden),
    )


def _ttl(value: str, instruction: Instruction, source: SourceFile) -> int:
    try:
        return durations.seconds(value)
    except ValueError:
        raise _refused(
            f"`ttl={value[:40]}` is no time span",
            instruction,
            source,
            hint="write it as a number with a unit: `30m`, `12h`, `1d`, `2w`",
        ) from None


def _refused(
    message: str, instruction: Instruction, source: SourceFile, hint: str | None = None
) -> DockerfileError:
    return DockerfileError(
        message,
        span=instruction.keyword.span,
        source=source,
        notes=(f"the comment above begins with `# {PREFIX}`",),
        hint=hint,
    )
