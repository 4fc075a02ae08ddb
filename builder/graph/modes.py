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
_STICKY = 0o1000
_ALL = 0o6777
_LONGEST = 200


class BadMode(ValueError):
    """The text is no symbolic mode."""


class _Change(msgspec.Struct, frozen=True):
    """One operator: `who` may change; `bits` are named, or added only if anyone may execute."""

    who: int
    operator: str
    bits: int
    conditional: bool = False

    def applied(self, mode: int, *, searchable: bool) -> int:
        if self.conditional and not searchable:
            return mode
        bits = self.bits & self.who
        if self.operator == "-":
            return mode & ~bits
        if self.operator == "=":
            mode &= ~self.who
        return mode | bits


class _Copy(msgspec.Struct, frozen=True):
    """One operator with another class: `who` may change, and never in its set-id bits."""

    who: int
    operator: str
    source: str

    def applied(self, mode: int, *, searchable: bool) -> int:
        del searchable
        reach = self.who & 0o777
        bits = (mode >> _SHIFTS[self.source] & 0o7) * 0o111 & reach
        if self.operator == "-":
            return mode & ~bits
        if self.operator == "=":
            mode &= ~reach
        return mode | bits


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


def _clause(text: str) -> list[_Change | _Copy]:
    at = 0
    who = 0
    while at < len(text) and text[at] in _CLASSES:
        who |= _CLASSES[text[at]]
        at += 1
    changes: list[_Change | _Copy] = []
    if at == len(text):
        raise BadMode(text)
    while at < len(text):
        operator = text[at]
        if operator not in "+-=":
            raise BadMode(text)
        end = at + 1
        while end < len(text) and text[end] not in "+-=":
            end += 1
        changes += _operation(who, operator, text[at + 1 : end])
        at = end
    return changes


def _operation(who: int, operator: str, letters: str) -> list[_Change | _Copy]:
    """Return the changes of one operator: letters together, each class that is copied by itself."""
    changes: list[_Change | _Copy] = []
    # The sticky bit belongs to no class, and is out of reach of `o` alone; so are the set-id bits.
    special = not who or who & ~0o7 != 0
    reach = who
    bits = conditional = 0
    copied = False
    for letter in (*letters, ""):
        if letter in _SHIFTS or not letter:
            all_or_some = reach or _ALL
            if bits or (operator == "=" and not letter and not copied):
                changes.append(_Change(all_or_some, operator, bits))
            if conditional:
                changes.append(_Change(all_or_some, "+", conditional, conditional=True))
            bits = conditional = 0
            if letter:
                copied = True
                changes.append(_Copy(all_or_some, operator, letter))
        elif letter == "X" and operator != "-":
            conditional = _EXECUTE
        elif letter == "X":
            bits |= _EXECUTE
        elif letter not in _BITS:
            raise BadMode(letters)
        elif letter in "rwx" or special:
            bits |= _BITS[letter]
            # Without a class, an operator that names the sticky bit changes nothing else.
            reach |= _STICKY if letter == "t" else 0
    return changes
