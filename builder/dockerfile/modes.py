"""`--chmod`: an octal number, or clauses like `u=rwX,go=rX`.

Source: chmod(1), as BSD's setmode(3) reads it.
"""

from __future__ import annotations

_OCTAL = frozenset("01234567")
_MOST_DIGITS = 12
_WHO = frozenset("ugoa")
_OPERATORS = frozenset("+-=")
_PERMISSIONS = frozenset("rwxXstugo")


class BadMode(Exception):
    """A text is no file mode; `at` is the place of what is wrong in it, -1 for all of it."""

    def __init__(self, message: str, at: int = -1) -> None:
        super().__init__(message)
        self.at = at


def read_mode(text: str) -> int | str:
    """Return an octal mode as a number, and a symbolic one as it is.

    Raises: BadMode: it is neither.
    """
    if text[:1].isdecimal():
        if not _OCTAL.issuperset(text) or len(text) > _MOST_DIGITS or int(text, 8) > 0o7777:
            raise BadMode(f"`{text[:60]}` is no octal number from 0 to 7777")
        return int(text, 8)
    at = 0
    for clause in text.split(","):
        _check_clause(clause, at)
        at += len(clause) + 1
    return text


def _check_clause(clause: str, start: int) -> None:
    at = 0
    while at < len(clause) and clause[at] in _WHO:
        at += 1
    if at == len(clause):
        raise BadMode("`+`, `-` or `=` is missing from the mode")
    if clause[at] not in _OPERATORS and not start and not at:
        raise BadMode(f"`{clause[:60]}` is no file mode")
    if clause[at] not in _OPERATORS:
        raise BadMode(f"`{clause[at]}` in the mode is not one of `ugoa+-=`", start + at)
    for place in range(at, len(clause)):
        if clause[place] not in _OPERATORS and clause[place] not in _PERMISSIONS:
            raise BadMode(f"`{clause[place]}` in the mode is not one of `rwxXstugo`", start + place)
