"""Numbers and strings as Go writes them.

Source: The Go Programming Language Specification, "Integer literals" to "String literals"; strconv.Unquote.
"""

from __future__ import annotations

import math

from builder.ui.template.errors import Unevaluable
from builder.ui.template.shown import quoted

_LARGEST, _SMALLEST = (1 << 63) - 1, -(1 << 63)
_LONGEST = 400
_SIMPLE = {
    "a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, "'": 39, '"': 34,
}  # fmt: skip
_HEX = {"x": 2, "u": 4, "U": 8}


def number(text: str) -> int | float:
    """Read a number.

    Raises: Unevaluable: it is none, or too large.
    """
    bad = Unevaluable(f"illegal number syntax: {quoted(text)}")
    if len(text) > _LONGEST:
        raise bad
    bare = text.lstrip("+-").lower()
    if text.endswith("i"):
        raise Unevaluable(f"complex numbers such as {text} are not available")
    if not bare[:1].isdigit() and not bare.startswith("."):
        raise bad
    is_hex = bare.startswith("0x")
    try:
        if ("p" in bare) if is_hex else (set(bare) & set(".e")):
            value = float.fromhex(text) if is_hex else float(text)
            if math.isinf(value):
                raise bad
            return value
        octal = len(bare) > 1 and bare[0] == "0" and bare[1] in "01234567_"
        whole = int(text, 8) if octal else int(text, 0)
    except (ValueError, OverflowError):
        raise bad from None
    if not _SMALLEST <= whole <= _LARGEST:
        raise Unevaluable(f"integer overflow: {quoted(text)}")
    return whole


def string(text: str) -> str:
    """Return what a string or a character in its quotes stands for; bytes that are no text become surrogates.

    Raises: Unevaluable: it has an escape that there is not.
    """
    quote, inner = text[0], text[1:-1]
    if quote == "`":
        return inner.replace("\r", "")
    pieces = bytearray()
    at = 0
    while at < len(inner):
        if inner[at] != "\\":
            pieces += inner[at].encode("utf-8", "surrogateescape")
            at += 1
            continue
        code, at, is_byte = _escape(inner, at + 1, quote)
        pieces += bytes([code]) if is_byte else chr(code).encode()
    return pieces.decode("utf-8", "surrogateescape")


def character(text: str) -> int:
    """Return the code of the one character in quotes.

    Raises: Unevaluable: there is none, or more.
    """
    inner = string(text)
    if len(inner) != 1:
        raise Unevaluable(f"malformed character constant: {text}")
    return ord(inner)


def _escape(inner: str, at: int, quote: str) -> tuple[int, int, bool]:
    """Return the code of an escape, where it ends, and whether it is a byte, not a character."""
    letter = inner[at]
    if letter in _SIMPLE and not (letter in "'\"" and letter != quote):
        return _SIMPLE[letter], at + 1, False
    base, length, start = (16, _HEX[letter], at + 1) if letter in _HEX else (8, 3, at)
    digits = inner[start : start + length]
    is_byte = letter not in "uU"
    code = _code(digits, base) if len(digits) == length else -1
    fits = 0 <= code <= (0xFF if is_byte else 0x10FFFF)
    if not fits or (not is_byte and 0xD800 <= code < 0xE000):
        raise Unevaluable("invalid syntax")
    return code, start + length, is_byte


def _code(digits: str, base: int) -> int:
    try:
        return int(digits, base) if digits.isalnum() else -1
    except ValueError:
        return -1
