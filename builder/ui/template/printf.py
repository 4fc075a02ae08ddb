"""`printf` with Go's verbs, and what Go writes where a verb and its value do not fit.

Source: Go's fmt, "Printing" and "Format errors".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from builder.ui.template.errors import Unevaluable
from builder.ui.template.functions import LONGEST
from builder.ui.template.shown import Record, quoted, shown, type_name

_FLAGS = "+-# 0"
_WIDEST = 1_000_000
_INTEGERS = {"b": "b", "o": "o", "x": "x", "X": "X", "d": "d"}
_FLOATS = frozenset("eEfFgG")


class _Place:
    """The flags, width and precision of one verb."""

    def __init__(self) -> None:
        self.flags = ""
        self.width: int | None = None
        self.precision: int | None = None


def printf(form: str, values: Sequence[object]) -> str:
    """Return `form` with its verbs replaced by the values.

    Raises: Unevaluable: it would be too long.
    """
    return _Printer(form, values).run()


class _Printer:
    def __init__(self, form: str, values: Sequence[object]) -> None:
        self.form = form
        self.values = values
        self.used = 0
        self.at = 0
        self.length = 0

    def run(self) -> str:
        pieces: list[str] = []
        while (found := self.form.find("%", self.at)) >= 0:
            pieces.append(self.form[self.at : found])
            self.at = found + 1
            pieces.append(self._verb())
            self.length += len(pieces[-1])
            if self.length > LONGEST:
                raise Unevaluable("the output is too long")
        pieces.append(self.form[self.at :])
        rest = self.values[self.used :]
        if rest:
            told = ", ".join(
                _NIL if each is None else f"{type_name(each)}={shown(each)}" for each in rest
            )
            pieces.append(f"%!(EXTRA {told})")
        return "".join(pieces)

    def _verb(self) -> str:
        place = _Place()
        wrong = ""
        start = self.at
        while self.form[self.at : self.at + 1] and self.form[self.at] in _FLAGS:
            self.at += 1
        place.flags = self.form[start : self.at]
        if self.form.startswith("*", self.at):
            self.at += 1
            place.width = self._counted()
            if place.width is None:
                wrong = "%!(BADWIDTH)"
            elif place.width < 0:
                place.flags, place.width = place.flags + "-", -place.width
        else:
            place.width = self._digits()
        if self.form.startswith(".", self.at):
            self.at += 1
            if self.form.startswith("*", self.at):
                self.at += 1
                place.precision = self._counted()
                if place.precision is None or place.precision < 0:
                    place.precision = None
                    wrong += "%!(BADPREC)"
            else:
                place.precision = self._digits() or 0
        verb = self.form[self.at : self.at + 1]
        self.at += 1
        if not verb:
            return wrong + "%!(NOVERB)"
        if verb == "%":
            return wrong + "%"
        if self.used >= len(self.values):
            return f"{wrong}%!{verb}(MISSING)"
        value = self.values[self.used]
        self.used += 1
        return wrong + _formatted(value, verb, place)

    def _digits(self) -> int | None:
        start = self.at
        while self.form[self.at : self.at + 1] in tuple("0123456789"):
            self.at += 1
        digits = self.form[start : self.at]
        return min(int(digits[:9]), _WIDEST) if digits else None

    def _counted(self) -> int | None:
        """Return the next value as a width; None where it is none."""
        value = self.values[self.used] if self.used < len(self.values) else None
        self.used += 1
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _WIDEST:
            return None
        return value


_NIL = "<nil>"


def _formatted(value: object, verb: str, place: _Place) -> str:
    if verb == "T":
        return _padded(type_name(value), place)
    if value is None:
        return _padded(_NIL, place) if verb == "v" else f"%!{verb}({_NIL})"
    return _shown(value, verb, place)


def _shown(value: object, verb: str, place: _Place) -> str:
    """Return a value that may be part of another."""
    if value is None:
        return _NIL
    if isinstance(value, bool):
        return (
            _padded("true" if value else "false", place)
            if verb in "tv"
            else _wrong(value, verb, place)
        )
    if isinstance(value, int):
        return _integer(value, verb, place)
    if isinstance(value, float):
        return _float(value, verb, place)
    if isinstance(value, str):
        return _string(value, verb, place)
    if isinstance(value, Record):
        inner = " ".join(_shown(each, verb, place) for each in value.members.values())
        return f"{{{inner}}}"
    if isinstance(value, Mapping):
        pairs = (
            f"{_shown(key, verb, place)}:{_shown(value[key], verb, place)}" for key in sorted(value)
        )
        return f"map[{' '.join(pairs)}]"
    if isinstance(value, (list, tuple)):
        return f"[{' '.join(_shown(each, verb, place) for each in value)}]"
    return _padded(_NIL, place) if verb == "v" else f"%!{verb}({_NIL})"


def _wrong(value: object, verb: str, place: _Place) -> str:
    return f"%!{verb}({type_name(value)}={_shown(value, 'v', place)})"


def _padded(text: str, place: _Place, *, zeros: bool = False) -> str:
    width = place.width or 0
    if "-" in place.flags:
        return text.ljust(width)
    if not (zeros and "0" in place.flags):
        return text.rjust(width)
    sign, digits = (text[:1], text[1:]) if text[:1] in ("+", "-", " ") else ("", text)
    return sign + digits.rjust(width - len(sign), "0")


def _filled(text: str, place: _Place) -> str:
    """Return text at its width; zeros before it are nothing but filling."""
    if "0" in place.flags and "-" not in place.flags:
        return text.rjust(place.width or 0, "0")
    return _padded(text, place)


def _integer(value: int, verb: str, place: _Place) -> str:
    if verb == "v":
        verb = "d"
    if verb in "cq":
        character = _character(value)
        return _padded(character if verb == "c" else _quoted_character(character), place)
    if verb == "U":
        return _padded(f"U+{value:04X}", place)
    if verb not in _INTEGERS:
        return _wrong(value, verb, place)
    digits = format(abs(value), _INTEGERS[verb]) if value or place.precision != 0 else ""
    if place.precision is not None:
        digits = digits.rjust(place.precision, "0")
    if "#" in place.flags:
        digits = {"x": "0x", "X": "0X", "o": "0", "b": "0b"}.get(verb, "") + digits
    return _padded(_sign(value < 0, place) + digits, place, zeros=place.precision is None)


def _character(code: int) -> str:
    is_one = 0 <= code <= 0x10FFFF and not 0xD800 <= code < 0xE000
    return chr(code) if is_one else "\ufffd"


def _quoted_character(character: str) -> str:
    if character == "'":
        return "'\\''"
    return f"'{character}'" if character == '"' else f"'{quoted(character)[1:-1]}'"


def _sign(negative: bool, place: _Place) -> str:  # noqa: FBT001  what it tells is its one argument
    if negative:
        return "-"
    return "+" if "+" in place.flags else " " if " " in place.flags else ""


def _float(value: float, verb: str, place: _Place) -> str:
    if verb in "vgG" and place.precision is None:
        text = shown(abs(value))
        text = text.upper() if verb == "G" else text
    elif verb == "v" or verb in _FLOATS:
        precision = 6 if place.precision is None else place.precision
        text = format(abs(value), f".{precision}{'g' if verb == 'v' else verb}")
    else:
        return _wrong(value, verb, place)
    return _padded(_sign(value < 0, place) + text, place, zeros=True)


def _string(value: str, verb: str, place: _Place) -> str:
    data = value.encode("utf-8", "surrogateescape")
    match verb:
        case "v" | "s":
            text = value if place.precision is None else value[: place.precision]
            text = quoted(text) if verb == "v" and "#" in place.flags else text
            return _filled(text, place)
        case "q":
            text = value if place.precision is None else value[: place.precision]
            if "#" in place.flags and "`" not in text and text.isprintable():
                return _filled(f"`{text}`", place)
            return _filled(quoted(text), place)
        case "x" | "X":
            text = data[: place.precision].hex()
            if " " in place.flags:
                text = data[: place.precision].hex(" ")
            return _filled(text.upper() if verb == "X" else text, place)
        case _:
            return _wrong(value, verb, place)
