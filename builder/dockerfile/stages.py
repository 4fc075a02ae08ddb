"""Stages: where each begins from, which of them the target needs, which images that takes.

Nothing here looks at what a stage does not need: an image of an unused stage is never pulled.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from builder.diagnostics import Diagnostic, Span
from builder.dockerfile import moments, scope, suggest, supported
from builder.dockerfile.checks import Checks, read_checks
from builder.dockerfile.contexts import IMAGE, NamedContexts
from builder.dockerfile.expansion import Expander
from builder.dockerfile.instructions import (
    Add,
    Copy,
    Dockerfile,
    Flag,
    From,
    Instruction,
    Run,
    Word,
    Workdir,
)
from builder.dockerfile.mistakes import ALWAYS, NEVER, LimitPassed, Mistakes
from builder.dockerfile.naming import argument_hint, neither, no_reference
from builder.dockerfile.outline import Outline, Outlines, Used
from builder.errors import DockerfileError, LapstrakeError, ReferenceInvalid
from builder.oci.platform import Platform
from builder.oci.reference import Reference, short_name

SCRATCH_NAME = "scratch"


class PlanRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a Dockerfile: platforms as `os/architecture[/variant]`, build arguments and labels by name.

    `target_platform` "" is the host's. `ignore` is the text of the context's ignore file, for the checks.
    `contexts` are named contexts, by name: "local", or "image:" and a reference. With `several`, other platforms are built
    beside this one, and the names of steps tell them apart. `all_stages` counts what the
    target does not need as needed too; there is no other target then than the last.
    """

    target: str | None = None
    all_stages: bool = False
    build_args: tuple[tuple[str, str], ...] = ()
    host_platform: str
    target_platform: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    ignore: str = ""
    ignore_name: str = ".dockerignore"
    contexts: tuple[tuple[str, str], ...] = ()
    moments: bool = False
    """Whether a time that is to be taken from elsewhere is asked for, by `MomentNeeded`; else none is given."""
    several: bool = False


class ImageNeeded(msgspec.Struct, frozen=True, kw_only=True):
    """An image that must be resolved: the reference is canonical, the span that of its first use.

    `short` is the name as it was written, if it names no registry: others than Docker's may then be meant.
    """

    reference: str
    platform: str
    span: Span
    short: str = ""


class StageBase(msgspec.Struct, frozen=True, tag=True):
    """An earlier stage, by its index in the file."""

    index: int


class ScratchBase(msgspec.Struct, frozen=True, tag=True):
    """Nothing."""


class ImageBase(msgspec.Struct, frozen=True, tag=True):
    """An image; `image` is one of the plan's `images`."""

    image: ImageNeeded


class ContextBase(msgspec.Struct, frozen=True, tag=True):
    """The files of a named context, by the name that the request gives it."""

    name: str


Base = StageBase | ScratchBase | ImageBase | ContextBase


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """A stage that is needed: `index` is its place in the file, `shown` its name in progress, "" for none.

    `copied` are the sources of the `COPY --from` among `instructions`, by the index in these, `mounted` those of
    `RUN --mount`, by that and the number of the flag; the first `triggered` instructions are ONBUILD triggers of the
    base. `platform` is that of its files. Because of a mistake variables may be anything from the line `unsure_from`,
    and the base is not what it says where that is 0.
    """

    index: int
    name: str | None
    shown: str
    head: From
    base: Base
    platform: str
    instructions: tuple[Instruction, ...]
    triggered: int
    copied: dict[int, Base]
    mounted: dict[tuple[int, int], Base]
    unsure_from: int = NEVER


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
    epoch: int | None
    """What SOURCE_DATE_EPOCH sets as the time of the image: seconds."""

    @property
    def target(self) -> Stage:
        """The stage that is built."""
        return self.stages[-1]

    def works_on(self, image: ImageNeeded) -> bool:
        """Tell whether what is in an image will be looked at: a step stands on it, or something is taken from it."""
        standing: set[int] = set()
        for stage in self.stages:
            base = stage.base
            if (isinstance(base, ImageBase) and base.image == image) or (
                isinstance(base, StageBase) and base.index in standing
            ):
                standing.add(stage.index)
            if stage.index in standing and any(
                isinstance(each, Run | Copy | Add | Workdir) for each in stage.instructions
            ):
                return True
            taken = (*stage.copied.values(), *stage.mounted.values())
            if any(isinstance(each, ImageBase) and each.image == image for each in taken):
                return True
        return False

    def near_stage(self, reference: str) -> str | None:
        """Return the stage whose name is near that of an image which cannot be found."""
        name = reference.rpartition("/")[2].partition("@")[0].partition(":")[0]
        return suggest.nearest(name, self.stage_names)


Triggers = Mapping[tuple[str, str], tuple[str, ...]]
"""The ONBUILD triggers of images, by reference and platform."""


def plan(
    dockerfile: Dockerfile, request: PlanRequest, on_build: Triggers | None = None
) -> BuildPlan:
    """Find what the target needs.

    `on_build` are the triggers of the base images known so far: they may need further images. See
    `bases.plan_with_bases`, which asks until all are known.

    Raises: DockerfileError: an unknown target or stage, a cycle, a bad platform, or a flag that cannot be.
        ReferenceInvalid: FROM names no possible image, or a platform of the request is none. UsageError: a
        build argument asks for something that is not supported. DockerfileErrors: several.
    """
    mistakes = Mistakes()
    found = plan_as_far(dockerfile, request, on_build or {}, mistakes)
    mistakes.raise_any()
    assert found is not None
    return found


def plan_as_far(
    dockerfile: Dockerfile, request: PlanRequest, on_build: Triggers, mistakes: Mistakes
) -> BuildPlan | None:
    """Find what the target needs as far as mistakes allow, and add these to `mistakes`.

    The plan of a file with mistakes is for those who look for more; None where there is no stage to plan.

    Raises: ReferenceInvalid: a platform of the request is none.
    """
    try:
        return _Planner(dockerfile, request, on_build, mistakes).plan()
    except supported.ForeignSyntax as error:
        mistakes.clear()
        mistakes.add(error)
    except LimitPassed as error:
        mistakes.add(error)
    return None


class _Planner:
    def __init__(
        self,
        dockerfile: Dockerfile,
        request: PlanRequest,
        on_build: Triggers,
        mistakes: Mistakes,
    ) -> None:
        self.dockerfile = dockerfile
        self.source = dockerfile.source
        self.request = request
        self.on_build = on_build
        self.mistakes = mistakes
        self.expander = Expander(dockerfile.source, dockerfile.directives.escape)
        self.given = dict(request.build_args)
        self.contexts = NamedContexts(request.contexts)
        self.host = Platform.parse(request.host_platform)
        self.target_platform = (
            Platform.parse(request.target_platform) if request.target_platform else self.host
        )
        self.outlines = Outlines(dockerfile, self.expander, mistakes)
        self.broken = {hole.line for hole in dockerfile.holes}
        self.images: dict[tuple[str, str], ImageNeeded] = {}
        self.stages: dict[int, Stage] = {}

    def plan(self) -> BuildPlan | None:
        instructions = self.dockerfile.instructions
        outlines = self.outlines
        supported.check_syntax(self.dockerfile, self.given)
        checked = Checks()
        with self.mistakes.collecting():
            checked = read_checks(self.dockerfile, self.given)
        with self.mistakes.collecting():
            supported.check_arguments(self.given)
        if not outlines.stages:
            return None
        target = outlines.target(self.request.target)
        last = outlines.stages[-1].head.name
        asked = self.request.target or (last.text if last is not None else None)
        before = len(self.mistakes)
        self.arguments = scope.global_arguments(
            instructions,
            scope.predefined(self.host, self.target_platform, asked),
            self.given,
            self.expander,
            self.mistakes,
        )
        if len(self.mistakes) > before:
            outlines.globals_unsure = ALWAYS
        epoch = None
        with self.mistakes.collecting():
            epoch = self._epoch()
        self._replace_stages()
        outlines.resolve(self.arguments)
        needed = self._needed(None if self.request.all_stages else target)
        shown = outlines.shown_names()
        self._refuse_mistakes(needed)
        self._check_heads(outlines.stages)
        self.images.clear()
        for outline in needed:
            self.stages[outline.index] = self._stage(outline, shown[outline.index])
        return BuildPlan(
            dockerfile=self.dockerfile,
            request=self.request,
            stages=tuple(self.stages.values()),
            images=tuple(self.images.values()),
            arguments=self.arguments,
            checks=checked,
            warnings=(
                *self.dockerfile.warnings,
                *scope.unused(instructions, self.given),
                *supported.without_effect(self.given),
            ),
            stage_names=tuple(outlines.names),
            epoch=epoch,
        )

    def _epoch(self) -> int | None:
        names = [name for name, _ in self.request.contexts]
        try:
            return moments.epoch(self.dockerfile, self.given, self.arguments, names, self.outlines)
        except moments.MomentNeeded:
            if self.request.moments:
                raise
            return None

    def _replace_stages(self) -> None:
        """Take named contexts for the stages of their names."""
        if self.request.contexts:
            platform = str(self.target_platform)
            self.outlines.replace(
                frozenset(
                    name
                    for name in self.outlines.names
                    if self.contexts.find(name, platform) is not None
                )
            )

    def _needed(self, target: int | None) -> list[Outline]:
        """Return the stages that the target needs, or all; triggers of base images may add some."""
        outlines = self.outlines
        asked: set[int] = set()
        while True:
            needed = [outlines.stages[index] for index in outlines.needed(target)]
            new = [outline for outline in needed if outline.index not in asked]
            if not new:
                return needed
            for outline in new:
                asked.add(outline.index)
                self._add_triggers(outline)

    def _add_triggers(self, outline: Outline) -> None:
        head = outline.head
        if not self.on_build or isinstance(outline.base, int):
            return
        try:
            base = self._base(outline.base, head.image, self._platform(head.platform))
        except LapstrakeError:
            return  # told when the stage itself is planned
        if isinstance(base, ImageBase):
            texts = self.on_build.get((base.image.reference, base.image.platform), ())
            if texts:
                self.outlines.prepend(outline.index, texts)

    def _check_heads(self, outlines: list[Outline]) -> None:
        """Check the platforms and names of images of all stages: they are part of the language."""
        for outline in outlines:
            # Of a FROM that cannot be read that is said already.
            mistakes = Mistakes() if outline.head.span.line in self.broken else self.mistakes
            platform = self.target_platform
            with mistakes.collecting():
                platform = self._platform(outline.head.platform)
            with mistakes.collecting():
                if outline.base != "":
                    self._base(outline.base, outline.head.image, platform)
            for used in outline.references():
                with self.mistakes.collecting():
                    self._copied(used)

    def _refuse_mistakes(self, needed: list[Outline]) -> None:
        for outline in needed:
            for instruction in outline.instructions:
                for error in supported.mistakes(instruction, self.source):
                    self.mistakes.add(error)

    def _stage(self, outline: Outline, shown: str) -> Stage:
        head = outline.head
        unsure_from = outline.unsure_from
        asked, base = self.target_platform, None
        with Mistakes().collecting():  # told by `_check_heads`
            asked = self._platform(head.platform)
            base = self._base(outline.base, head.image, asked) if outline.base != "" else None
        if base is None:
            base, unsure_from = ScratchBase(), ALWAYS
        if isinstance(base, StageBase):
            platform = self.stages[base.index].platform
        else:
            platform = str(self.target_platform if isinstance(base, ScratchBase) else asked)
        copied: dict[int, Base] = {}
        for index, used in outline.copies.items():
            with self.mistakes.collecting():
                copied[index] = self._copied(used)
        mounted: dict[tuple[int, int], Base] = {}
        for place, used in outline.mounts.items():
            with self.mistakes.collecting():
                mounted[place] = self._copied(used)
        return Stage(
            index=outline.index,
            name=head.name.text if head.name is not None else None,
            shown=shown,
            head=head,
            base=base,
            platform=platform,
            instructions=tuple(outline.instructions),
            triggered=outline.triggered,
            copied=copied,
            mounted=mounted,
            unsure_from=unsure_from,
        )

    def _copied(self, used: Used) -> Base:
        try:
            return self._base(used.source, used.word, self.target_platform)
        except ReferenceInvalid as error:
            raise neither(error, used.word, self.outlines.listed(), self.source) from error

    def _platform(self, flag: Flag | None) -> Platform:
        if flag is None or not flag.value:
            return self.target_platform
        text = self.expander.expand(flag.word, self.arguments.get)
        if not text:
            raise DockerfileError(
                f"the platform `{flag.value}` is blank after expansion",
                code="dockerfile.bad-expansion",
                span=flag.value_span,
                source=self.source,
                hint=argument_hint(flag.word, self.arguments, self.expander),
            )
        try:
            return Platform.parse(text)
        except ReferenceInvalid as error:
            raise DockerfileError(
                error.message, span=flag.value_span, source=self.source, hint=error.hint
            ) from error

    def _base(self, name: int | str, word: Word, platform: Platform) -> Base:
        if isinstance(name, int):
            return StageBase(name)
        named = self.contexts.find(name, str(platform))
        if named is not None:
            given, kind = named
            if not kind.startswith(IMAGE):
                return ContextBase(given)
            name = kind.removeprefix(IMAGE)
        if name == SCRATCH_NAME:
            return ScratchBase()
        try:
            reference = Reference.parse(name).canonical()
        except ReferenceInvalid as error:
            stages = self.outlines.names
            raise no_reference(error, name, word, stages, self.arguments, self.expander) from error
        key = (reference, str(platform))
        if key not in self.images:
            self.images[key] = ImageNeeded(
                reference=reference, platform=key[1], span=word.span, short=short_name(name)
            )
        return ImageBase(self.images[key])
