"""From the way in which Docker's users write flags to the way that click reads.

`-it` becomes `--interactive --tty`, `-tNAME` and `-t=NAME` become `--tag=NAME`, `--pull=true` becomes
`--pull`, and `--pull=false` takes an earlier `--pull` back. Only words in the place of a flag are touched:
not the values of flags, not what comes after `--`, nor, where the rest belongs to a container's command,
anything after the first argument.

Long names are also quicker: click imports difflib for every short flag with a value.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import click

from builder.errors import UsageError

_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


class OptionalValue(click.Option):
    """A flag whose value may be left out, and may be the next word only where `is_value` says so of that."""

    def __init__(self, *args: Any, is_value: Callable[[str], bool], **more: Any) -> None:
        super().__init__(*args, **more)
        self.is_value = is_value


def normalised(
    parameters: Sequence[click.Parameter], words: Sequence[str], *, interspersed: bool
) -> list[str]:
    """Return the words as click expects them; those that are no flag of `parameters` stay as they are.

    `interspersed` says whether flags may come after the first argument.

    Raises: UsageError: a boolean has a value that is none.
    """
    options = {
        spelling: option
        for option in parameters
        if isinstance(option, click.Option)
        for spelling in option.opts
    }
    result: list[str] = []
    rest = deque(words)
    while rest:
        word = rest.popleft()
        if word == "--":
            return [*result, word, *rest]
        if not word.startswith("-") or word == "-":
            if not interspersed:
                return [*result, word, *rest]
            result.append(word)
        elif word.startswith("--"):
            name, equals, value = word.partition("=")
            _add(result, options, name, value if equals else None, rest)
        else:
            _add_cluster(result, options, word[1:], rest)
    return result


def _add_cluster(
    result: list[str], options: dict[str, click.Option], letters: str, rest: deque[str]
) -> None:
    """Add the flags of one word such as `-it` or `-tNAME`."""
    while letters:
        option = options.get(f"-{letters[0]}")
        if option is None:
            result.append(f"-{letters}")
            return
        name, letters = option.opts[-1], letters[1:]
        if letters and (not option.is_flag or letters.startswith("=")):
            _add(result, options, name, letters.removeprefix("="), rest)
            return
        _add(result, options, name, None, rest if not letters else deque())


def _add(
    result: list[str],
    options: dict[str, click.Option],
    name: str,
    value: str | None,
    rest: deque[str],
) -> None:
    """Add one flag; without a value of its own, one that needs one takes the next word of `rest`."""
    option = options.get(name)
    if option is not None and value is None and isinstance(option.flag_value, str):
        # Its value may be left out, and is the next word only where this can be nothing else.
        follows = isinstance(option, OptionalValue) and rest and option.is_value(rest[0])
        result.append(f"{name}={rest.popleft() if follows else option.flag_value}")
    elif option is None or not option.is_flag:
        result.append(name if value is None else f"{name}={value}")
        if option is not None and value is None and rest:
            result.append(rest.popleft())
    elif value is None or value in _TRUE:
        result.append(name)
    elif value in _FALSE:
        result[:] = [word for word in result if word != name]
        if option.secondary_opts:  # what is so unless it is denied
            result.append(option.secondary_opts[-1])
    else:
        raise UsageError(f"`{value}` for `{name}` is neither true nor false")
