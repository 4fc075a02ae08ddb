"""Rules about CMD, ENTRYPOINT, HEALTHCHECK and MAINTAINER."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from builder.dockerfile.arguments import repaired_list
from builder.dockerfile.checks.finding import Finding
from builder.dockerfile.checks.walk import Moment, Scene
from builder.dockerfile.instructions import Cmd, Command, Entrypoint, Maintainer

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:=,@+- ")


def shell_forms(moment: Moment) -> Iterator[Finding]:
    """JSONArgsRecommended: unless SHELL has said that a shell is wanted."""
    instruction = moment.instruction
    assert isinstance(instruction, Cmd | Entrypoint)
    if not instruction.command.shell_form or moment.state.shell:
        return
    keyword = instruction.keyword.text.upper()
    words = instruction.command.words
    meant = repaired_list(words[0].text) if words else None
    yield Finding(
        rule="JSONArgsRecommended",
        span=words[0].span.to(words[-1].span) if words else instruction.keyword.span,
        message=f"{keyword} runs a shell, so signals such as SIGTERM do not reach the program"
        if meant is None
        else f"{keyword} begins like a JSON array but is none, so a shell is given all of it",
        hint=_as_json(keyword, instruction.command)
        if meant is None
        else f"write `{keyword} {meant}`",
        comments=instruction.comments,
    )


def _as_json(keyword: str, command: Command) -> str:
    """Propose the array, where cutting at blanks is what a shell would do."""
    text = command.words[0].text if command.words else ""
    if not text or not _PLAIN.issuperset(text):
        return f'write a JSON array: `{keyword} ["PROGRAM", "ARGUMENT"]`'
    words = [msgspec.json.encode(word).decode() for word in text.split()]
    return f"write `{keyword} [{', '.join(words)}]`"


def repeated(moment: Moment) -> Iterator[Finding]:
    """MultipleInstructionsDisallowed: the one that is found is the earlier, which has no effect."""
    before = moment.state.last.get(type(moment.instruction))
    if before is None:
        return
    keyword = before.keyword.text.upper()
    yield Finding(
        rule="MultipleInstructionsDisallowed",
        span=before.span,
        message=f"this {keyword} has no effect, for the stage has another",
        notes=(f"the one that counts is on line {moment.instruction.span.line}, or after it",),
        hint="remove it",
        # As in BuildKit, the comment that silences this stands above the later one.
        comments=(*moment.instruction.comments, *before.comments),
    )


def maintainers(scene: Scene) -> Iterator[Finding]:
    """MaintainerDeprecated."""
    for instruction in scene.dockerfile.instructions:
        if isinstance(instruction, Maintainer):
            yield Finding(
                rule="MaintainerDeprecated",
                span=instruction.keyword.span,
                message="MAINTAINER is deprecated",
                hint="write `LABEL org.opencontainers.image.authors=…`",
                comments=instruction.comments,
            )
