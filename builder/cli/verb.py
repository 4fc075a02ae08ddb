"""A verb of the command line: a click command with Docker's habits.

`--root` is accepted after the verb, booleans may be written `--x=false`, and flags that Docker knows and
lapstrake does not (yet) are refused by name, or accepted with a note where Docker ignores them itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

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


def help_option(names: Sequence[str]) -> click.Option:
    """Return the option for help; click's own looks for translations, which loads `locale` and reads directories."""
    return click.Option(
        [*names, "shows_help"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        help="Show this message and exit.",
        callback=_show_help,
    )


def _show_help(context: click.Context, _parameter: click.Parameter, given: bool) -> None:  # noqa: FBT001  click's signature
    if given and not context.resilient_parsing:
        click.echo(context.get_help(), color=context.color)
        context.exit()


class Other(NamedTuple):
    """A flag that is only known so as to be refused, or accepted without effect."""

    spellings: tuple[str, ...]
    takes_value: bool
    refused: bool

    def option(self) -> click.Option:
        """Return the hidden option that does so."""
        callback = _refuse if self.refused else _remark
        if self.takes_value:
            return click.Option(
                self.spellings, multiple=True, hidden=True, expose_value=False, callback=callback
            )
        return click.Option(
            self.spellings, is_flag=True, hidden=True, expose_value=False, callback=callback
        )


def absent(*names: str, value: bool = True) -> list[Other]:
    """Return flags that are refused by name; each name may hold spellings split by `/`."""
    return [Other(tuple(name.split("/")), takes_value=value, refused=True) for name in names]


def ignored(*names: str, value: bool = False) -> list[Other]:
    """Return flags that are accepted and change nothing, as in Docker; a note says so."""
    return [Other(tuple(name.split("/")), takes_value=value, refused=False) for name in names]


def _refuse(_context: click.Context, parameter: click.Parameter, given: object) -> None:
    if given:
        raise UsageError(f"`{'/'.join(parameter.opts)}` is not available in this version")


def _remark(context: click.Context, parameter: click.Parameter, given: object) -> None:
    invocation = context.find_object(Invocation)
    if given and invocation is not None:
        invocation.note(f"`{parameter.opts[-1]}` has no effect, as in Docker")


class Verb(click.Command):
    """A click command that also takes `--root`, Go's booleans and the flags in `others`.

    The others are made into options only when a word may be one of them.
    """

    def __init__(self, *arguments: Any, others: Sequence[Other] = (), **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.params.append(root_option())
        self.others = others
        """Flags that are only known so as to be refused or ignored, until they are options."""

        self._help: click.Option | None = None

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Return the option for help, the same one every time."""
        if self._help is None:
            self._help = help_option(self.get_help_option_names(ctx))
        return self._help

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does, after Docker's way of writing flags has been put into click's."""
        if self.others and not self._all_known(args):
            self.params += [other.option() for other in self.others]
            self.others = ()
        words = normalised(self.params, args, interspersed=ctx.allow_interspersed_args)
        try:
            return super().parse_args(ctx, words)
        except click.UsageError as mistake:
            mistake.ctx = mistake.ctx or ctx
            raise

    def _all_known(self, words: list[str]) -> bool:
        """Tell whether every word that looks like a flag is certainly one of the verb's own."""
        options = [each for each in self.params if isinstance(each, click.Option)]
        known = {name: each for each in options for name in each.opts}
        for word in words:
            if word.startswith("--"):
                if word.partition("=")[0] not in known:
                    return False
            elif word.startswith("-") and word != "-":
                option = known.get(word[:2])
                if option is None or (option.is_flag and len(word) > 2):
                    return False
        return True
