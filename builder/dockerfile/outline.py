"""Which stage is built from which: names, numbers, cycles and what a target reaches."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from builder.diagnostics import SourceFile
from builder.dockerfile import suggest
from builder.dockerfile.expansion import Expander
from builder.dockerfile.instructions import Copy, Flag, From, Instruction
from builder.dockerfile.words import nothing
from builder.errors import DockerfileError

MAX_STAGES = 1000
_MOST_DIGITS = 5


class Outline(msgspec.Struct, kw_only=True):
    """A stage as written: what it begins from and copies from are stage indexes or names of images.

    `copies` has one item per `COPY --from`, by the index of the instruction.
    """

    index: int
    head: From
    instructions: list[Instruction]
    base: int | str = ""
    copies: dict[int, int | str] = {}

    def copy_flag(self, index: int) -> Flag:
        """Return the `--from` of an instruction."""
        instruction = self.instructions[index]
        assert isinstance(instruction, Copy)
        assert instruction.from_ is not None
        return instruction.from_


class Outlines:
    """The stages of one Dockerfile, `names` those that have one; of equal names the last counts."""

    def __init__(
        self, source: SourceFile, instructions: tuple[Instruction, ...], expander: Expander
    ) -> None:
        self.source = source
        self.expander = expander
        self.stages: list[Outline] = []
        for instruction in instructions:
            if isinstance(instruction, From):
                self.stages.append(
                    Outline(index=len(self.stages), head=instruction, instructions=[])
                )
                if len(self.stages) > MAX_STAGES:
                    raise DockerfileError(
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

    def target(self, name: str | None) -> int:
        """Return the stage to build: by name in any case, by number, or the last.

        Raises: DockerfileError: `dockerfile.unknown-stage`.
        """
        if not name:
            return len(self.stages) - 1
        found = self.names.get(name.lower())
        if found is None:
            number = _number(name)
            found = number if number is not None and number < len(self.stages) else None
        if found is None:
            raise DockerfileError(
                f"there is no stage `{name[:100]}` to build",
                code="dockerfile.unknown-stage",
                notes=(self.listed(),),
                hint=suggest.hint(name.lower(), self.names),
            )
        return found

    def listed(self) -> str:
        """Return the fact which stages there are."""
        if not self.names:
            return "no stage of the Dockerfile has a name"
        return "the stages are " + ", ".join(f"`{name}`" for name in list(self.names)[:20])

    def resolve(self, arguments: Mapping[str, str]) -> None:
        """Find what FROM and `COPY --from` name, in all stages: names are part of the language.

        FROM sees the stages before it; `--from` sees all, to tell a stage that comes too late from an image.

        Raises: DockerfileError: a name is blank after expansion, holds a variable where none may be, or is
            the number of no stage.
        """
        before: dict[str, int] = {}
        for stage in self.stages:
            head = stage.head
            name = self.expander.expand(head.image, arguments.get)
            if not name:
                raise DockerfileError(
                    f"the image `{head.image.text}` is blank after expansion",
                    code="dockerfile.bad-expansion",
                    span=head.image.span,
                    source=self.source,
                    hint=argument_hint(head.image.text, arguments),
                )
            stage.base = before.get(name, name)
            if head.name is not None:
                before[head.name.text] = stage.index
        for stage in self.stages:
            stage.copies = {
                index: self._copied(instruction.from_)
                for index, instruction in enumerate(stage.instructions)
                if isinstance(instruction, Copy) and instruction.from_ is not None
            }

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
            return self.names.get(name.lower(), name)
        number = _number(name)
        if number is None or number >= len(self.stages):
            raise DockerfileError(
                f"there is no stage number {name[:20]}",
                code="dockerfile.unknown-stage",
                span=flag.value_span,
                source=self.source,
                notes=(f"stages are numbered 0 to {len(self.stages) - 1}",),
            )
        return number

    def needed(self, target: int) -> list[int]:
        """Return the stages that the target needs, in the order of the file; the target is the last.

        Raises: DockerfileError: a cycle anywhere, or a stage that is needed copies from one that comes later.
        """
        reached: dict[int, set[int]] = {}
        for stage in self.stages:
            for index, source in stage.copies.items():
                if isinstance(source, int) and source >= stage.index:
                    if source not in reached:
                        reached[source] = self._reachable(source)
                    if stage.index in reached[source]:
                        raise self._cycle(stage, index, source)
        found = sorted(self._reachable(target))
        for number in found:
            stage = self.stages[number]
            for index, source in stage.copies.items():
                if isinstance(source, int) and source > number:
                    flag = stage.copy_flag(index)
                    raise DockerfileError(
                        f"the stage `{flag.value}` comes after the stage that copies from it",
                        code="dockerfile.unknown-stage",
                        span=flag.value_span,
                        source=self.source,
                        notes=(f"it begins on line {self.stages[source].head.span.line}",),
                        hint="move that stage up",
                    )
        return found

    def _cycle(self, stage: Outline, index: int, source: int) -> DockerfileError:
        flag = stage.copy_flag(index)
        itself = source == stage.index
        return DockerfileError(
            f"the stage copies from {'itself' if itself else f'`{flag.value}`, which needs it'}",
            code="dockerfile.stage-cycle",
            span=flag.value_span,
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
                sources = (stage.base, *stage.copies.values())
                waiting.extend(source for source in sources if isinstance(source, int))
        return seen

    def shown_names(self) -> list[str]:
        """Return the names of the stages in progress: none when there is nothing to confuse the only one with."""
        images = any(
            isinstance(source, str) for stage in self.stages for source in stage.copies.values()
        )
        if len(self.stages) == 1 and not images:
            return [""]
        return [
            stage.head.name.text if stage.head.name is not None else f"stage-{stage.index}"
            for stage in self.stages
        ]


def argument_hint(text: str, arguments: Mapping[str, str]) -> str:
    """Suggest the global argument that a `$name` in the text is near to."""
    name = text.strip("\"'").lstrip("${").rstrip("}").split(":", 1)[0]
    near = suggest.nearest(name, arguments)
    if near is not None:
        return f"did you mean `${near}`?"
    return "declare the argument with a default before the first FROM"


def _number(text: str) -> int | None:
    digits = text.removeprefix("+")
    if digits.isascii() and digits.isdecimal() and len(digits) <= _MOST_DIGITS:
        return int(digits)
    return None
