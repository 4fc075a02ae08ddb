"""Planning with the base images at hand: their ONBUILD triggers may need further stages and images.

`prospect` does it with those that are here, and finds as many mistakes as can be found without the others, so
that nobody waits for an image of a file that cannot be built.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from builder.dockerfile.instructions import Dockerfile
from builder.dockerfile.lower import look_further
from builder.dockerfile.mistakes import Mistakes
from builder.dockerfile.parse import Reading
from builder.dockerfile.stages import BuildPlan, ImageNeeded, PlanRequest, plan, plan_as_far
from builder.errors import DockerfileError
from builder.oci.config import ImageConfig
from builder.oci.reference import DEFAULT_TAG, Reference

Configurations = dict[ImageNeeded, ImageConfig]

_MOST_SUSPECTED = 50
"""Images of which the names are compared with those of stages."""


def plan_with_bases(
    dockerfile: Dockerfile,
    request: PlanRequest,
    configuration: Callable[[ImageNeeded, BuildPlan], ImageConfig],
) -> tuple[BuildPlan, Configurations]:
    """Return the plan, and the configuration of each of its images.

    `configuration` is asked once for each image; it is given the plan that needs it first.

    Raises: DockerfileError, ReferenceInvalid, UsageError: see `stages.plan`; whatever `configuration` raises.
    """
    found: dict[tuple[str, str], ImageConfig] = {}
    while True:
        on_build = {key: config.config.on_build for key, config in found.items()}
        planned = plan(dockerfile, request, on_build)
        new = [image for image in planned.images if _key(image) not in found]
        if not new:
            return planned, {image: found[_key(image)] for image in planned.images}
        for image in new:
            found[_key(image)] = configuration(image, planned)
        if not any(found[_key(image)].config.on_build for image in new):
            return planned, {image: found[_key(image)] for image in planned.images}


class Prospect(msgspec.Struct, frozen=True, kw_only=True):
    """A plan, as far as there is one, with the images that are here; `complete` when these are all."""

    plan: BuildPlan | None
    bases: Configurations
    mistakes: Mistakes
    complete: bool


def prospect(
    reading: Reading, request: PlanRequest, known: Callable[[ImageNeeded], ImageConfig | None]
) -> Prospect:
    """Plan with the images that `known` has, and collect the mistakes of reading, planning and lowering.

    Lowering is looked at only where there may be something to find now: a complete plan without mistakes will
    be lowered anyway.

    Raises: ReferenceInvalid: a platform of the request is none; whatever `known` raises.
    """
    if reading.dockerfile is None:
        return Prospect(plan=None, bases={}, mistakes=reading.mistakes, complete=False)
    found: dict[tuple[str, str], ImageConfig | None] = {}
    while True:
        on_build = {key: each.config.on_build for key, each in found.items() if each is not None}
        mistakes = Mistakes(reading.mistakes.told())
        planned = plan_as_far(reading.dockerfile, request, on_build, mistakes)
        if planned is None:
            return Prospect(plan=None, bases={}, mistakes=mistakes, complete=False)
        new = [image for image in planned.images if _key(image) not in found]
        found.update({_key(image): known(image) for image in new})
        if not any(
            each is not None and each.config.on_build for each in map(found.get, map(_key, new))
        ):
            break
    pairs = [(image, found[_key(image)]) for image in planned.images]
    bases = {image: config for image, config in pairs if config is not None}
    complete = len(bases) == len(pairs)
    if mistakes or not complete:
        look_further(planned, bases, mistakes)
    if mistakes:
        _suspect(planned, bases, mistakes)
    return Prospect(plan=planned, bases=bases, mistakes=mistakes, complete=complete)


def _suspect(plan: BuildPlan, bases: Configurations, mistakes: Mistakes) -> None:
    """Add the names that are likely those of stages, misspelt: nobody asks a registry for them now."""
    for image in plan.images[:_MOST_SUSPECTED]:
        reference = Reference.parse(image.reference)
        written = reference.familiar_name
        if image in bases or "/" in written or reference.tag != DEFAULT_TAG:
            continue
        near = plan.near_stage(image.reference)
        if near is not None and not mistakes.within(image.span):
            mistakes.add(
                DockerfileError(
                    f"`{written}` is no stage, and no image of that name is here",
                    code="dockerfile.unknown-stage",
                    span=image.span,
                    source=plan.dockerfile.source,
                    hint=f"did you mean the stage `{near}`?",
                )
            )


def _key(image: ImageNeeded) -> tuple[str, str]:
    return (image.reference, image.platform)
