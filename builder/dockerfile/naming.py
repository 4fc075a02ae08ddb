"""What to do about the words after FROM that come to no name: stages and arguments that may be meant."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from builder.diagnostics import SourceFile
from builder.dockerfile import suggest
from builder.dockerfile.expansion import Expander
from builder.dockerfile.instructions import Word
from builder.errors import DockerfileError, ReferenceInvalid


def unset_arguments(
    word: Word, arguments: Mapping[str, str], expander: Expander
) -> tuple[str, ...]:
    """Return the arguments that a word uses and that are not set."""
    missing: dict[str, None] = {}

    def remembering(name: str) -> str | None:
        value = arguments.get(name)
        if value is None:
            missing[name] = None
        return value

    expander.shown(word.text, remembering, as_command=False)
    return tuple(missing)


def argument_hint(word: Word, arguments: Mapping[str, str], expander: Expander) -> str:
    """Say what to do about a word after FROM that comes to nothing useful."""
    if "$" not in word.text:
        return "write the name of an image, or `scratch`"
    missing = unset_arguments(word, arguments, expander)
    near = next(filter(None, [suggest.nearest(name, arguments) for name in missing]), None)
    if near is not None:
        return f"did you mean `${near}`?"
    if missing:
        name = missing[0]
        return f"write `ARG {name}=…` above the first FROM, or give `--build-arg {name}=…`"
    return "give the argument a value"


def no_reference(
    error: ReferenceInvalid,
    name: str,
    word: Word,
    stages: Collection[str],
    arguments: Mapping[str, str],
    expander: Expander,
) -> ReferenceInvalid:
    """Return the error for a word that comes to `name`, which is no reference, with its place and what may be meant."""
    missing = unset_arguments(word, arguments, expander)
    hint = argument_hint(word, arguments, expander) if missing else error.hint
    return ReferenceInvalid(
        error.message,
        span=word.span,
        source=expander.source,
        notes=(*error.notes, *[f"the argument `{each}` is not set" for each in missing]),
        hint=_stage_hint(name, stages) or hint,
    )


def neither(
    error: ReferenceInvalid, word: Word, stages: str, source: SourceFile
) -> DockerfileError:
    """Return the error for a word after `from=`; `stages` says which there are."""
    return DockerfileError(
        f"`{word.text}` is neither a stage nor the name of an image",
        code="dockerfile.unknown-stage",
        span=word.span,
        source=source,
        notes=(stages,),
        hint=error.hint,
    )


def _stage_hint(name: str, stages: Collection[str]) -> str | None:
    """Suggest the stage that a bad image name is near to: FROM takes the lower-case name only."""
    if name.lower() in stages:
        return f"write the stage's name as `{name.lower()}`"
    return suggest.hint(name.lower(), stages)
