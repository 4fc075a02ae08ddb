"""The forms in which a secret value may show up: as it is, in base64 at any alignment, and percent-encoded."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

from builder.layer.leaks import breakable, most_written, pattern_of

SHORTEST = 6
"""Bytes: what is shorter is found everywhere by chance."""

MASK = b"****"
_MOST = 64 << 10
_WRAPPED = 76


def forms(value: bytes) -> tuple[bytes, ...]:
    """Return the byte strings that give a value away, the longest first; none for a value that is too short."""
    found: set[bytes] = set()
    for text in {value, value.strip()}:
        if len(text) >= SHORTEST:
            found.add(text)
            found.add(quote(text, safe="").encode())
            found.add(quote_plus(text).encode())
            found.update(_base64(text))
    return tuple(sorted(found, key=lambda form: (-len(form), form)))


def lines(value: bytes) -> tuple[bytes, ...]:
    """Return the forms that are masked in output: also of each line of a value, since output comes in lines."""
    found = set(forms(value))
    for line in value.splitlines():
        text = line.strip()
        if len(text) >= SHORTEST and not text.startswith(b"-----"):
            found.add(text)
    return tuple(sorted(found, key=lambda form: (-len(form), form)))


def _base64(text: bytes) -> Iterable[bytes]:
    """Return what is the same whatever stands before and after the value."""
    for before in range(3):
        encoded = b64encode(b"\0" * before + text)
        start = -(-before * 8 // 6)
        core = encoded[start : (before + len(text)) * 8 // 6]
        if len(core) >= SHORTEST:
            yield core
            yield core.translate(bytes.maketrans(b"+/", b"-_"))
        if len(encoded) > _WRAPPED + start and not breakable(core):
            # Of what is too long to be found in lines of any width, the first as most programs write it.
            yield encoded[start:_WRAPPED]


class Mask:
    """Replaces forms of secrets in a stream; what may be the beginning of one is held back until that is known."""

    def __init__(self, values: Iterable[bytes]) -> None:
        needles = sorted({form for value in values for form in lines(value)}, key=len, reverse=True)
        self._pattern = pattern_of(needles) if needles else None
        self._needles = [needle for needle in needles if len(needle) <= _MOST]
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        """Take a piece; return what can be shown of it and of what was held back."""
        if self._pattern is None:
            return piece
        text = self._pattern.sub(MASK, self._held + piece)
        keep = self._open(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> bytes:
        """Return what was held back: no more comes."""
        held, self._held = self._held, b""
        return held

    def _open(self, text: bytes) -> int:
        """Return how many bytes at the end may begin a form."""
        longest = 0
        for needle in self._needles:
            lines = breakable(needle)
            at = text.find(needle[:1], max(0, len(text) - most_written(needle) + 1))
            while 0 <= at < len(text) - longest:
                if needle.startswith(_joined(text[at:]) if lines else text[at:]):
                    longest = len(text) - at
                    break
                at = text.find(needle[:1], at + 1)
        return longest


def _joined(text: bytes) -> bytes:
    return text.translate(None, b"\r\n")
