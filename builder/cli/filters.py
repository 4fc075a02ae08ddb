"""The words of `images --filter`.

Source: docker images, "Filtering".
"""

from __future__ import annotations

from collections.abc import Iterable

from builder.cli.pruning import moment_of
from builder.dockerfile import suggest
from builder.engine import ImageFilter, LabelFilter
from builder.errors import UsageError

_KNOWN = ("before", "dangling", "label", "reference", "since", "until")
_TRUTH = {"1": True, "true": True, "t": True, "0": False, "false": False, "f": False}


def image_filter(words: Iterable[str], name: str | None) -> ImageFilter:
    """Read what is to be listed; `name` is a further pattern of names.

    Raises: UsageError: a filter is not known, or its value is none.
    """
    found: dict[str, list[str]] = {known: [] for known in _KNOWN}
    for word in words:
        key, equals, value = word.partition("=")
        key = key.strip().lower()
        if not equals:
            raise UsageError(f"`--filter {word[:80]}` has no value", hint="write it as NAME=VALUE")
        if key not in found:
            raise UsageError(
                f"invalid filter `{key[:80]}`",
                hint=suggest.hint(key, _KNOWN) or f"it can be {', '.join(_KNOWN)}",
            )
        found[key].append(value)
    moments = [moment_of(value, f"until={value}") for value in found["until"]]
    return ImageFilter(
        references=(*found["reference"], *([name] if name else ())),
        dangling=_truth(found["dangling"]),
        labels=tuple(_label(value) for value in found["label"]),
        before=tuple(found["before"]),
        since=tuple(found["since"]),
        until=min(moments, default=None),
    )


def _truth(words: list[str]) -> bool | None:
    if not words:
        return None
    found = _TRUTH.get(words[-1].lower())
    if found is None:
        raise UsageError(
            f"`{words[-1][:40]}` in `dangling={words[-1][:40]}` is neither true nor false"
        )
    return found


def _label(value: str) -> LabelFilter:
    name, equals, text = value.partition("=")
    return LabelFilter(name, text if equals else None, wanted=True)
