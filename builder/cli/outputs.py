"""The words of `--output` and `--annotation`: `type=oci,dest=image.tar`, a directory, or `-` for a tar on standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from builder.cli.descriptors import is_lost
from builder.errors import UsageError
from builder.ui.style import is_terminal

if TYPE_CHECKING:
    from builder.engine import Output
    from builder.export.requested import Requested


def outputs_of(words: Iterable[str]) -> tuple[Output, ...]:
    """Return where the results go, apart from the store, where an image always goes.

    Raises: UsageError: a word is malformed, or two results want standard output.
    """
    outputs = tuple([_output(word) for word in words])
    to_stdout = [output for output in outputs if output.dest == "-"]
    if len(to_stdout) > 1:
        raise UsageError("only one `--output` can go to standard output")
    if to_stdout and is_terminal(sys.stdout):
        raise UsageError(
            "an archive is not written to a terminal", hint="redirect it, or write dest=FILE"
        )
    if to_stdout and is_lost(sys.stdout):
        raise UsageError(
            "an archive cannot be written to standard output, which is closed",
            hint="write dest=FILE",
        )
    return outputs


def _output(word: str) -> Output:
    from builder.engine import Output
    from builder.export.attributes import TYPES, requested

    if "=" not in word:
        if not word:
            raise UsageError("`--output` is empty", hint="write `--output type=tar,dest=FILE`")
        return Output(type="tar" if word == "-" else "local", dest=word, attributes=())
    pairs = [_pair(field, word) for field in fields(word, "--output")]
    values = dict(pairs)
    kind = values.pop("type", None)
    if kind is None:
        raise UsageError(
            f"`--output {word}` lacks a type",
            hint=f"use type={', '.join(TYPES[:-1])} or {TYPES[-1]}",
        )
    dest = values.pop("dest", None)
    attributes = tuple(values.items())
    return Output(
        type=kind, dest=_dest(requested(kind, dest, attributes), dest), attributes=attributes
    )


def _dest(requested: Requested, given: str | None) -> str | None:
    """Return where it goes: to standard output where an archive lacks a place."""
    return getattr(requested, "dest", given) or None


def annotations_of(words: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Read `[PLACE[PLATFORM],…:]KEY=VALUE`; return the attributes of outputs that say the same.

    Raises: UsageError: a word is malformed. ReferenceInvalid: it holds no platform where one should be.
    """
    from builder.export.attributes import placed

    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise UsageError(
                f"`--annotation {word}` is not understood", hint="write it as `KEY=VALUE`"
            )
        places, colon, key = name.partition(":")
        if not colon:
            found[f"annotation.{name}"] = value
            continue
        for place in places.split(","):
            if not place or not key:
                raise UsageError(
                    f"`--annotation {word}` is not understood",
                    hint="write it as `index:KEY=VALUE`",
                )
            placed(place, word)
            found[f"annotation-{place}.{key}"] = value
    return tuple(found.items())


def fields(word: str, flag: str) -> list[str]:
    """Split at commas; a field in double quotes may hold commas.

    Raises: UsageError: a quote is not closed.
    """
    if '"' not in word:
        return word.split(",")
    import csv

    try:
        return next(csv.reader([word], strict=True))
    except csv.Error as error:
        raise UsageError(f"the quotes in `{flag} {word}` do not match") from error


def _pair(field: str, word: str) -> tuple[str, str]:
    name, equals, value = field.partition("=")
    if not equals:
        raise UsageError(f"`{field}` in `--output {word}` is not KEY=value")
    return name.strip().lower(), value
