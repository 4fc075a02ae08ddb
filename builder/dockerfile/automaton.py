"""All patterns of an ignore file, followed at once, character by character.

Where a path can have led to in the patterns is a set of positions, the bits of a number, so one character
takes a few operations on numbers, whatever the patterns are; nothing is tried twice. Sets that were met, and
which character leads from one to another, are remembered within bounds: most characters then cost one look-up.

    branch `a**/b*`      a   (.*/)?      b   [^/]*
    positions            0   1     2     3   4     5 accepts
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence

from builder.dockerfile.classes import Characters
from builder.dockerfile.globs import Glob, Many, One, Token

_MOST_STEPS = 50_000
_MOST_BITS = 1 << 27


class Place:
    """A set of positions, and which globs match what led there, as bits."""

    __slots__ = ("accepts", "following", "positions")

    def __init__(self, positions: int, accepts: int) -> None:
        self.positions = positions
        self.accepts = accepts
        self.following: dict[str, Place] = {}


class Automaton:
    """Follows paths through all globs; safe to use from several threads."""

    def __init__(self, globs: Sequence[Glob]) -> None:
        layout = _Layout(globs)
        self._layout = layout
        self._starts = layout.bits(layout.starts)
        self._accepting = layout.bits(layout.accepting)
        self._skip_one = layout.bits(layout.skip_one)
        self._skip_two = layout.bits(layout.skip_two)
        self._ones = {of: layout.bits(positions) for of, positions in layout.ones.items()}
        self._loops = {of: layout.bits(positions) for of, positions in layout.loops.items()}
        self._most_places = max(16, _MOST_BITS // (layout.size or 1))
        self.forget()

    def forget(self) -> None:
        """Drop what was remembered; places that were returned stay good."""
        self._masks: dict[str, tuple[int, int]] = {}
        self._places: dict[int, Place] = {}
        self._steps = 0
        self.start = self._place(self._closed(self._starts))

    @property
    def full(self) -> bool:
        """Tell whether nothing more is remembered, so that it is time to `forget`."""
        return self._steps >= _MOST_STEPS or len(self._places) >= self._most_places

    def positions(self, globs: Iterable[int]) -> int:
        """Return the positions of some globs, given by index, as bits."""
        layout = self._layout
        return layout.bits(at for index in globs for at in range(*layout.spans[index]))

    def follow(self, place: Place, text: str) -> Place:
        """Return where `text` leads from a place."""
        for char in text:
            try:
                place = place.following[char]
            except KeyError:
                place = self._step(place, char)
        return place

    def _step(self, place: Place, char: str) -> Place:
        masks = self._masks.get(char)
        if masks is None:
            masks = self._masks_of(char)
        ones, loops = masks
        positions = place.positions
        found = self._place(self._closed(((positions & ones) << 1) | (positions & loops)))
        if not self.full:
            place.following[char] = found
            self._steps += 1
        return found

    def _closed(self, positions: int) -> int:
        """Add the positions that are reached without a character: three in a row at most can be skipped."""
        while True:
            more = positions | (positions & self._skip_one) << 1 | (positions & self._skip_two) << 2
            if more == positions:
                return positions
            positions = more

    def _place(self, positions: int) -> Place:
        known = self._places.get(positions)
        if known is None:
            accepts = 0
            accepting = self._layout.accepting
            for at in set_bits(positions & self._accepting):
                accepts |= 1 << accepting[at]
            known = Place(positions, accepts)
            if not self.full:
                self._places[positions] = known
        return known

    def _masks_of(self, char: str) -> tuple[int, int]:
        """Return the positions that a character leads on from, and those that it stays at."""
        ones = self._layout.bits(self._layout.plain.get(char, ()))
        for of, positions in self._ones.items():
            if of.has(char):
                ones |= positions
        loops = 0
        for of, positions in self._loops.items():
            if of.has(char):
                loops |= positions
        if not self.full:
            self._masks[char] = ones, loops
        return ones, loops


class _Layout:
    """Gives each token of each glob its position."""

    def __init__(self, globs: Sequence[Glob]) -> None:
        self.size = 0
        self.starts = _positions()
        self.spans: list[tuple[int, int]] = []
        self.plain: dict[str, array[int]] = {}
        self.ones: dict[Characters, array[int]] = {}
        self.loops: dict[Characters, array[int]] = {}
        self.skip_one = _positions()
        self.skip_two = _positions()
        self.accepting: dict[int, int] = {}
        for index, glob in enumerate(globs):
            first = self.size
            for branch in glob:
                self.starts.append(self.size)
                for token in branch:
                    self._add(token)
                self.accepting[self.size] = index
                self.size += 1
            self.spans.append((first, self.size))

    def bits(self, positions: Iterable[int]) -> int:
        """Return positions as bits, in time linear in the size of all."""
        data = bytearray(self.size // 8 + 1)
        for at in positions:
            data[at // 8] |= 1 << at % 8
        return int.from_bytes(data, "little")

    def _add(self, token: Token) -> None:
        at = self.size
        self.size += 1
        if isinstance(token, str):
            self.plain.setdefault(token, _positions()).append(at)
        elif isinstance(token, One):
            self.ones.setdefault(token.of, _positions()).append(at)
        elif isinstance(token, Many):
            self.skip_one.append(at)
            self.loops.setdefault(token.of, _positions()).append(at)
        else:
            # Its first position leads into it and past it, its second is left by a slash.
            self.skip_one.append(at)
            self.skip_two.append(at)
            self.loops.setdefault(token.of, _positions()).append(at + 1)
            self.plain.setdefault("/", _positions()).append(at + 1)
            self.size += 1


def _positions() -> array[int]:
    return array("Q")


def set_bits(number: int) -> Iterator[int]:
    """Return the indexes of the bits that are set, from the lowest."""
    text = bin(number)[:1:-1]
    at = text.find("1")
    while at >= 0:
        yield at
        at = text.find("1", at + 1)
