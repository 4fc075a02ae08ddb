"""Bytes of a Dockerfile that are no UTF-8, and NUL: where they may stand, and what they become.

They come as lone surrogates, which is how Python decodes them (`surrogateescape`). In a comment they are of no
account; the configuration of an image is JSON, so there U+FFFD stands for them.
"""

from __future__ import annotations

REPLACEMENT = "\ufffd"


_UTF_16 = ("\udcff\udcfe", "\udcfe\udcff")
"""The byte order marks of UTF-16, as they come."""


def is_utf16(text: str) -> bool:
    """Tell whether a text begins as UTF-16 does, with a mark or with letters of which every other byte is 0."""
    zeros = "\0\0\0\0"
    return text.startswith(_UTF_16) or text[1:8:2] == zeros or text[:8:2] == zeros


def is_odd(text: str) -> bool:
    """Tell whether a text holds bytes that are no UTF-8, or NUL."""
    if "\0" in text:
        return True
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def first_odd(text: str) -> int:
    """Return the place of the first character that is no text, -1 where all are."""
    if not is_odd(text):
        return -1
    return next(index for index, char in enumerate(text) if _is_no_text(char))


def readable(text: str) -> str:
    """Return a text of the same length with U+FFFD for what is no text."""
    if not is_odd(text):
        return text
    return "".join([REPLACEMENT if _is_no_text(char) else char for char in text])


def is_bytes(text: str) -> bool:
    """Tell whether a text stands for bytes, whatever these mean."""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _is_no_text(char: str) -> bool:
    return char == "\0" or "\ud800" <= char <= "\udfff"
