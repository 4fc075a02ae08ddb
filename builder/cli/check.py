"""`lapstrake build --check` and `--call=…`: questions about a Dockerfile, answered without building it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from builder.cli.invocation import Invocation
from builder.errors import UsageError
from builder.ui.style import palette_for

if TYPE_CHECKING:
    from builder.engine import CallRequest

_METHODS = ("build", "check", "outline", "targets")
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


class Call(msgspec.Struct, frozen=True):
    """What is asked, whether the answer is JSON, and whether warnings leave the exit code 0."""

    method: str
    json: bool = False
    ignore_status: bool = False


def call_of(texts: tuple[str, ...], *, check: bool) -> Call | None:
    """Read `METHOD[,format=json][,ignorestatus]`; None means to build. The last one given counts.

    Raises: UsageError: it is malformed, or contradicts `--check`.
    """
    call = _read(texts[-1]) if texts else None
    if check:
        if call is not None and call.method != "check":
            raise UsageError(f"`--check` and `--call={texts[-1]}` contradict each other")
        return call or Call("check")
    return None if call is None or call.method == "build" else call


def _read(text: str) -> Call:
    method, json, ignore_status = "", False, False
    for field in text.split(","):
        name, equals, value = field.strip().partition("=")
        if name == "format" and equals:
            if value not in ("json", "text"):
                raise UsageError(f"`--call` has no format `{value}`", hint="use `format=json`")
            json = value == "json"
        elif name == "ignorestatus" and (not equals or value in _TRUE | _FALSE):
            ignore_status = value not in _FALSE
        elif not equals and not method:
            method = "check" if name == "lint" else name
        else:
            raise UsageError(
                f"`{field}` of `--call` is not understood",
                hint="write it like `--call=check,format=json`",
            )
    if (method or "build") not in _METHODS:
        from builder.dockerfile import suggest

        raise UsageError(
            f"there is no `--call={method}`",
            notes=("it is one of `build`, `check`, `outline` and `targets`",),
            hint=suggest.hint(method, _METHODS),
        )
    return Call(method or "build", json, ignore_status)


def answer(
    invocation: Invocation, call: Call, request: CallRequest, stdin: BinaryIO | None = None
) -> int:
    """Print the answer on standard output, and what would end the build as errors; return the exit code.

    `stdin` is what `-` in the request means.
    """
    from builder.cli.failure import not_shown
    from builder.dockerfile.mistakes import MOST_TOLD
    from builder.engine.calls import Checked
    from builder.ui.calls import as_json, as_text

    with invocation.engine() as engine:
        result = engine.call(request) if stdin is None else engine.call(request, stdin)
    if call.json:
        sys.stdout.write(as_json(result) + "\n")
    else:
        palette = palette_for(sys.stdout, invocation.settings)
        sys.stdout.write(as_text(result, palette=palette, columns=_columns()))
    if not isinstance(result, Checked):
        return 0
    sys.stdout.flush()
    if not call.json:
        shown = [found.diagnostic for found in result.errors[:MOST_TOLD]]
        told = [*shown, *not_shown(len(result.errors[MOST_TOLD:])), *result.remarks]
        if told and result.warnings:
            sys.stderr.write("\n")
        invocation.tell_all(told)
    if result.errors:
        return 1
    return 1 if result.warnings and not call.ignore_status else 0


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 120
    except (OSError, ValueError):
        return 120
