"""Symbolic file modes (`u=rwX,go=rX`): read once, applied to each file, independent of any umask.

Source: POSIX chmod, "Extended Description"; setmode(3), which other builders follow: without `u`, `g`, `o` or
`a` a clause means all of them.
"""

from __future__ import annotations

import msgspec

_CLASSES = {"u": 0o4700, "g": 0o2070, "o": 0o0007, "a": 0o6777}
_BITS = {"r": 0o444, "w": 0o222, "x": 0o111, "s": 0o6000, "t": 0o1000}
_SHIFTS = {"u": 6, "g": 3, "o": 0}
_EXECUTE = 0o111
_LONGEST = 200


class BadMode(ValueError):
    """The text is no symbolic mode."""


class _Change(msgspec.Struct, frozen=True):
    """One operator: `who` may change; `bits` are named, `x` only if anyone may execute, others copied."""

    who: int
    operator: str
    bits: int
    conditional: bool
    copied: tuple[str, ...]

    def applied(self, mode: int, *, searchable: bool) -> int:
        bits = self.bits | (_EXECUTE if self.conditional and searchable else 0)
        for name in self.copied:
            bits |= (mode >> _SHIFTS[name] & 0o7) * 0o111
        if self.operator == "-":
            return mode & ~(bits & self.who)
        if self.operator == "=":
            mode &= ~(self.who & 0o6777)
        return mode | (bits & self.who)


class SymbolicMode:
    """A symbolic mode that can be applied to any file's."""

    def __init__(self, text: str) -> None:
        """Read the text.

        Raises: BadMode: it is no symbolic mode.
        """
        if not text or len(text) > _LONGEST:
            raise BadMode(text[:_LONGEST])
        self._changes = tuple(change for clause in text.split(",") for change in _clause(clause))

    def apply(self, mode: int, *, is_directory: bool) -> int:
        """Return what becomes of a mode of twelve bits; `X` looks at the mode as it was."""
        searchable = is_directory or bool(mode & _EXECUTE)
        for change in self._changes:
            mode = change.applied(mode, searchable=searchable)
        return mode & 0o7777


def _clause(text: str) -> list[_Change]:
    at = 0
    who = 0
    while at < len(text) and text[at] in _CLASSES:
        who |= _CLASSES[text[at]]
        at += 1
    changes: list[_Change] = []
    while at < len(text):
        operator = text[at]
        if operator not in "+-=":
            raise BadMode(text)
        end = at + 1
        while end < len(text) and text[end] not in "+-=":
            end += 1
        changes.append(_change(who, operator, text[at + 1 : end]))
        at = end
    if not changes:
        raise BadMode(text)
    return changes


def _change(who: int, operator: str, letters: str) -> _Change:
    # The sticky bit belongs to no class, and is out of reach of `o` alone; so are the set-id bits.
    reach = (who or _CLASSES["a"]) | (0 if who and who & ~0o7 == 0 else 0o1000)
    bits = 0
    conditional = False
    copied: list[str] = []
    for letter in letters:
        if letter in _BITS:
            bits |= _BITS[letter]
        elif letter == "X" and operator == "-":
            bits |= _EXECUTE
        elif letter == "X":
            conditional = True
        elif letter in _SHIFTS:
            copied.append(letter)
        else:
            raise BadMode(letters)
    return _Change(reach, operator, bits, conditional, tuple(copied))
