"""Stages: where each begins from, which of them the target needs, which images that takes.

Nothing here looks at what a stage does not need: an image of an unused stage is never pulled.
"""

from __future__ import annotations

import msgspec

from builder.diagnostics import Diagnostic, Span
from builder.dockerfile import scope, suggest, supported
from builder.dockerfile.checks import Checks, read_checks
from builder.dockerfile.expansion import Expander
from builder.dockerfile.instructions import Dockerfile, Flag, From, Instruction, Word
from builder.dockerfile.outline import Outline, Outlines, argument_hint
from builder.errors import DockerfileError, DockerfileErrors, ReferenceInvalid
from builder.oci.platform import Platform
from builder.oci.reference import Reference

_MOST_ERRORS = 20
SCRATCH_NAME = "scratch"


class PlanRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a Dockerfile: platforms as `os/architecture[/variant]`, build arguments and labels by name.

    `target_platform` "" is the host's. `ignore` is the text of the context's ignore file, for the checks.
    """

    target: str | None = None
    build_args: tuple[tuple[str, str], ...] = ()
    host_platform: str
    target_platform: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    ignore: str = ""
    ignore_name: str = ".dockerignore"


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

    Raises: DockerfileError: an unknown target or stage, a cycle, a bad platform, or an instruction or flag
        that is not supported (DockerfileErrors when there are several of these). ReferenceInvalid: FROM
        names no possible image, or a platform of the request is none.
    """
    return _Planner(dockerfile, request).plan()


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
        self.outlines = Outlines(dockerfile.source, dockerfile.instructions, self.expander)
        self.images: dict[tuple[str, str], ImageNeeded] = {}

    def plan(self) -> BuildPlan:
        instructions = self.dockerfile.instructions
        outlines = self.outlines
        checked = read_checks(self.dockerfile, self.given)
        supported.check_syntax(self.dockerfile, self.given)
        target = outlines.target(self.request.target)
        last = outlines.stages[-1].head.name
        asked = self.request.target or (last.text if last is not None else None)
        self.arguments = scope.global_arguments(
            instructions,
            scope.predefined(self.host, self.target_platform, asked),
            self.given,
            self.expander,
        )
        outlines.resolve(self.arguments)
        needed = [outlines.stages[index] for index in outlines.needed(target)]
        self._refuse_unsupported(needed)
        shown = outlines.shown_names()
        stages = tuple([self._stage(outline, shown[outline.index]) for outline in needed])
        return BuildPlan(
            dockerfile=self.dockerfile,
            request=self.request,
            stages=stages,
            images=tuple(self.images.values()),
            arguments=self.arguments,
            checks=checked,
            warnings=self.dockerfile.warnings + tuple(scope.unused(instructions, self.given)),
            stage_names=tuple(outlines.names),
        )

    def _refuse_unsupported(self, needed: list[Outline]) -> None:
        errors = [
            error
            for outline in needed
            for instruction in outline.instructions
            for error in supported.refusals(instruction, self.source)
        ]
        if len(errors) > 1:
            raise DockerfileErrors(tuple(errors[:_MOST_ERRORS]))
        if errors:
            raise errors[0]

    def _stage(self, outline: Outline, shown: str) -> Stage:
        head = outline.head
        copied: dict[int, Base] = {}
        for index, source in outline.copies.items():
            flag = outline.copy_flag(index)
            try:
                copied[index] = self._base(source, flag.word, self.target_platform)
            except ReferenceInvalid as error:
                raise DockerfileError(
                    f"`{flag.value}` is neither a stage nor the name of an image",
                    code="dockerfile.unknown-stage",
                    span=flag.value_span,
                    source=self.source,
                    notes=(self.outlines.listed(),),
                    hint=error.hint,
                ) from error
        return Stage(
            index=outline.index,
            name=head.name.text if head.name is not None else None,
            shown=shown,
            head=head,
            base=self._base(outline.base, head.image, self._platform(head.platform)),
            instructions=tuple(outline.instructions),
            copied=copied,
        )

    def _platform(self, flag: Flag | None) -> Platform:
        if flag is None:
            return self.target_platform
        text = self.expander.expand(flag.word, self.arguments.get)
        if not text:
            raise DockerfileError(
                f"the platform `{flag.value}` is blank after expansion",
                code="dockerfile.bad-expansion",
                span=flag.value_span,
                source=self.source,
                hint=argument_hint(flag.value or "", self.arguments),
            )
        try:
            platform = Platform.parse(text)
        except ReferenceInvalid as error:
            raise DockerfileError(
                error.message, span=flag.value_span, source=self.source, hint=error.hint
            ) from error
        if not platform.matches(self.host):
            raise DockerfileError(
                f"the platform `{text}` is not this machine's",
                code="dockerfile.unsupported",
                span=flag.value_span,
                source=self.source,
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
            raise ReferenceInvalid(
                error.message,
                span=word.span,
                source=self.source,
                hint=self._stage_hint(name) or error.hint,
            ) from error
        key = (reference, str(platform))
        if key not in self.images:
            self.images[key] = ImageNeeded(reference=reference, platform=key[1], span=word.span)
        return ImageBase(self.images[key])

    def _stage_hint(self, name: str) -> str | None:
        """Suggest the stage that a bad image name is near to: FROM takes the lower-case name only."""
        if name.lower() in self.outlines.names:
            return f"write the stage's name as `{name.lower()}`"
        return suggest.hint(name.lower(), self.outlines.names)
