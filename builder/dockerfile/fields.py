"""Fields separated by commas, as `RUN --mount` and `--device` have them, each with its place."""

from __future__ import annotations

import msgspec

from builder.diagnostics import SourceFile
from builder.dockerfile.instructions import Flag, Word
from builder.errors import DockerfileError


class Field(msgspec.Struct, frozen=True):
    """`key=value`, or a key alone (`value` None)."""

    whole: Word
    key: Word
    value: Word | None


def fields(flag: Flag, source: SourceFile) -> list[Field]:
    """Cut a value at its commas; a field may stand in double quotes, doubled inside.

    Raises: DockerfileError: there is no value, or a quote without its pair.
    """
    text = flag.value or ""
    if not text:
        raise mistake(flag.word, f"`--{flag.name}` has no value", source)
    found: list[Field] = []
    at = 0
    while at <= len(text):
        start = at
        if text.startswith('"', at):
            whole, at = _quoted(flag, at, source)
        else:
            end = text.find(",", at)
            end = len(text) if end < 0 else end
            whole = text[at:end]
            if '"' in whole:
                raise mistake(
                    Word(whole, flag.word.part(start, end)),
                    f"a quote stands inside a field of `--{flag.name}`",
                    source,
                    hint="put the whole field in quotes",
                )
            at = end
        found.append(_field(flag, whole, start, at))
        at += 1
    return found


def _quoted(flag: Flag, at: int, source: SourceFile) -> tuple[str, int]:
    """Read a field in quotes that starts at `at`; return it, and where it ends."""
    text = flag.value or ""
    out: list[str] = []
    start = at
    at += 1
    while True:
        end = text.find('"', at)
        if end < 0:
            break
        out.append(text[at:end])
        if text.startswith('"', end + 1):
            out.append('"')
            at = end + 2
            continue
        if end + 1 == len(text) or text[end + 1] == ",":
            return "".join(out), end + 1
        break
    raise mistake(
        Word(text[start:], flag.word.part(start)),
        f"the quotes in `--{flag.name}` are not in pairs",
        source,
        hint="put the whole field in quotes",
    )


def _field(flag: Flag, whole: str, start: int, end: int) -> Field:
    """Return a field with the places of its parts, where these are written as they read."""
    word = flag.word
    key, equals, value = whole.partition("=")
    span = word.part(start, end)
    if end - start != len(whole):
        start_of_value = end
        key_span = span
    else:
        start_of_value = start + len(key) + 1
        key_span = word.part(start, start + len(key)) if key else span
    value_span = word.part(start_of_value, end) if value and start_of_value < end else span
    return Field(
        Word(whole, span), Word(key, key_span), Word(value, value_span) if equals else None
    )


def mistake(
    word: Word,
    message: str,
    source: SourceFile,
    *,
    notes: tuple[str, ...] = (),
    hint: str | None = None,
) -> DockerfileError:
    """Return an error that points at a word."""
    return DockerfileError(message, span=word.span, source=source, notes=notes, hint=hint)
