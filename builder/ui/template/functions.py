"""The functions of templates: Go's own, and those that Docker adds.

Lengths and places in strings are counted in bytes, as in Go.
Source: Go's text/template, "Functions"; docker/cli, templates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from builder.ui.template.errors import Unevaluable
from builder.ui.template.shown import (
    NO_VALUE,
    Duration,
    NilPointer,
    is_of_strings,
    is_true,
    shown,
    to_json,
    type_name,
)

LONGEST = 1 << 24
"""Characters that a template may make."""

_HTML = {"\0": "\ufffd", '"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;"}


class Signature(NamedTuple):
    """A function and the types of its arguments: `string`, `int` or `any`; `rest` is that of all further ones."""

    function: Callable[..., object]
    arguments: tuple[str, ...]
    rest: str | None = None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _join(elements: object, separator: str) -> str:
    if elements is None:
        return ""
    if isinstance(elements, Mapping):
        return separator.join(sorted(shown(each) for each in elements.values()))
    if isinstance(elements, (list, tuple)):
        return separator.join(map(shown, elements))
    raise Unevaluable(f"expected slice, got {type_name(elements)}")


def _split(text: str, separator: str) -> list[str]:
    return text.split(separator) if separator else list(text)


def _title(text: str) -> str:
    letters: list[str] = []
    starts = True
    for letter in text:
        letters.append(letter.title() if starts else letter)
        starts = not (letter.isalnum() or letter == "_") and (letter.isascii() or letter.isspace())
    return "".join(letters)


def _pad(text: str, before: int, after: int) -> str:
    if not text:
        return ""
    if before < 0 or after < 0:
        raise Unevaluable("strings: negative Repeat count")
    if before + after > LONGEST:
        raise Unevaluable("the output is too long")
    return " " * before + text + " " * after


def _truncate(text: str, length: int) -> str:
    data = _bytes(text)
    if length < 0:
        raise Unevaluable(f"slice bounds out of range [:{length}]")
    return text if len(data) < length else _text(data[:length])


def _length(value: object) -> int:
    if isinstance(value, NilPointer):
        raise Unevaluable("len of nil pointer")
    if isinstance(value, str):
        return len(_bytes(value))
    if isinstance(value, (list, tuple, Mapping)):
        return len(value)
    raise Unevaluable(f"len of type {type_name(value)}")


def _place(index: object, length: int) -> int:
    if isinstance(index, bool) or not isinstance(index, int):
        if index is None:
            raise Unevaluable("cannot index slice/array with nil")
        raise Unevaluable(f"cannot index slice/array with type {type_name(index)}")
    if not 0 <= index < length:
        raise Unevaluable(f"index out of range: {index}")
    return index


def _index(value: object, *indexes: object) -> object:
    if value is None:
        raise Unevaluable("index of untyped nil")
    for index in indexes:
        if value is None or isinstance(value, NilPointer):
            raise Unevaluable("index of nil pointer")
        if isinstance(value, Mapping):
            if not isinstance(index, str):
                raise Unevaluable(f"value has type {type_name(index)}; should be string")
            # In Go, what is missing in a map of strings is the empty string.
            value = value.get(index, "" if is_of_strings(value) else None)
        elif isinstance(value, str):
            data = _bytes(value)
            value = data[_place(index, len(data))]
        elif isinstance(value, (list, tuple)):
            value = value[_place(index, len(value))]
        else:
            raise Unevaluable(f"can't index item of type {type_name(value)}")
    return value


def _slice(value: object, *indexes: object) -> object:
    if value is None:
        raise Unevaluable("slice of untyped nil")
    if len(indexes) > 3:
        raise Unevaluable(f"too many slice indexes: {len(indexes)}")
    if not isinstance(value, (str, list, tuple)):
        raise Unevaluable(f"can't slice item of type {type_name(value)}")
    if isinstance(value, str) and len(indexes) == 3:
        raise Unevaluable("cannot 3-index slice a string")
    whole: bytes | Sequence[object] = _bytes(value) if isinstance(value, str) else value
    bounds = [0, len(whole), len(whole)]
    for number, index in enumerate(indexes):
        bounds[number] = _place(index, len(whole) + 1)
    for low, high in (bounds[:2], bounds[1:]):
        if low > high:
            raise Unevaluable(f"invalid slice index: {low} > {high}")
    part = whole[bounds[0] : bounds[1]]
    return _text(part) if isinstance(part, bytes) else list(part)


_KINDS = {bool: "bool", int: "int", Duration: "int", float: "float64", str: "string"}


def _kind(value: object) -> str | None:
    return _KINDS.get(type(value))


def _equal(first: object, *others: object) -> bool:
    if not others:
        raise Unevaluable("missing argument for comparison")
    for other in others:
        if _kind(first) != _kind(other):
            if first is not None and other is not None:
                raise Unevaluable(
                    f"incompatible types for comparison: {type_name(first)} and {type_name(other)}"
                )
        elif _kind(first) is not None:
            if first == other:
                return True
        elif first is None or other is None or isinstance(first, NilPointer):
            if type(first) is type(other):
                return True
        else:
            raise Unevaluable(f"non-comparable type {shown(other)}: {type_name(other)}")
    return False


def _less(first: object, second: object) -> bool:
    if _kind(first) is None or _kind(second) is None:
        raise Unevaluable("invalid type for comparison")
    if _kind(first) != _kind(second):
        raise Unevaluable(
            f"incompatible types for comparison: {type_name(first)} and {type_name(second)}"
        )
    if isinstance(first, bool):
        raise Unevaluable("invalid type for comparison")
    if isinstance(first, str) and isinstance(second, str):
        return _bytes(first) < _bytes(second)
    assert isinstance(first, int | float)
    assert isinstance(second, int | float)
    return first < second


def _less_or_equal(first: object, second: object) -> bool:
    return _less(first, second) or _equal(first, second)


def _print(*values: object) -> str:
    """Write values one after the other, with a space between two that are no strings."""
    pieces: list[str] = []
    for number, value in enumerate(values):
        if number and not isinstance(value, str) and not isinstance(values[number - 1], str):
            pieces.append(" ")
        pieces.append(shown(value))
    return "".join(pieces)


def _printf(form: str, *values: object) -> str:
    from builder.ui.template.printf import printf

    return printf(form, values)


def _html(*values: object) -> str:
    return "".join(_HTML.get(letter, letter) for letter in _printed(values))


def _urlquery(*values: object) -> str:
    from urllib.parse import quote_plus

    return quote_plus(_bytes(_printed(values)), safe="")


def _printed(values: Sequence[object]) -> str:
    return _print(*(NO_VALUE if each is None else each for each in values))


def _json(value: object) -> str:
    return to_json(value)


FUNCTIONS: dict[str, Signature] = {
    # `and` and `or` look at no more arguments than they need: see `evaluate`.
    "and": Signature(is_true, ("any",), "any"),
    "or": Signature(is_true, ("any",), "any"),
    "not": Signature(lambda value: not is_true(value), ("any",)),
    "eq": Signature(_equal, ("any",), "any"),
    "ne": Signature(lambda first, second: not _equal(first, second), ("any", "any")),
    "lt": Signature(_less, ("any", "any")),
    "le": Signature(_less_or_equal, ("any", "any")),
    "gt": Signature(lambda first, second: not _less_or_equal(first, second), ("any", "any")),
    "ge": Signature(lambda first, second: not _less(first, second), ("any", "any")),
    "len": Signature(_length, ("any",)),
    "index": Signature(_index, ("any",), "any"),
    "slice": Signature(_slice, ("any",), "any"),
    "print": Signature(_print, (), "any"),
    "println": Signature(lambda *values: " ".join(map(shown, values)) + "\n", (), "any"),
    "printf": Signature(_printf, ("string",), "any"),
    "html": Signature(_html, (), "any"),
    "urlquery": Signature(_urlquery, (), "any"),
    "json": Signature(_json, ("any",)),
    "join": Signature(_join, ("any", "string")),
    "split": Signature(_split, ("string", "string")),
    "title": Signature(_title, ("string",)),
    "lower": Signature(lambda text: text.lower(), ("string",)),
    "upper": Signature(lambda text: text.upper(), ("string",)),
    "pad": Signature(_pad, ("string", "int", "int")),
    "truncate": Signature(_truncate, ("string", "int")),
}

ELSEWHERE = frozenset({"call", "js"})
"""Functions of Go's that are not here."""

HEADERS = frozenset({"json", "split", "join", "title", "lower", "upper", "truncate"})
"""Functions that leave the names of columns as they are."""
