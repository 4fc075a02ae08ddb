r"""Cuts the output of a command into lines, however the pieces fall.

Every byte comes out again, in order, but for line ends: a newline, a carriage return or both in a row
end a line. Bytes that are not UTF-8 are shown as `\xNN`.
"""

from __future__ import annotations

import msgspec

LONGEST = 16 * 1024
"""A line that has not ended after so many bytes is cut, so that a command cannot fill the memory."""


_CONTROLS = bytes(code for code in (*range(0x20), 0x7F) if code not in b"\t\n")


class Pending(msgspec.Struct, frozen=True):
    """What has come since the last line end; after a carriage return, a newline is still part of it."""

    data: bytes = b""
    after_return: bool = False


def feed(pending: Pending, data: bytes) -> tuple[Pending, tuple[str, ...]]:
    """Add a piece; return what is left over and the lines that are complete."""
    if not data:
        return pending, ()
    if pending.after_return and data.startswith(b"\n"):
        data = data[1:]
    data = pending.data + data
    after_return = False
    if b"\r" in data:
        after_return = data.endswith(b"\r") and data.strip(b"\r")[-1:] not in {b"", b"\n"}
        data = data.replace(b"\r\n", b"\n")
    *complete, rest = data.split(b"\n")
    lines: list[str] = []
    for line in complete:
        lines.extend(map(_text, _overwritten(line)))
    if b"\r" in rest:
        *parts, rest = rest.split(b"\r")
        lines.extend(_text(part) for part in parts if part)
    while len(rest) > LONGEST:
        cut = _character_start(rest, LONGEST)
        lines.append(_text(rest[:cut]))
        rest = rest[cut:]
    return Pending(rest, after_return), tuple(lines)


def feed_plain(pending: Pending, data: bytes) -> tuple[Pending, str] | None:
    """Do what `feed` does, many times as fast, where that is easy: all is ASCII without control characters but tabs.

    Returns: what is left over, and the complete lines with their ends; None where `feed` is needed.
    """
    data = pending.data + data
    complete, newline, rest = data.rpartition(b"\n")
    hard = pending.after_return or not newline or len(rest) > LONGEST or not data.isascii()
    if hard or len(data.translate(None, _CONTROLS)) != len(data):
        return None
    return Pending(rest), complete.decode("ascii") + "\n"


def finish(pending: Pending) -> tuple[str, ...]:
    """Return the last line, if it had no end."""
    return (_text(pending.data),) if pending.data else ()


def _overwritten(line: bytes) -> list[bytes]:
    """Return what a line showed one after the other, the states of a progress bar."""
    if b"\r" not in line:
        return [line]
    return [part for part in line.split(b"\r") if part] or [b""]


def _character_start(data: bytes, position: int) -> int:
    """Return the nearest place at or before `position` that is not inside a character of UTF-8."""
    for start in range(position, position - 4, -1):
        if data[start] & 0xC0 != 0x80:
            return start
    return position


def _text(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace")
