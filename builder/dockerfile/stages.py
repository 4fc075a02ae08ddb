"""Stages: where each begins from, which of them the target needs, which images that takes.

Nothing here looks at what a stage does not need: an image of an unused stage is never pulled.
"""

from __future__ import annotations

import msgspec

from builder.diagnostics import Diagnostic, Span
from builder.dockerfile import scope, suggest, supported
from builder.dockerfile.checks import Checks, read_checks
from builder.dockerfile.expansion import Expander
from builder.dockerfile.instructions import Copy, Dockerfile, Flag, From, Instruction, Word
from builder.dockerfile.words import nothing
from builder.errors import DockerfileError, DockerfileErrors, ReferenceInvalid
from builder.oci.platform import Platform
from builder.oci.reference import Reference

SCRATCH_NAME = "scratch"


class PlanRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a Dockerfile: platforms as `os/architecture[/variant]`, build arguments and labels by name.

    `target_platform` "" is the host's.
    """

    target: str | None = None
    build_args: tuple[tuple[str, str], ...] = ()
    host_platform: str
    target_platform: str = ""
    labels: tuple[tuple[str, str], ...] = ()


class ImageNeeded(msgspec.Struct, frozen=True, kw_only=True):
    """An image that must be resolved: the reference is canonical, the span that of its first use."""

    reference: str
    platform: str
    span: Span


class StageBase(msgspec.Struct, frozen=True, tag=True):
    """An earlier stage, by its index in the file."""

    index: int


class ScratchBase(msgspec.Struct, frozen=True, tag=True):
    """Nothing."""


class ImageBase(msgspec.Struct, frozen=True, tag=True):
    """An image; `image` is one of the plan's `images`."""

    image: ImageNeeded


Base = StageBase | ScratchBase | ImageBase


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """A stage that is needed: `index` is its place in the file, `shown` its name in progress, "" for none.

    `copied` are the sources of the `COPY --from` among `instructions`, by the index in these.
    """

    index: int
    name: str | None
    shown: str
    head: From
    base: Base
    instructions: tuple[Instruction, ...]
    copied: dict[int, Base]


class BuildPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The stages that the target needs, in the order of the file; the target is the last of them."""

    dockerfile: Dockerfile
    request: PlanRequest
    stages: tuple[Stage, ...]
    images: tuple[ImageNeeded, ...]
    arguments: dict[str, str]
    """The global build arguments."""
    checks: Checks
    warnings: tuple[Diagnostic, ...]
    stage_names: tuple[str, ...]

    @property
    def target(self) -> Stage:
        """The stage that is built."""
        return self.stages[-1]

    def near_stage(self, reference: str) -> str | None:
        """Return the stage whose name is near that of an image which cannot be found."""
        name = reference.rpartition("/")[2].partition("@")[0].partition(":")[0]
        return suggest.nearest(name, self.stage_names)


def plan(dockerfile: Dockerfile, request: PlanRequest) -> BuildPlan:
    """Find what the target needs.

    Raises: DockerfileError: an unknown target or stage, a cycle, a bad image reference or platform, or an
        instruction or flag that is not supported; DockerfileErrors when there are several.
    """
    return _Planner(dockerfile, request).plan()


class _Outline(msgspec.Struct, kw_only=True):
    """A stage as written, before it is known whether it is needed."""

    index: int
    head: From
    instructions: list[Instruction]
    copies: dict[int, int | str]
    """Stage index or image name of each `COPY --from`."""
    base: int | str = ""


class _Planner:
    def __init__(self, dockerfile: Dockerfile, request: PlanRequest) -> None:
        self.dockerfile = dockerfile
        self.source = dockerfile.source
        self.request = request
        self.expander = Expander(dockerfile.source, dockerfile.directives.escape)
        self.given = dict(request.build_args)
        self.host = Platform.parse(request.host_platform)
        self.target_platform = (
            Platform.parse(request.target_platform) if request.target_platform else self.host
        )
        self.first = scope.before_first_from(dockerfile.instructions)
        self.outlines: list[_Outline] = []
        self.names: dict[str, int] = {}
        self.images: dict[tuple[str, str], ImageNeeded] = {}

    def plan(self) -> BuildPlan:
        instructions = self.dockerfile.instructions
        checked = read_checks(self.dockerfile, self.given)
        supported.check_syntax(self.dockerfile)
        self._outline()
        target = self._target()
        stage = self.outlines[-1].head.name
        asked = self.request.target or (stage.text if stage is not None else None)
        self.arguments = scope.global_arguments(
            instructions,
            scope.predefined(self.host, self.target_platform, asked),
            self.given,
            self.expander,
        )
        self._resolve_names()
        needed = self._needed(target)
        self._refuse_unsupported(needed)
        shown = self._shown_names()
        stages = tuple([self._stage(self.outlines[index], shown[index]) for index in needed])
        return BuildPlan(
            dockerfile=self.dockerfile,
            request=self.request,
            stages=stages,
            images=tuple(self.images.values()),
            arguments=self.arguments,
            checks=checked,
            warnings=self.dockerfile.warnings + tuple(scope.unused(instructions, self.given)),
            stage_names=tuple(self.names),
        )

    def _outline(self) -> None:
        """Cut the instructions into stages; the last stage of a name counts."""
        for instruction in self.dockerfile.instructions[self.first :]:
            if isinstance(instruction, From):
                self.outlines.append(
                    _Outline(index=len(self.outlines), head=instruction, instructions=[], copies={})
                )
            else:
                self.outlines[-1].instructions.append(instruction)

    def _target(self) -> int:
        names = {
            outline.head.name.text: outline.index
            for outline in self.outlines
            if outline.head.name is not None
        }
        target = self.request.target
        if not target:
            return len(self.outlines) - 1
        found = names.get(target.lower())
        if found is None and target.isascii() and target.isdecimal() and len(target) < 6:
            found = int(target) if int(target) < len(self.outlines) else None
        if found is None:
            raise DockerfileError(
                f"there is no stage `{target[:100]}` to build",
                code="dockerfile.unknown-stage",
                notes=(_listed(tuple(names)),),
                hint=suggest.hint(target.lower(), names),
            )
        return found

    def _resolve_names(self) -> None:
        """Find what FROM and `COPY --from` name, in all stages: names are part of the language."""
        for outline in self.outlines:
            head = outline.head
            name = self.expander.expand(head.image, self.arguments.get)
            if not name:
                raise self._error(
                    f"the image `{head.image.text}` is blank after expansion",
                    head.image.span,
                    code="dockerfile.bad-expansion",
                    hint=self._argument_hint(head.image),
                )
            outline.base = self.names.get(name, name)
            if head.name is not None:
                self.names[head.name.text] = outline.index
        for outline in self.outlines:
            for index, instruction in enumerate(outline.instructions):
                if isinstance(instruction, Copy) and instruction.from_ is not None:
                    outline.copies[index] = self._copied(instruction.from_)

    def _copied(self, flag: Flag) -> int | str:
        name = flag.value or ""
        if self.expander.expand(flag.word, nothing) != name:
            raise self._error(
                "`--from` takes no variables",
                flag.value_span,
                hint="name the image in a stage of its own, `FROM $IMAGE AS NAME`, and copy from that",
            )
        digits = name.removeprefix("+")
        if name.removeprefix("-").isdecimal() or digits.isdecimal():
            if not (digits.isascii() and digits.isdecimal() and len(digits) < 6) or int(
                digits
            ) >= len(self.outlines):
                raise self._error(
                    f"there is no stage number {name[:20]}",
                    flag.value_span,
                    code="dockerfile.unknown-stage",
                    notes=(f"stages are numbered 0 to {len(self.outlines) - 1}",),
                )
            return int(digits)
        return self.names.get(name.lower(), name)

    def _needed(self, target: int) -> list[int]:
        """Return the stages that the target needs, itself last, and refuse to use what is not there yet."""
        for outline in self.outlines:
            for index, source in outline.copies.items():
                if isinstance(source, int) and source >= outline.index:
                    self._check_cycle(outline, index, source)
        needed = self._reachable(target)
        for number in sorted(needed):
            outline = self.outlines[number]
            for index, source in outline.copies.items():
                if isinstance(source, int) and source > number:
                    flag = self._from_flag(outline, index)
                    raise self._error(
                        f"the stage `{flag.value}` comes after the stage that copies from it",
                        flag.value_span,
                        code="dockerfile.unknown-stage",
                        notes=(f"it begins on line {self.outlines[source].head.span.line}",),
                        hint="move that stage up",
                    )
        return sorted(needed)

    def _check_cycle(self, outline: _Outline, index: int, source: int) -> None:
        if outline.index not in self._reachable(source):
            return
        flag = self._from_flag(outline, index)
        itself = source == outline.index
        raise self._error(
            f"the stage copies from {'itself' if itself else f'`{flag.value}`, which needs it'}",
            flag.value_span,
            code="dockerfile.stage-cycle",
            hint="copy from a stage that is complete before this one begins",
        )

    def _from_flag(self, outline: _Outline, index: int) -> Flag:
        instruction = outline.instructions[index]
        assert isinstance(instruction, Copy)
        assert instruction.from_ is not None
        return instruction.from_

    def _reachable(self, start: int) -> set[int]:
        seen: set[int] = set()
        waiting = [start]
        while waiting:
            index = waiting.pop()
            if index in seen:
                continue
            seen.add(index)
            outline = self.outlines[index]
            waiting.extend(
                source
                for source in (outline.base, *outline.copies.values())
                if isinstance(source, int)
            )
        return seen

    def _refuse_unsupported(self, needed: list[int]) -> None:
        errors = [
            error
            for index in needed
            for instruction in self.outlines[index].instructions
            for error in supported.refusals(instruction, self.source)
        ]
        if len(errors) > 1:
            raise DockerfileErrors(tuple(errors[:20]))
        if errors:
            raise errors[0]

    def _shown_names(self) -> list[str]:
        """Return the names of stages in progress: none when nothing else is there to confuse them with."""
        images = any(
            isinstance(source, str)
            for outline in self.outlines
            for source in outline.copies.values()
        )
        if len(self.outlines) == 1 and not images:
            return [""]
        return [
            outline.head.name.text if outline.head.name is not None else f"stage-{outline.index}"
            for outline in self.outlines
        ]

    def _stage(self, outline: _Outline, shown: str) -> Stage:
        head = outline.head
        platform = self._platform(head.platform)
        copied = {
            index: self._base(source, self._from_flag(outline, index).word, self.target_platform)
            for index, source in outline.copies.items()
        }
        return Stage(
            index=outline.index,
            name=head.name.text if head.name is not None else None,
            shown=shown,
            head=head,
            base=self._base(outline.base, head.image, platform),
            instructions=tuple(outline.instructions),
            copied=copied,
        )

    def _platform(self, flag: Flag | None) -> Platform:
        if flag is None:
            return self.target_platform
        text = self.expander.expand(flag.word, self.arguments.get)
        if not text:
            raise self._error(
                f"the platform `{flag.value}` is blank after expansion",
                flag.value_span,
                code="dockerfile.bad-expansion",
                hint=self._argument_hint(flag.word),
            )
        try:
            platform = Platform.parse(text)
        except ReferenceInvalid as error:
            raise self._error(error.message, flag.value_span, hint=error.hint) from error
        if not platform.matches(self.host):
            raise self._error(
                f"the platform `{text}` is not this machine's",
                flag.value_span,
                code="dockerfile.unsupported",
                notes=(f"this machine is `{self.host}`; building for others is not supported yet",),
                hint="leave `--platform` out",
            )
        return platform

    def _base(self, name: int | str, word: Word, platform: Platform) -> Base:
        if isinstance(name, int):
            return StageBase(name)
        if name == SCRATCH_NAME:
            return ScratchBase()
        try:
            reference = Reference.parse(name).canonical()
        except ReferenceInvalid as error:
            near = (
                suggest.hint(name.lower(), self.names) if name.lower() not in self.names else None
            )
            if name.lower() in self.names:
                near = f"write the stage's name as `{name.lower()}`"
            raise ReferenceInvalid(
                error.message, span=word.span, source=self.source, hint=near or error.hint
            ) from error
        key = (reference, str(platform))
        if key not in self.images:
            self.images[key] = ImageNeeded(reference=reference, platform=key[1], span=word.span)
        return ImageBase(self.images[key])

    def _argument_hint(self, word: Word) -> str | None:
        """Suggest the global argument that a `$name` in the word is near to."""
        name = word.text.strip("\"'").lstrip("${").rstrip("}").split(":", 1)[0]
        near = suggest.nearest(name, self.arguments)
        if near is not None:
            return f"did you mean `${near}`?"
        return "declare the argument with a default before the first FROM"

    def _error(
        self,
        message: str,
        span: Span,
        *,
        code: str = "dockerfile.syntax",
        notes: tuple[str, ...] = (),
        hint: str | None = None,
    ) -> DockerfileError:
        return DockerfileError(
            message, code=code, span=span, source=self.source, notes=notes, hint=hint
        )


def _listed(names: tuple[str, ...]) -> str:
    if not names:
        return "no stage of the Dockerfile has a name"
    return "the stages are " + ", ".join(f"`{name}`" for name in names[:20])
