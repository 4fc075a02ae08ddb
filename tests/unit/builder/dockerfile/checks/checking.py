"""Short ways to check a text in tests."""

from __future__ import annotations

from collections.abc import Mapping

from builder.diagnostics import Diagnostic, SourceFile
from builder.dockerfile.checks import read_checks
from builder.dockerfile.checks.survey import survey
from builder.dockerfile.checks.walk import Scene
from builder.dockerfile.ignore import IgnoreRules
from builder.dockerfile.parse import parse
from builder.oci.config import ContainerConfig, ImageConfig
from builder.oci.platform import Platform

AMD64 = Platform("linux", "amd64")


def check(
    text: str,
    *,
    build_args: Mapping[str, str] | None = None,
    ignore: str = "",
    bases: Mapping[int, ImageConfig] | None = None,
    wanted: frozenset[int] | None = None,
) -> tuple[Diagnostic, ...]:
    """Return all that is shown of a text, in the order of the file."""
    dockerfile = parse(SourceFile("Dockerfile", text))
    given = build_args or {}
    scene = Scene(
        dockerfile=dockerfile,
        build_args=given,
        host=AMD64,
        platform=AMD64,
        bases=bases or {},
        wanted=wanted,
        ignore=IgnoreRules.parse(ignore, ".dockerignore") if ignore else None,
    )
    checks = read_checks(dockerfile, given)
    return checks.shown((*dockerfile.warnings, *survey(scene, checks)))


def found(text: str, **options: object) -> list[str]:
    """Return `Rule: marked text` for each finding."""
    return [f"{each.code}: {marked(each)}" for each in check(text, **options)]  # type: ignore[arg-type]


def rules(text: str, **options: object) -> list[str]:
    """Return the rules of the findings."""
    return [each.code for each in check(text, **options)]  # type: ignore[arg-type]


def marked(warning: Diagnostic) -> str:
    """Return what is under the carets; an ellipsis stands for further lines."""
    assert warning.span is not None
    assert warning.source is not None
    span = warning.span
    line = warning.source.text.split("\n")[span.line - 1]
    if span.line != span.end_line:
        return line[span.column - 1 :] + "…"
    return line[span.column - 1 : span.end_column - 1]


def image(
    *env: str, architecture: str = "amd64", shell: tuple[str, ...] | None = None
) -> ImageConfig:
    """Return a base image's configuration."""
    return ImageConfig(
        architecture=architecture, os="linux", config=ContainerConfig(env=env, shell=shell)
    )
