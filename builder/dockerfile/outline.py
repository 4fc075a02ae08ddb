"""Which stage is built from which: names, numbers, cycles and what a target reaches."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from builder.diagnostics import Span
from builder.dockerfile import mounts, suggest, triggers
from builder.dockerfile.expansion import Expander
from builder.dockerfile.instructions import (
    Copy,
    Dockerfile,
    Flag,
    From,
    Instruction,
    OnBuild,
    Run,
    Word,
)
from builder.dockerfile.mistakes import NEVER, LimitPassed, Mistakes, unsure_lines
from builder.dockerfile.naming import argument_hint
from builder.dockerfile.words import nothing
from builder.errors import DockerfileError

MAX_STAGES = 1000
_MOST_DIGITS = 5


class Used(msgspec.Struct, frozen=True):
    """The use of a stage, by its index, or of an image, by its name; `word` is where that is written."""

    source: int | str
    word: Word


class Outline(msgspec.Struct, kw_only=True):
    """A stage as written: what it begins from and takes files from are stage indexes or names of images.

    The first `triggered` of the instructions are ONBUILD triggers of the base. `copies` has one item per
    `COPY --from`, by the index of the instruction; `mounts` the `from=` of `RUN --mount`, by that and the number of
    the flag. From `unsure_from`, a line of the file, its variables may be anything, because of a mistake; a base of
    "" is not known either.
    """

    index: int
    head: From
    instructions: list[Instruction]
    triggered: int = 0
    base: int | str = ""
    unsure_from: int = NEVER
    copies: dict[int, Used] = {}
    mounts: dict[tuple[int, int], Used] = {}

    def references(self) -> list[Used]:
        """Return the uses of stages and images other than as the base."""
        return [*self.copies.values(), *self.mounts.values()]


class Outlines:
    """The stages of one Dockerfile, `names` those that have one; of equal names the last counts.

    What is wrong with them is added to `mistakes`.

    Raises: LimitPassed: there are too many.
    """

    def __init__(self, dockerfile: Dockerfile, expander: Expander, mistakes: Mistakes) -> None:
        self.source = source = dockerfile.source
        self.expander = expander
        self.mistakes = mistakes
        self.stages: list[Outline] = []
        self.globals_unsure, unsure = unsure_lines(dockerfile)
        """The line from which global arguments may be anything, because of a mistake."""
        self._has_broken_heads = any(hole.name == "FROM" for hole in dockerfile.holes)
        for instruction in dockerfile.instructions:
            if isinstance(instruction, From):
                self.stages.append(
                    Outline(
                        index=len(self.stages),
                        head=instruction,
                        instructions=[],
                        unsure_from=unsure.get(len(self.stages), NEVER),
                    )
                )
                if len(self.stages) > MAX_STAGES:
                    raise LimitPassed(
                        f"there are more than {MAX_STAGES} stages",
                        span=instruction.span,
                        source=source,
                        hint="cut the Dockerfile into several",
                    )
            elif self.stages:
                self.stages[-1].instructions.append(instruction)
        self.names = {
            stage.head.name.text: stage.index
            for stage in self.stages
            if stage.head.name is not None
        }
        self.replaced: frozenset[str] = frozenset()
        """Names of stages instead of which something else is taken."""
        self._triggers = 0

    def target(self, name: str | None) -> int:
        """Return the stage to build: by name in any case, by number, or the last; that also where there is none."""
        if not name:
            return len(self.stages) - 1
        found = self.names.get(name.lower())
        if found is None:
            number = _number(name)
            found = number if number is not None and number < len(self.stages) else None
        if found is not None:
            return found
        if not self._has_broken_heads:
            self.mistakes.add(
                DockerfileError(
                    f"there is no stage `{name[:100]}` to build",
                    code="dockerfile.unknown-stage",
                    notes=(self.listed(),),
                    hint=suggest.hint(name.lower(), self.names),
                )
            )
        return len(self.stages) - 1

    def listed(self) -> str:
        """Return the fact which stages there are."""
        if not self.names:
            return "no stage of the Dockerfile has a name"
        return "the stages are " + ", ".join(f"`{name}`" for name in list(self.names)[:20])

    def replace(self, names: frozenset[str]) -> None:
        """Take something that is no stage, by the same name, for the stages of these names."""
        self.replaced = names
        for stage in self.stages:
            if stage.head.name is not None and stage.head.name.text in names:
                stage.instructions = []

    def resolve(self, arguments: Mapping[str, str]) -> None:
        """Find what FROM, `COPY --from` and `RUN --mount` name, in all stages: names are part of the language.

        FROM sees the stages before it; `--from` sees all, to tell a stage that comes too late from an image.
        A stage built on another one gets its ONBUILD triggers. It is a mistake when a name is blank after
        expansion, holds a variable where none may be, or is the number of no stage.

        Raises: LimitPassed: there are too many triggers.
        """
        before: dict[str, int] = {}
        kept = [
            [each for each in stage.instructions if isinstance(each, OnBuild)]
            for stage in self.stages
        ]
        for stage in self.stages:
            head = stage.head
            if head.name is not None and head.name.text in self.replaced:
                stage.base = head.name.text
                before.pop(head.name.text, None)
                continue
            name = self._base_name(stage, arguments)
            stage.base = before.get(name, name)
            if isinstance(stage.base, int):
                below = kept[stage.base]
                self._count_triggers(len(below), head)
                with self.mistakes.collecting():
                    found = triggers.of_stage(below, self.source, self.expander.escape)
                    stage.instructions[:0] = found
                    stage.triggered = len(found)
            if head.name is not None:
                before[head.name.text] = stage.index
        for stage in self.stages:
            self._find_references(stage)

    def _base_name(self, stage: Outline, arguments: Mapping[str, str]) -> str:
        """Return the name after FROM, "" for one that is not known because of a mistake."""
        word = stage.head.image
        unsure = self.globals_unsure <= word.span.line and "$" in word.text
        try:
            name = self.expander.expand(word, arguments.get)
            if not name and not unsure:
                self.mistakes.add(
                    DockerfileError(
                        f"the image `{word.text}` is blank after expansion",
                        code="dockerfile.bad-expansion",
                        span=word.span,
                        source=self.source,
                        hint=argument_hint(word, arguments, self.expander),
                    )
                )
        except LimitPassed:
            raise
        except DockerfileError as error:
            if not unsure:
                self.mistakes.add(error)
            return ""
        return "" if unsure else name

    def prepend(self, index: int, texts: tuple[str, ...]) -> None:
        """Run the triggers of its base image before a stage's own instructions.

        Raises: LimitPassed: there are too many.
        """
        stage = self.stages[index]
        self._count_triggers(len(texts), stage.head)
        with self.mistakes.collecting():
            found = triggers.of_image(texts, stage.head.image.span, self.source)
            stage.instructions[:0] = found
            stage.triggered += len(found)
            self._find_references(stage)

    def _count_triggers(self, count: int, head: From) -> None:
        self._triggers += count
        if self._triggers > triggers.MAX_TRIGGERS:
            raise LimitPassed(
                f"there are more than {triggers.MAX_TRIGGERS} ONBUILD triggers to run",
                span=head.image.span,
                source=self.source,
                hint="begin fewer stages from what has triggers",
            )

    def _find_references(self, stage: Outline) -> None:
        stage.copies = {}
        stage.mounts = {}
        for index, instruction in enumerate(stage.instructions):
            if isinstance(instruction, Copy) and instruction.from_ is not None:
                with self.mistakes.collecting():
                    found = self._copied(instruction.from_)
                    stage.copies[index] = Used(found, instruction.from_.word)
            elif isinstance(instruction, Run) and instruction.mounts:
                for number, flag in enumerate(instruction.mounts):
                    with self.mistakes.collecting():
                        origin = mounts.origin(flag, self.source)
                        if origin is not None:
                            stage.mounts[index, number] = Used(self._named(origin.text), origin)

    def _named(self, name: str) -> int | str:
        lower = name.lower()
        return lower if lower in self.replaced else self.names.get(lower, name)

    def _copied(self, flag: Flag) -> int | str:
        name = flag.value or ""
        if self.expander.expand(flag.word, nothing) != name:
            raise DockerfileError(
                "`--from` takes no variables",
                span=flag.value_span,
                source=self.source,
                hint="name the image in a stage of its own, `FROM $IMAGE AS NAME`, and copy from that",
            )
        if not name.lstrip("+-").isdecimal():
            return self._named(name)
        number = _number(name)
        if number is None or number >= len(self.stages):
            raise DockerfileError(
                f"there is no stage number {name[:20]}",
                code="dockerfile.unknown-stage",
                span=flag.value_span,
                source=self.source,
                notes=(f"stages are numbered 0 to {len(self.stages) - 1}",),
            )
        head = self.stages[number].head
        return (
            number if head.name is None or head.name.text not in self.replaced else head.name.text
        )

    def needed(self, target: int | None) -> list[int]:
        """Return the stages that the target needs, in the order of the file, the target last; all for None.

        It is a mistake when stages need each other, anywhere, or one that is needed copies from a later one.
        """
        cycles = self._cycles()
        found = range(len(self.stages)) if target is None else sorted(self._reachable(target))
        for number in found:
            for used in self.stages[number].references():
                late = isinstance(used.source, int) and used.source > number
                if late and used.word.span not in cycles:
                    self.mistakes.add(self._too_late(used))
        return [number for number in found if target is None or number <= target]

    def _cycles(self) -> set[Span]:
        """Tell of stages that need each other; return where."""
        reached: dict[int, set[int]] = {}
        places: set[Span] = set()
        for stage in self.stages:
            for used in stage.references():
                if isinstance(used.source, int) and used.source >= stage.index:
                    if used.source not in reached:
                        reached[used.source] = self._reachable(used.source)
                    if stage.index in reached[used.source]:
                        self.mistakes.add(self._cycle(stage, used))
                        places.add(used.word.span)
        return places

    def _too_late(self, used: Used) -> DockerfileError:
        assert isinstance(used.source, int)
        return DockerfileError(
            f"the stage `{used.word.text}` comes after the stage that takes files from it",
            code="dockerfile.unknown-stage",
            span=used.word.span,
            source=self.source,
            notes=(f"it begins on line {self.stages[used.source].head.span.line}",),
            hint="move that stage up",
        )

    def _cycle(self, stage: Outline, used: Used) -> DockerfileError:
        itself = used.source == stage.index
        return DockerfileError(
            "the stage takes files from "
            + ("itself" if itself else f"`{used.word.text}`, which needs it"),
            code="dockerfile.stage-cycle",
            span=used.word.span,
            source=self.source,
            hint="copy from a stage that is complete before this one begins",
        )

    def _reachable(self, start: int) -> set[int]:
        seen: set[int] = set()
        waiting = [start]
        while waiting:
            index = waiting.pop()
            if index not in seen:
                seen.add(index)
                stage = self.stages[index]
                sources = [stage.base, *[used.source for used in stage.references()]]
                waiting.extend([source for source in sources if isinstance(source, int)])
        return seen

    def shown_names(self) -> list[str]:
        """Return the names of the stages in progress: none when there is nothing to confuse the only one with."""
        images = any(
            isinstance(used.source, str) for stage in self.stages for used in stage.references()
        )
        if len(self.stages) == 1 and not images:
            return [""]
        return [
            stage.head.name.text if stage.head.name is not None else f"stage-{stage.index}"
            for stage in self.stages
        ]


def _number(text: str) -> int | None:
    digits = text.removeprefix("+")
    if digits.isascii() and digits.isdecimal() and len(digits) <= _MOST_DIGITS:
        return int(digits)
    return None
