"""What can be asked of a Dockerfile without building it: its checks, its parameters, its targets.

Nothing is executed and nothing pulled: what base images set is known where they are in the store.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

import msgspec

from builder.diagnostics import Diagnostic, SourceFile
from builder.dockerfile.bases import prospect
from builder.dockerfile.checks import NOT_A_RULE, Checks, read_checks
from builder.dockerfile.checks.options import ChecksFailed
from builder.dockerfile.checks.planned import triggers_of
from builder.dockerfile.checks.survey import survey
from builder.dockerfile.checks.walk import Scene, expand, global_arguments, stage_texts
from builder.dockerfile.ignore import IgnoreRules
from builder.dockerfile.instructions import Dockerfile, From, Instruction
from builder.dockerfile.lower import look_further
from builder.dockerfile.mistakes import Mistakes
from builder.dockerfile.parameters import Parameters, parameters
from builder.dockerfile.parse import parse, read
from builder.dockerfile.printing import last_line
from builder.dockerfile.stages import BuildPlan, ImageNeeded, PlanRequest
from builder.dockerfile.targets import Target, targets
from builder.engine.contexts import Beginning
from builder.engine.requests import CallRequest
from builder.errors import (
    ContextError,
    DockerfileError,
    LapstrakeError,
    ReferenceInvalid,
)
from builder.oci.config import ImageConfig
from builder.oci.platform import Platform
from builder.oci.reference import Reference

ConfigOf = Callable[[str, Platform], "ImageConfig | None"]
"""Returns the configuration of an image of the store, by canonical reference and platform."""


class Found(msgspec.Struct, frozen=True):
    """A warning or error, and the lines of the instruction that it is about; 0 where it is about none."""

    diagnostic: Diagnostic
    first_line: int
    last_line: int


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be said of a Dockerfile: findings of the checks, what would end the build, and other remarks."""

    source: SourceFile
    warnings: tuple[Found, ...]
    errors: tuple[Found, ...]
    remarks: tuple[Diagnostic, ...]


class Outlined(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of a target."""

    source: SourceFile
    parameters: Parameters


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """The targets of a Dockerfile."""

    source: SourceFile
    targets: tuple[Target, ...]


CallResult = Checked | Outlined | Listed


def call(
    request: CallRequest,
    beginning: Beginning,
    config_of: ConfigOf,
    contexts: tuple[tuple[str, str], ...] = (),
) -> CallResult:
    """Answer a request about the Dockerfile of `beginning`; `contexts` are the kinds of named contexts.

    Raises: LapstrakeError: for anything but checks, what is wrong with the Dockerfile, which checks answer with.
    """
    source = beginning.source
    if request.method == "check":
        return _Check(request, beginning, contexts, config_of).run()
    try:
        dockerfile = parse(source)
        if request.method == "targets":
            return Listed(source=source, targets=targets(dockerfile))
        return Outlined(source=source, parameters=parameters(_scene(request, dockerfile)))
    except DockerfileError as error:
        raise error.located(error.span, source) from error


def _scene(request: CallRequest, dockerfile: Dockerfile) -> Scene:
    host = Platform.host()
    return Scene(
        dockerfile=dockerfile,
        build_args=dict(request.build_args),
        host=host,
        platform=Platform.parse(request.platform) if request.platform else host,
        target=request.target,
    )


class _Check:
    """One check: everything that is wrong is collected, in the order in which a build would meet it."""

    def __init__(
        self,
        request: CallRequest,
        beginning: Beginning,
        contexts: tuple[tuple[str, str], ...],
        config_of: ConfigOf,
    ) -> None:
        self.request = request
        self.source = beginning.source
        self.context = beginning.context
        self.contexts = contexts
        self.config_of = config_of
        self.mistakes = Mistakes()

    def run(self) -> Checked:
        reading = read(self.source)
        found = prospect(reading, self._plan_request(), self._configuration)
        self.mistakes = found.mistakes
        dockerfile = reading.dockerfile
        if dockerfile is None:
            return self._answer((), (), ())
        if found.plan is not None and found.complete:
            look_further(found.plan, found.bases, self.mistakes)
        checks = self._checks(dockerfile)
        scene = self._scene(dockerfile, found.plan)
        warnings = self._worth_telling(dockerfile, (*dockerfile.warnings, *survey(scene, checks)))
        remarks: tuple[Diagnostic, ...] = ()
        if found.plan is not None:
            remarks = tuple(each for each in found.plan.warnings if each.code in NOT_A_RULE)
        try:
            shown = checks.shown(warnings)
        except ChecksFailed as failed:
            shown = failed.warnings
            self.mistakes.add(failed)
        return self._answer(dockerfile.instructions, shown, remarks)

    def _worth_telling(
        self, dockerfile: Dockerfile, warnings: tuple[Diagnostic, ...]
    ) -> tuple[Diagnostic, ...]:
        """Return the warnings about what will still be there once the errors are mended."""
        broken = {hole.line for hole in dockerfile.holes}
        wrong = {error.span for error in self.mistakes.told() if error.span is not None}
        # What triggers of a base do stands there too, and is another matter.
        heads = {each.image.span for each in dockerfile.instructions if isinstance(each, From)}
        kept = []
        for each in warnings:
            of_trigger = each.span in heads and "From" not in each.code
            line = 0 if each.span is None else each.span.line
            if of_trigger or not (line in broken or each.span in wrong):
                kept.append(each)
        return tuple(kept)

    def _checks(self, dockerfile: Dockerfile) -> Checks:
        try:
            return read_checks(dockerfile, dict(self.request.build_args))
        except LapstrakeError as error:
            self.mistakes.add(error)
            return Checks()

    def _plan_request(self) -> PlanRequest:
        """Return the request of a build; without a target all stages are looked at."""
        return PlanRequest(
            target=self.request.target,
            all_stages=not self.request.target,
            build_args=self.request.build_args,
            host_platform=str(Platform.host()),
            target_platform=self.request.platform or "",
            ignore=self.context.ignore,
            ignore_name=self.context.ignore_name,
            contexts=self.contexts,
        )

    def _configuration(self, image: ImageNeeded) -> ImageConfig | None:
        return self._local(image.reference, Platform.parse(image.platform))

    def _scene(self, dockerfile: Dockerfile, planned: BuildPlan | None) -> Scene:
        scene = _scene(self.request, dockerfile)
        wanted = None
        if planned is not None and self.request.target:
            wanted = frozenset(stage.index for stage in planned.stages)
        return msgspec.structs.replace(
            scene,
            bases=self._bases(scene),
            triggers=triggers_of(planned) if planned is not None else {},
            wanted=wanted,
            ignore=self._ignore(),
        )

    def _ignore(self) -> IgnoreRules | None:
        if not self.context.ignore:
            return None
        try:
            return IgnoreRules.parse(self.context.ignore, self.context.ignore_name)
        except ContextError as error:
            self.mistakes.add(error)
            return None

    def _bases(self, scene: Scene) -> dict[int, ImageConfig]:
        """Return the configurations of base images that are in the store, of all stages."""
        arguments = global_arguments(scene, scene.build_args)
        escape = scene.dockerfile.directives.escape
        found: dict[int, ImageConfig] = {}
        names: set[str] = {"scratch"}
        for stage in stage_texts(scene.dockerfile):
            name = expand(stage.head.image, arguments.get, escape).value
            config = self._local(name, scene.platform) if name and name not in names else None
            if config is not None:
                found[stage.index] = config
            if stage.head.name is not None:
                names.add(stage.head.name.text)
        return found

    def _local(self, name: str, platform: Platform) -> ImageConfig | None:
        try:
            return self.config_of(Reference.parse(name).canonical(), platform)
        except ReferenceInvalid:
            return None

    def _answer(
        self,
        instructions: tuple[Instruction, ...],
        warnings: tuple[Diagnostic, ...],
        remarks: tuple[Diagnostic, ...],
    ) -> Checked:
        located = [error.located(error.span, self.source) for error in self.mistakes.told()]
        return Checked(
            source=self.source,
            warnings=_placed(instructions, warnings),
            errors=_placed(instructions, tuple(error.diagnostic() for error in located)),
            remarks=remarks,
        )


def _placed(
    instructions: tuple[Instruction, ...], diagnostics: tuple[Diagnostic, ...]
) -> tuple[Found, ...]:
    starts = [instruction.span.line for instruction in instructions]
    found = []
    for each in diagnostics:
        if each.span is None:
            found.append(Found(each, 0, 0))
            continue
        first, last = each.span.line, each.span.end_line
        at = bisect_right(starts, first) - 1
        end = last_line(instructions[at]) if at >= 0 else 0
        if first <= end:
            first, last = instructions[at].span.line, max(last, end)
            if each.code == "NoEmptyContinuation":
                # BuildKit names the line where the instruction ends, and its tools look there.
                first = last = instructions[at].span.end_line
        found.append(Found(each, first, last))
    return tuple(found)
