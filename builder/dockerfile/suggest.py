"""The nearest known word to a mistyped one."""

from __future__ import annotations

from collections.abc import Iterable

_FARTHEST = 2
_SHORT = 4
"""Letters of a word of which one edit at most can be a slip: two leave little of it."""
_LONGEST = 64


def nearest(word: str, known: Iterable[str], *, fold: bool = False) -> str | None:
    """Return the known word within two edits of `word`, the nearest first, or None.

    With `fold` letter case does not count, and the answer takes the case of `word`. A word that is known
    already has no neighbour: then the mistake is another one.
    """
    if not word or len(word) > _LONGEST:
        return None
    wanted = word.lower() if fold else word
    best: str | None = None
    best_distance = _FARTHEST + 1
    for candidate in known:
        compared = candidate.lower() if fold else candidate
        if compared == wanted:
            return None
        if abs(len(compared) - len(wanted)) >= best_distance:
            continue
        distance = _distance(wanted, compared)
        longer = max(len(wanted), len(compared))
        allowed = min(1 if longer <= _SHORT else _FARTHEST, longer - 1)
        if distance < best_distance and distance <= allowed:
            best, best_distance = candidate, distance
    if best is not None and fold and word == word.lower():
        return best.lower()
    return best


def hint(word: str, known: Iterable[str], *, fold: bool = False) -> str | None:
    """Return "did you mean …?" with the nearest known word, or None."""
    near = nearest(word, known, fold=fold)
    return f"did you mean `{near}`?" if near is not None else None


def _distance(left: str, right: str) -> int:
    """Return the number of insertions, deletions, substitutions and swaps between two short words."""
    before_last: list[int] = []
    last = list(range(len(right) + 1))
    for row, char in enumerate(left, 1):
        line = [row]
        for column, other in enumerate(right, 1):
            cost = min(last[column] + 1, line[column - 1] + 1, last[column - 1] + (char != other))
            if row > 1 and column > 1 and char == right[column - 2] and left[row - 2] == other:
                cost = min(cost, before_last[column - 2] + 1)
            line.append(cost)
        before_last, last = last, line
    return last[-1]
