"""Planning with the base images at hand: their ONBUILD triggers may need further stages and images."""

from __future__ import annotations

from collections.abc import Callable

from builder.dockerfile.instructions import Dockerfile
from builder.dockerfile.stages import BuildPlan, ImageNeeded, PlanRequest, plan
from builder.oci.config import ImageConfig

Configurations = dict[ImageNeeded, ImageConfig]


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


def _key(image: ImageNeeded) -> tuple[str, str]:
    return (image.reference, image.platform)
