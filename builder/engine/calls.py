"""What can be asked of a Dockerfile without building it: its checks, its parameters, its targets.

Nothing is executed and nothing pulled: what base images set is known where they are in the store.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable

import msgspec

from builder.diagnostics import Diagnostic, SourceFile
from builder.dockerfile.bases import Configurations, plan_with_bases
from builder.dockerfile.checks import NOT_A_RULE, Checks, read_checks
from builder.dockerfile.checks.options import ChecksFailed
from builder.dockerfile.checks.planned import triggers_of
from builder.dockerfile.checks.survey import survey
from builder.dockerfile.checks.walk import Scene, expand, global_arguments, stage_texts
from builder.dockerfile.ignore import IgnoreRules
from builder.dockerfile.instructions import Dockerfile, Instruction
from builder.dockerfile.lower import lower
from builder.dockerfile.parameters import Parameters, parameters
from builder.dockerfile.parse import parse, read
from builder.dockerfile.printing import last_line
from builder.dockerfile.stages import BuildPlan, ImageNeeded, PlanRequest
from builder.dockerfile.targets import Target, targets
from builder.engine.requests import CallRequest
from builder.engine.texts import context_of, dockerfile_of
from builder.errors import (
    ContextError,
    DockerfileError,
    DockerfileErrors,
    LapstrakeError,
    ReferenceInvalid,
)
from builder.oci.config import ImageConfig
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.solve.context import LocalContext

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


def call(request: CallRequest, config_of: ConfigOf) -> CallResult:
    """Answer a request.

    Raises: LapstrakeError: there is no such context or Dockerfile; for anything but checks also what is wrong
        with it, which checks answer with.
    """
    root = os.path.abspath(request.context)
    if not os.path.isdir(root):
        raise ContextError(
            f"the build context `{request.context}` is not a directory",
            code="context.not-found",
            hint="name the directory that COPY takes files from, often `.`",
        )
    source = dockerfile_of(root, request.dockerfile)
    if request.method == "check":
        return _Check(request, source, context_of(root, request.dockerfile), config_of).run()
    dockerfile = parse(source)
    if request.method == "targets":
        return Listed(source=source, targets=targets(dockerfile))
    return Outlined(source=source, parameters=parameters(_scene(request, dockerfile)))


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
        self, request: CallRequest, source: SourceFile, context: LocalContext, config_of: ConfigOf
    ) -> None:
        self.request = request
        self.source = source
        self.context = context
        self.config_of = config_of
        self.errors: list[LapstrakeError] = []
        self.complete = True
        """Whether every image that the plan names is here."""

    def run(self) -> Checked:
        reading = read(self.source)
        self.errors += reading.errors
        if reading.dockerfile is None:
            return self._answer((), (), ())
        dockerfile = reading.dockerfile
        checks = self._checks(dockerfile)
        planned = None if reading.errors else self._plan(dockerfile)
        scene = self._scene(dockerfile, planned[0] if planned is not None else None)
        found = (*dockerfile.warnings, *survey(scene, checks))
        remarks: tuple[Diagnostic, ...] = ()
        if planned is not None:
            self._lower(*planned)
            remarks = tuple(each for each in planned[0].warnings if each.code in NOT_A_RULE)
        try:
            shown = checks.shown(found)
        except ChecksFailed as failed:
            shown = failed.warnings
            self.errors.append(failed)
        return self._answer(dockerfile.instructions, shown, remarks)

    def _checks(self, dockerfile: Dockerfile) -> Checks:
        try:
            return read_checks(dockerfile, dict(self.request.build_args))
        except LapstrakeError as error:
            self.errors.append(error)
            return Checks()

    def _plan(self, dockerfile: Dockerfile) -> tuple[BuildPlan, Configurations] | None:
        """Plan with the base images that are here, their triggers included; one that is not counts as empty."""
        request = PlanRequest(
            target=self.request.target,
            build_args=self.request.build_args,
            host_platform=str(Platform.host()),
            target_platform=self.request.platform or "",
            ignore=self.context.ignore,
            ignore_name=self.context.ignore_name,
        )
        try:
            return plan_with_bases(dockerfile, request, self._configuration)
        except LapstrakeError as error:
            self._take(error)
            return None

    def _configuration(self, image: ImageNeeded, _plan: BuildPlan) -> ImageConfig:
        platform = Platform.parse(image.platform)
        config = self._local(image.reference, platform)
        if config is None:
            self.complete = False
        return config or ImageConfig(architecture=platform.architecture, os=platform.os)

    def _take(self, error: LapstrakeError) -> None:
        """Remember an error, or each of several, once."""
        each = error.errors if isinstance(error, DockerfileErrors) else (error,)
        known = {(one.code, one.span, one.message) for one in self.errors}
        self.errors += [one for one in each if (one.code, one.span, one.message) not in known]

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
            self.errors.append(error)
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

    def _lower(self, planned: BuildPlan, bases: Configurations) -> None:
        """Look for what only lowering finds."""
        silent = msgspec.structs.replace(planned, checks=Checks(skip_all=True))
        try:
            lower(silent, bases)
        except DockerfileError as error:
            # A variable that is missing may be one that an image sets.
            if self.complete or error.code != "dockerfile.bad-expansion":
                self._take(error)
        except LapstrakeError as error:
            self._take(error)

    def _answer(
        self,
        instructions: tuple[Instruction, ...],
        warnings: tuple[Diagnostic, ...],
        remarks: tuple[Diagnostic, ...],
    ) -> Checked:
        located = [error.located(error.span, self.source) for error in self.errors]
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
