"""The configuration that `--change` asks for, by instructions as a Dockerfile has them."""

from __future__ import annotations

import msgspec

from builder.diagnostics import SourceFile
from builder.dockerfile.instructions import From, OnBuild
from builder.dockerfile.lower import lower
from builder.dockerfile.parse import parse
from builder.dockerfile.stages import PlanRequest, plan
from builder.errors import UsageError
from builder.oci.config import ImageConfig
from builder.oci.platform import Platform

ALLOWED = (
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "ONBUILD",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
)


def configured(changes: tuple[str, ...], platform: Platform) -> ImageConfig:
    """Return the configuration of an image for `platform` without layers, after the changes.

    Raises: UsageError: an instruction does more than change the configuration.
        DockerfileError: one is malformed.
    """
    text = "\n".join(["FROM scratch", *changes, ""])
    dockerfile = parse(SourceFile("--change", text))
    first, *rest = dockerfile.instructions
    for instruction in rest:
        keyword = instruction.keyword.text.upper()
        if isinstance(instruction, From) or keyword not in ALLOWED:
            raise UsageError(
                f"`{keyword}` cannot be a change of an image",
                hint=f"use one of {', '.join(ALLOWED)}",
            )
    triggers = tuple(each.expression for each in rest if isinstance(each, OnBuild))
    others = tuple(each for each in rest if not isinstance(each, OnBuild))
    dockerfile = msgspec.structs.replace(dockerfile, instructions=(first, *others))
    config = lower(plan(dockerfile, PlanRequest(host_platform=str(platform))), {}).config
    inner = msgspec.structs.replace(config.config, on_build=triggers)
    return msgspec.structs.replace(config, config=inner)
