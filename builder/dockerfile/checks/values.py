"""Rules about variables and what is set: undefined ones, secrets, old forms, relative directories."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from builder.diagnostics import Span
from builder.dockerfile import scope
from builder.dockerfile.checks.finding import Finding
from builder.dockerfile.checks.walk import Expanded, Moment
from builder.dockerfile.instructions import Arg, Env, Instruction, Label, Word

_SECRET = frozenset(
    [
        "apikey",
        "auth",
        "credential",
        "credentials",
        "key",
        "password",
        "pword",
        "passwd",
        "secret",
        "token",
    ]
)
_NO_SECRET = frozenset({"public", "file", "version"})


def undefined_variables(moment: Moment) -> Iterator[Finding]:
    """UndefinedVar: a variable that nothing has set, and that no ARG of the stage declares."""
    state = moment.state
    if moment.instruction.span.line >= state.unsure_from:
        return
    for found in moment.words:
        declared = state.arguments | _declared_before(moment.instruction, found.word)
        for name in found.unknown:
            if name in declared or name in scope.NOT_ENVIRONMENT:
                continue
            near = moment.near.name(name, state.environment)
            notes: tuple[str, ...] = ()
            if not state.image_known:
                notes = ("what the base image sets is not known: it is not in the store",)
            yield Finding(
                rule="UndefinedVar",
                span=_named(found, name),
                message=f"the variable `{name}` is not defined here",
                notes=notes,
                hint=_definition(name, near, moment.globals),
                comments=moment.instruction.comments,
            )


def _declared_before(instruction: Instruction, word: Word) -> set[str]:
    """Return the arguments that the same ARG declares before the one whose default a word is."""
    names: set[str] = set()
    if isinstance(instruction, Arg):
        for argument in instruction.arguments:
            if argument.default is word:
                break
            names.add(argument.name.text)
    return names


def _definition(name: str, near: str | None, above: Collection[str]) -> str:
    if name in above:
        return f"add `ARG {name}` to this stage: the one above the first FROM counts for FROM only"
    if near is not None:
        return f"did you mean `${near}`?"
    return f"define it with `ENV {name}=…` or `ARG {name}` in this stage"


def _named(found: Expanded, name: str) -> Span:
    """Return the span of `$name` or `${name…}` in a word; the word's own where it is spelt otherwise."""
    text = found.word.text
    for opening in ("${" + name, "$" + name):
        at = text.find(opening)
        if at >= 0:
            end = at + len(opening)
            if opening.startswith("${") and text.startswith("}", end):
                end += 1
            return found.word.part(at, end)
    return found.word.span


def secret_names(moment: Moment) -> Iterator[Finding]:
    """SecretsUsedInArgOrEnv: names that sound like secrets; values stay in the image or its history."""
    instruction = moment.instruction
    names: list[tuple[Word, str]] = []
    if isinstance(instruction, Env):
        names = [(each.word, each.value or "") for each in moment.words[::2]]
    elif isinstance(instruction, Arg):
        names = [(argument.name, argument.name.text) for argument in instruction.arguments]
    for word, name in names:
        parts = set(name.lower().split("_"))
        if parts & _SECRET and not parts & _NO_SECRET:
            keyword = instruction.keyword.text.upper()
            yield Finding(
                rule="SecretsUsedInArgOrEnv",
                span=word.span,
                message=f"{keyword} `{name}` looks like a secret, which anybody can read in the image",
                hint="give it to the step that needs it: `RUN --mount=type=secret,id=NAME`",
                comments=instruction.comments,
            )


def legacy_pairs(moment: Moment) -> Iterator[Finding]:
    """LegacyKeyValueFormat: `ENV name value`."""
    instruction = moment.instruction
    assert isinstance(instruction, Env | Label)
    for pair in instruction.pairs:
        if pair.legacy:
            keyword = instruction.keyword.text.upper()
            value = pair.value.text
            plain = value.isascii() and not any(char in " \t\"'\\$`" for char in value)
            shown = value if plain and len(value) < 60 else '"…"'
            notes: tuple[str, ...] = ()
            if value.startswith("="):
                # It was meant as `name=value`, and means something else.
                notes = (f"the value begins with the equals sign: `{value[:60]}`",)
                shown = shown.removeprefix("=")
                if shown[:1] == " " or shown == '"…"':
                    after = value[1:].strip()
                    shown = after if " " not in after and len(after) < 60 else '"…"'
            yield Finding(
                rule="LegacyKeyValueFormat",
                span=pair.name.span.to(pair.value.span),
                message=f"{keyword} with a blank instead of an equals sign is an old form",
                notes=notes,
                hint=f"write `{keyword} {pair.name.text}={shown}`",
                comments=instruction.comments,
            )


def relative_directory(moment: Moment) -> Iterator[Finding]:
    """WorkdirRelativePath: the first WORKDIR depends on what the base image says."""
    path = moment.words[0] if moment.words else None
    if path is None or path.value is None or path.value.startswith("/"):
        return
    if moment.state.workdir_set:
        return
    yield Finding(
        rule="WorkdirRelativePath",
        span=path.word.span,
        message=f"`{path.value}` is relative to the working directory of the base image",
        notes=("no WORKDIR before it in this stage is absolute",),
        hint=f"write `/{path.value.removeprefix('./')}`",
        comments=moment.instruction.comments,
    )
