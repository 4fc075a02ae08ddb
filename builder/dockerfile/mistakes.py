"""The mistakes of one look at a Dockerfile, collected so that they are told together.

What one mistake leaves open is not judged: an instruction that cannot be read is a `Hole`, whose stage still has
all its other instructions, and whose variables may be anything from there on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from builder.diagnostics import Span
from builder.dockerfile.instructions import Add, Copy, Dockerfile, From, Instruction
from builder.errors import DockerfileError, DockerfileErrors, LapstrakeError

MOST_TOLD = 20
MOST_COUNTED = 1000
"""Mistakes of one file; then nobody looks any further."""

ALWAYS = 0
NEVER = 1 << 30
"""Lines from which the variables of a stage are not certain."""

_SETTING = ("", "ARG", "ENV")
"""Instructions that set variables; "" is one that could be any."""


class LimitPassed(DockerfileError):
    """A bound that only hostile files come to: nothing after it is looked at."""


class Mistakes:
    """Collects mistakes, each once; `with mistakes.collecting():` takes what its block raises."""

    def __init__(self, found: Iterable[LapstrakeError] = ()) -> None:
        self._found: dict[object, LapstrakeError] = {}
        self._lines: set[int] = set()
        for each in found:
            self.add(each)

    def __len__(self) -> int:
        return len(self._found)

    @property
    def full(self) -> bool:
        """Whether there are so many that looking further makes no sense."""
        return len(self._found) >= MOST_COUNTED

    def add(self, error: LapstrakeError) -> None:
        """Take a mistake, or each of several; one that is known already counts once."""
        for each in error.errors if isinstance(error, DockerfileErrors) else (error,):
            self._found.setdefault((each.code, each.span, each.message), each)
            if each.span is not None:
                self._lines.add(each.span.line)

    def within(self, span: Span) -> bool:
        """Tell whether a mistake is known whose place begins in `span`."""
        if self._lines.isdisjoint(range(span.line, span.end_line + 1)):
            return False
        start, end = (span.line, span.column), (span.end_line, span.end_column)
        return any(
            start <= (each.span.line, each.span.column) < end
            for each in self._found.values()
            if each.span is not None
        )

    def clear(self) -> None:
        """Forget what was found: it was looked for in what is no Dockerfile of ours."""
        self._found.clear()
        self._lines.clear()

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Take the mistake that ends the block.

        Raises: LimitPassed: the file is one to look at no further.
        """
        try:
            yield
        except LimitPassed:
            raise
        except LapstrakeError as error:
            self.add(error)

    def told(self) -> tuple[LapstrakeError, ...]:
        """Return the mistakes in the order of the file, those without a place first."""
        return tuple(sorted(self._found.values(), key=_place))

    def raise_any(self) -> None:
        """Raise what was collected, if anything.

        Raises: LapstrakeError: the only mistake. DockerfileErrors: several.
        """
        told = self.told()
        if len(told) > 1:
            raise DockerfileErrors(told[:MOST_TOLD], more=len(told[MOST_TOLD:]))
        if told:
            raise told[0]


def _place(error: LapstrakeError) -> tuple[int, int]:
    return (error.span.line, error.span.column) if error.span is not None else (0, 0)


def unsure_lines(dockerfile: Dockerfile) -> tuple[int, Mapping[int, int]]:
    """Return from which line on global arguments are uncertain, and by stage index its variables."""
    starts = [each.span.line for each in dockerfile.instructions if isinstance(each, From)]
    everywhere = NEVER
    found: dict[int, int] = {}
    for hole in dockerfile.holes:
        if hole.name not in (*_SETTING, "FROM"):
            continue
        stage = sum(start <= hole.line for start in starts) - 1
        if stage < 0:
            everywhere = min(everywhere, hole.line)
        else:
            found.setdefault(stage, hole.line)
    return everywhere, found


def uses_variables(instruction: Instruction) -> bool:
    """Tell whether what an instruction comes to depends on variables."""
    bodies = instruction.files if isinstance(instruction, Copy | Add) else ()
    return "$" in instruction.text or any("$" in each.body for each in bodies)
