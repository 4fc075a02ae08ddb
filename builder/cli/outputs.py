"""The words of `--output`: `type=oci,dest=image.tar`, or a directory, or `-` for a tar on standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from builder.errors import UsageError
from builder.ui.style import is_terminal

if TYPE_CHECKING:
    from builder.engine import Output

_TYPES = ("oci", "tar", "local", "docker")
_ELSEWHERE = {"image": "--tag", "registry": "--push with --tag", "cacheonly": "no flag at all"}


def outputs_of(words: Iterable[str]) -> tuple[Output, ...]:
    """Return where the results go, apart from the store, where an image always goes.

    Raises: UsageError: a word is malformed, or two results want standard output.
    """
    outputs = tuple(output for word in words if (output := _output(word)) is not None)
    to_stdout = [output for output in outputs if output.dest == "-"]
    if len(to_stdout) > 1:
        raise UsageError("only one `--output` can go to standard output")
    if to_stdout and is_terminal(sys.stdout):
        raise UsageError(
            "an archive is not written to a terminal", hint="redirect it, or write dest=FILE"
        )
    return outputs


def _output(word: str) -> Output | None:
    from builder.engine import Output

    if "=" not in word:
        if not word:
            raise UsageError("`--output` is empty", hint="write `--output type=tar,dest=FILE`")
        return Output(type="tar" if word == "-" else "local", dest=word, attributes=())
    pairs = [_pair(field, word) for field in fields(word, "--output")]
    values = dict(pairs)
    kind = values.pop("type", None)
    if kind is None:
        raise UsageError(f"`--output {word}` lacks a type", hint=f"use type={_list(_TYPES)}")
    if kind in _ELSEWHERE:
        raise UsageError(
            f"`--output type={kind}` is not available in this version",
            hint=f"images always go to the store: use {_ELSEWHERE[kind]}",
        )
    if kind not in _TYPES:
        raise UsageError(f"`{kind}` is not a type of output", hint=f"use type={_list(_TYPES)}")
    dest = values.pop("dest", None)
    if dest is None and kind == "docker":
        return None  # Docker's "load it into the store", where it goes anyway
    if not dest:
        raise UsageError(f"`--output {word}` lacks a destination", hint="add dest=PATH")
    if dest == "-" and kind == "local":
        raise UsageError("a directory cannot be written to standard output", hint="use type=tar")
    return Output(type=kind, dest=dest, attributes=tuple(values.items()))


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


def _list(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
