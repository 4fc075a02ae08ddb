"""Values as Go prints them.

Values are None (nothing), booleans, numbers, strings, lists or tuples, dictionaries (maps), records and nil pointers.
Source: Go's fmt, "Printing"; strconv.Quote.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

NO_VALUE = "<no value>"
_NIL = "<nil>"
_ESCAPES = {
    7: "\\a",
    8: "\\b",
    9: "\\t",
    10: "\\n",
    11: "\\v",
    12: "\\f",
    13: "\\r",
    34: '\\"',
    92: "\\\\",
}


class Record:
    """A value with named members, as Go's structs: another name is a mistake.

    `kind` is its type in messages, `document` what it is in JSON, or a function that says so, if that is not just its
    members.
    """

    __slots__ = ("document", "kind", "members")

    def __init__(self, kind: str, members: Mapping[str, object], document: object = None) -> None:
        self.kind = kind
        self.members = members
        self.document = members if document is None else document


class NilPointer:
    """A pointer to nothing: false, printed as `<nil>`, without members; `kind` is its type in messages."""

    __slots__ = ("kind",)

    def __init__(self, kind: str) -> None:
        self.kind = kind


class Duration(int):
    """A span of time in nanoseconds, printed as `1m30s`."""


class StringMap(dict[str, str]):
    """A map of strings, in which what is missing is the empty string, even if it has nothing."""


class NilMap(StringMap):
    """A map that there is not: empty, and `null` in JSON."""


class NilList(list[object]):
    """A list that there is not: empty, and `null` in JSON."""


def shown(value: object) -> str:
    """Return a value as `%v` prints it."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, NilPointer):
        return _NIL
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Duration):
        from builder.dockerfile.durations import show

        return show(value)
    if isinstance(value, float):
        return shown_float(value)
    if isinstance(value, (list, tuple)):
        return f"[{' '.join(map(shown, value))}]"
    if isinstance(value, Record):
        return "{" + " ".join(map(shown, value.members.values())) + "}"
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{key}:{shown(value[key])}' for key in sorted(value))}]"
    return str(value)


def shown_float(value: float) -> str:
    """Return a number with as many digits as it needs, with an exponent where it is very small or large."""
    if math.isnan(value) or math.isinf(value):
        return "NaN" if math.isnan(value) else ("+Inf" if value > 0 else "-Inf")
    mantissa, _, power = f"{value:.17e}".partition("e")
    for digits in range(17):  # the fewest that say the same
        mantissa, _, power = f"{value:.{digits}e}".partition("e")
        if float(f"{mantissa}e{power}") == value:
            break
    if value and not -4 <= int(power) < 21:
        return f"{mantissa}e{power}"
    decimals = max(0, len(mantissa.lstrip("-").replace(".", "")) - 1 - int(power))
    return f"{value:.{decimals}f}"


def type_name(value: object) -> str:
    """Return the type of a value in messages."""
    if isinstance(value, (Record, NilPointer)):
        return value.kind
    if isinstance(value, Mapping):
        return f"map[string]{'string' if is_of_strings(value) else 'interface {}'}"
    if isinstance(value, (list, tuple)):
        return (
            "[]string"
            if value and all(isinstance(each, str) for each in value)
            else "[]interface {}"
        )
    names = {str: "string", bool: "bool", int: "int", float: "float64", Duration: "time.Duration"}
    return names.get(type(value), _NIL)


def is_true(value: object) -> bool:
    """Tell whether a value counts as true: all that is not empty, zero or nothing."""
    if isinstance(value, Record):
        return True
    return not isinstance(value, NilPointer) and bool(value)


def is_of_strings(value: Mapping[str, object]) -> bool:
    """Tell whether all that a map has are strings, and it has some: in Go, it is a map of strings then."""
    if isinstance(value, StringMap):
        return True
    return bool(value) and all(isinstance(each, str) for each in value.values())


def quoted(text: str) -> str:
    """Return a string in double quotes, with escapes for what cannot be printed."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    code = ord(character)
    if code in _ESCAPES:
        return _ESCAPES[code]
    if character.isprintable():
        return character
    if code < 0x80:
        return f"\\x{code:02x}"
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no text
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def to_json(value: object) -> str:
    """Return a value as one line of JSON: maps in the order of their keys, records in their own."""
    import msgspec

    text = msgspec.json.encode(_plain(value)).decode()
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _plain(value: object) -> object:
    if isinstance(value, Record):
        document = value.document() if callable(value.document) else value.document
        if isinstance(document, Mapping):
            return {key: _plain(each) for key, each in document.items()}
        return _plain(document)
    if isinstance(value, (NilPointer, NilMap, NilList)):
        return None
    if isinstance(value, Duration) or (isinstance(value, float) and value.is_integer()):
        return int(value)
    if isinstance(value, Mapping):
        return {key: _plain(value[key]) for key in sorted(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, str) and not value.isprintable():
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return value
