"""Values as Go prints them, which is how Docker's tools expect the lines of an image's history.

Source: Go standard library, fmt (%q, %v) and strconv.Quote.
"""

from __future__ import annotations

from collections.abc import Iterable

_NAMED = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}


def quoted(text: str) -> str:
    """Return the text in double quotes, what cannot be printed escaped."""
    if text.isascii() and text.isprintable() and "\\" not in text and '"' not in text:
        return f'"{text}"'
    return '"' + "".join([_escaped(char) for char in text]) + '"'


def _escaped(char: str) -> str:
    if char in _NAMED:
        return _NAMED[char]
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def quoted_list(items: Iterable[str]) -> str:
    """Return `["a" "b"]`."""
    return "[" + " ".join([quoted(item) for item in items]) + "]"


def plain_list(items: Iterable[str]) -> str:
    """Return `[a b]`."""
    return "[" + " ".join(items) + "]"
