"""The checks of a build that is planned: everything is known, also what the base images set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from builder.diagnostics import Diagnostic
from builder.dockerfile.checks.survey import survey
from builder.dockerfile.checks.walk import Scene
from builder.dockerfile.ignore import IgnoreRules
from builder.dockerfile.instructions import Instruction
from builder.errors import ContextError
from builder.oci.config import ImageConfig
from builder.oci.platform import Platform

if TYPE_CHECKING:
    from builder.dockerfile.stages import BuildPlan, ImageNeeded, PlanRequest


def survey_plan(
    plan: BuildPlan, bases: Mapping[ImageNeeded, ImageConfig]
) -> tuple[Diagnostic, ...]:
    """Return what the rules find in a plan: stages that the target does not need are read, not looked into."""
    from builder.dockerfile.stages import ImageBase

    known = {
        stage.index: bases[stage.base.image]
        for stage in plan.stages
        if isinstance(stage.base, ImageBase) and stage.base.image in bases
    }
    host = Platform.parse(plan.request.host_platform)
    scene = Scene(
        dockerfile=plan.dockerfile,
        build_args=dict(plan.request.build_args),
        host=host,
        platform=Platform.parse(plan.request.target_platform)
        if plan.request.target_platform
        else host,
        target=plan.request.target,
        bases=known,
        triggers=triggers_of(plan),
        wanted=frozenset(stage.index for stage in plan.stages),
        ignore=ignore_rules(plan.request),
    )
    return survey(scene, plan.checks)


def triggers_of(plan: BuildPlan) -> dict[int, tuple[Instruction, ...]]:
    """Return the ONBUILD instructions of others that run first in the stages of a plan."""
    return {
        stage.index: stage.instructions[: stage.triggered]
        for stage in plan.stages
        if stage.triggered
    }


def ignore_rules(request: PlanRequest) -> IgnoreRules | None:
    """Return the rules of the context's ignore file, None where there is none or it is malformed."""
    if not request.ignore:
        return None
    try:
        return IgnoreRules.parse(request.ignore, request.ignore_name)
    except ContextError:
        return None  # told when the context is read
