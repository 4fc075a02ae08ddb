"""Rules about FROM: its arguments and its platform."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

from builder.dockerfile import suggest
from builder.dockerfile.checks.finding import Finding
from builder.dockerfile.checks.walk import (
    Expanded,
    Scene,
    StageText,
    declared_globally,
    expand,
    global_arguments,
)
from builder.dockerfile.instructions import Arg, Flag
from builder.dockerfile.mistakes import unsure_lines
from builder.errors import ReferenceInvalid
from builder.oci.platform import Platform
from builder.oci.reference import Reference


def bases(
    scene: Scene, stages: tuple[StageText, ...], arguments: Mapping[str, str]
) -> Iterator[Finding]:
    """UndefinedArgInFrom, RedundantTargetPlatform, FromPlatformFlagConstDisallowed, InvalidBaseImagePlatform."""
    escape = scene.dockerfile.directives.escape
    declared = declared_globally(scene.dockerfile) | set(arguments)
    unsure_from, _ = unsure_lines(scene.dockerfile)
    for stage in stages:
        head = stage.head
        if head.span.line >= unsure_from:
            continue
        image = expand(head.image, arguments.get, escape)
        yield from _undefined(image, declared, stage)
        platform = scene.platform
        if head.platform is not None:
            given = expand(head.platform.word, arguments.get, escape)
            yield from _undefined(given, declared, stage)
            yield from _platform_flag(head.platform, given, arguments, stage)
            platform = _parsed(given.value) or platform
        if scene.wanted is None or stage.index in scene.wanted:
            yield from _image_platform(scene, stage, platform)


def _undefined(found: Expanded, declared: Set[str], stage: StageText) -> Iterator[Finding]:
    for name in found.unknown:
        if name not in declared:
            yield Finding(
                rule="UndefinedArgInFrom",
                span=found.word.span,
                message=f"FROM uses the argument `{name}`, which is not declared before it",
                notes=("FROM sees only the ARGs above the first FROM",),
                hint=suggest.hint(name, declared) or f"add `ARG {name}` above the first FROM",
                comments=stage.head.comments,
            )


def _platform_flag(
    flag: Flag, given: Expanded, arguments: Mapping[str, str], stage: StageText
) -> Iterator[Finding]:
    if given.known == ("TARGETPLATFORM",) and not given.unknown:
        if given.value == arguments.get("TARGETPLATFORM"):
            yield Finding(
                rule="RedundantTargetPlatform",
                span=flag.span,
                message=f"`{flag.value}` is the platform of FROM anyway",
                hint="leave `--platform` out",
                comments=stage.head.comments,
            )
        return
    platform = None if given.known or given.unknown else _parsed(given.value)
    if platform is None:
        return
    name = stage.head.name.text if stage.head.name is not None else ""
    # A stage that says in its name which platform it is for means it.
    if platform.os not in name and platform.architecture not in name:
        yield Finding(
            rule="FromPlatformFlagConstDisallowed",
            span=flag.span,
            message=f"the platform `{given.value}` is fixed, so the image can be built for no other",
            hint="use `$BUILDPLATFORM` or `$TARGETPLATFORM`, or leave `--platform` out",
            comments=stage.head.comments,
        )


def _parsed(text: str | None) -> Platform | None:
    try:
        return Platform.parse(text) if text else None
    except ReferenceInvalid:
        return None


def _image_platform(scene: Scene, stage: StageText, wanted: Platform) -> Iterator[Finding]:
    config = scene.bases.get(stage.index)
    if config is None or (config.os, config.architecture) == (wanted.os, wanted.architecture):
        return
    actual = Platform.of(config.os, config.architecture, config.variant)
    yield Finding(
        rule="InvalidBaseImagePlatform",
        span=stage.head.image.span,
        message=f"the image `{stage.head.image.text}` is for `{actual}`, this build for `{wanted}`",
        hint="name an image for that platform, build for another with `--platform`, or ask for a newer one with `--pull`",
        comments=stage.head.comments,
    )


def _defaults_expand(scene: Scene, arguments: Mapping[str, str]) -> bool:
    """Tell whether the defaults of all global arguments can be expanded."""
    for instruction in scene.dockerfile.instructions:
        if not isinstance(instruction, Arg):
            break
        for argument in instruction.arguments:
            word = argument.default
            escape = scene.dockerfile.directives.escape
            if word is not None and expand(word, arguments.get, escape).value is None:
                return False
    return True


def default_bases(scene: Scene, stages: tuple[StageText, ...]) -> Iterator[Finding]:
    """InvalidDefaultArgInFrom: what FROM comes to when no build argument is given."""
    arguments = global_arguments(scene, {})
    escape = scene.dockerfile.directives.escape
    unsure_from, _ = unsure_lines(scene.dockerfile)
    if not _defaults_expand(scene, arguments):
        return
    for stage in stages:
        if stage.head.span.line >= unsure_from:
            return
        image = expand(stage.head.image, arguments.get, escape)
        if image.value is None:
            return  # this ends the build with a better message
        try:
            Reference.parse(image.value)
        except ReferenceInvalid:
            if not (image.known or image.unknown):
                continue  # no argument is to blame, and the build says what is
            result = f"`{image.value}`" if image.value else "nothing"
            yield Finding(
                rule="InvalidDefaultArgInFrom",
                span=stage.head.image.span,
                message=f"without build arguments, `{stage.head.image.text}` comes to {result}, "
                "which is no image",
                hint="give the ARG a default, or write one as `${NAME:-DEFAULT}`",
                comments=stage.head.comments,
            )
