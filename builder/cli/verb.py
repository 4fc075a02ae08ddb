"""A verb of the command line: a click command with Docker's habits.

`--root` is accepted after the verb, booleans may be written `--x=false`, and flags that Docker knows and
lapstrake does not (yet) are refused by name, or accepted with a note where Docker ignores them itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from builder.cli.invocation import Invocation
from builder.errors import UsageError

_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


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
            raise UsageError(f"`{parameter.opts[-1]}` is not available in this version")

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
        """Parse as click does, after `--x=false` has been put into click's words."""
        return super().parse_args(ctx, _without_boolean_values(ctx, self.params, args))


def _without_boolean_values(
    context: click.Context, parameters: Sequence[click.Parameter], words: Sequence[str]
) -> list[str]:
    """Return the words with `--flag=true` as `--flag`, and without `--flag` before `--flag=false`.

    Only words in the place of a flag count: not the values of other flags, not what comes after `--` or
    after the first argument where the rest belongs to a container's command.
    """
    options = {
        spelling: option
        for option in parameters
        if isinstance(option, click.Option)
        for spelling in option.opts
    }
    result: list[str] = []
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        option = options.get(name)
        if word == "--" or (not _is_flag(word) and not context.allow_interspersed_args):
            return [*result, word, *rest]
        if option is not None and option.is_flag and equals:
            if value in _FALSE:
                result = [other for other in result if other not in option.opts]
            elif value in _TRUE:
                result.append(name)
            else:
                raise UsageError(f"`{value}` for `{name}` is neither true nor false")
            continue
        result.append(word)
        if _takes_the_next(options, word):
            result.extend(_one(rest))
    return result


def _is_flag(word: str) -> bool:
    return word.startswith("-") and word != "-"


def _one(rest: Any) -> list[str]:
    return [word for word in [next(rest, None)] if word is not None]


def _takes_the_next(options: dict[str, click.Option], word: str) -> bool:
    """Say whether a word is a flag whose value is the word after it."""
    if not _is_flag(word):
        return False
    if word.startswith("--"):
        option = options.get(word)
        return option is not None and not option.is_flag and not option.count
    for position, letter in enumerate(word[1:], 2):
        option = options.get(f"-{letter}")
        if option is not None and not option.is_flag:
            return position == len(word)
    return False
