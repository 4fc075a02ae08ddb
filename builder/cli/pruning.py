"""The words of `prune`: `--filter`, and how much is to stay.

Source: docker image prune, docker system prune, docker buildx prune, "--filter".
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime

from builder.dockerfile import durations, suggest
from builder.engine import Kind, LabelFilter, Pruning
from builder.errors import UsageError
from builder.settings import size_of

_FILTERS = ("dangling", "label", "label!", "type", "unused-for", "until")
_TRUE, _FALSE = frozenset({"1", "true", "t"}), frozenset({"0", "false", "f"})
_DAY = 86_400.0
_NANOSECONDS = 1e9


def pruning_of(
    filters: Iterable[str],
    *,
    everything: bool,
    cache_mounts: bool,
    reserved: str | None,
    most: str | None,
    free: str | None,
) -> Pruning:
    """Read what is to be removed.

    Raises: UsageError: a filter is not known, or its value is none.
    """
    until: float | None = None
    labels: list[LabelFilter] = []
    kinds = {Kind.CACHE_MOUNTS} if cache_mounts else set[Kind]()
    for word in filters:
        name, equals, value = word.partition("=")
        if not equals or name not in _FILTERS:
            raise UsageError(
                f"the filter `{word[:80]}` is not known",
                hint=suggest.hint(name, _FILTERS) or f"it can be {', '.join(_FILTERS)}",
            )
        match name:
            case "until" | "unused-for":
                moment = moment_of(value, word)
                until = moment if until is None else min(until, moment)
            case "label" | "label!":
                labels.append(_label(value, wanted=name == "label"))
            case "dangling":
                everything = _all_images(value, word, everything=everything)
            case _:
                kinds.add(_kind(value, word))
    if kinds and labels:
        raise UsageError("only images have labels, and `type=` leaves images alone")
    return Pruning(
        everything=everything,
        until=until,
        labels=tuple(labels),
        kinds=frozenset(kinds) or None,
        reserved=None if reserved is None else size_of(reserved, "--reserved-space"),
        most=None if most is None else size_of(most, "--max-used-space"),
        free=None if free is None else size_of(free, "--min-free-space"),
    )


def moment_of(text: str, word: str) -> float:
    """Return a moment in seconds since the epoch: a time span before now, or a time stamp.

    Raises: UsageError: it is neither; `word` is where it stands.
    """
    if text.isascii() and text.isdecimal() and len(text) < 16:
        return float(text)
    try:
        if text.isascii() and text.endswith("d") and text[:-1].isdecimal() and len(text) < 8:
            return time.time() - int(text[:-1]) * _DAY
        return time.time() - durations.parse(text) / _NANOSECONDS
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"`{text[:40]}` in `{word[:80]}` is no moment",
            hint="write a span such as 24h, or a moment such as 2026-01-31T12:00:00Z",
        ) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _label(value: str, *, wanted: bool) -> LabelFilter:
    name, equals, text = value.partition("=")
    return LabelFilter(name, text if equals else None, wanted)


def _all_images(value: str, word: str, *, everything: bool) -> bool:
    if value.lower() in _TRUE:
        return everything
    if value.lower() in _FALSE:
        return True
    raise UsageError(f"`{value[:40]}` in `{word[:80]}` is neither true nor false")


def _kind(value: str, word: str) -> Kind:
    for kind in Kind:
        if kind.value == value:
            return kind
    names = [kind.value for kind in Kind]
    raise UsageError(
        f"`{value[:40]}` in `{word[:80]}` is no type",
        hint=suggest.hint(value, names) or f"it can be {', '.join(names)}",
    )
