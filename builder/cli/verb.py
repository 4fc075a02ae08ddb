"""A verb of the command line: a click command with Docker's habits.

`--root` is accepted after the verb, booleans may be written `--x=false`, and flags that Docker knows and
lapstrake does not (yet) are refused by name, or accepted with a note where Docker ignores them itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from builder.cli.invocation import Invocation
from builder.cli.words import normalised
from builder.errors import UsageError


def set_root(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    """Remember `--root`, wherever it was written; the last one counts."""
    if value is not None:
        invocation = context.find_object(Invocation)
        assert invocation is not None
        invocation.root = value


def root_option() -> click.Option:
    """Return the option `--root`, which belongs to the program and to every verb."""
    return click.Option(
        ["--root"],
        metavar="DIR",
        expose_value=False,
        callback=set_root,
        help="Keep images and cache in this directory.",
    )


def absent(*names: str, value: bool = True) -> list[click.Option]:
    """Return options that are refused by name; each name may hold spellings split by `/`."""

    def refuse(_context: click.Context, parameter: click.Parameter, given: object) -> None:
        if given:
            raise UsageError(f"`{'/'.join(parameter.opts)}` is not available in this version")

    return [_hidden(name, refuse, value=value) for name in names]


def ignored(*names: str, value: bool = False) -> list[click.Option]:
    """Return options that are accepted and change nothing, as in Docker; a note says so."""

    def remark(context: click.Context, parameter: click.Parameter, given: object) -> None:
        invocation = context.find_object(Invocation)
        if given and invocation is not None:
            invocation.note(f"`{parameter.opts[-1]}` has no effect, as in Docker")

    return [_hidden(name, remark, value=value) for name in names]


def _hidden(name: str, callback: Any, *, value: bool) -> click.Option:
    spellings = name.split("/")
    if value:
        return click.Option(
            spellings, multiple=True, hidden=True, expose_value=False, callback=callback
        )
    return click.Option(spellings, is_flag=True, hidden=True, expose_value=False, callback=callback)


class Verb(click.Command):
    """A click command that also takes `--root`, Go's booleans and the flags in `others`."""

    def __init__(
        self, *arguments: Any, others: Sequence[click.Option] = (), **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self.params += [*others, root_option()]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does, after Docker's way of writing flags has been put into click's."""
        words = normalised(self.params, args, interspersed=ctx.allow_interspersed_args)
        return super().parse_args(ctx, words)
