"""Short ways to read, plan and lower a Dockerfile in tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from builder.diagnostics import SourceFile
from builder.dockerfile.bases import plan_with_bases
from builder.dockerfile.instructions import Dockerfile, Instruction
from builder.dockerfile.lower import Lowered, lower
from builder.dockerfile.parse import parse
from builder.dockerfile.split import SplitInstruction
from builder.dockerfile.stages import BuildPlan, PlanRequest, plan
from builder.errors import LapstrakeError
from builder.oci.config import ImageConfig

HOST = "linux/amd64"
BASE = ImageConfig(architecture="amd64", os="linux")

_Kind = TypeVar("_Kind")


def no_split(_text: str) -> tuple[SplitInstruction, ...]:
    """Leave all the splitting to our own reader."""
    return ()


def read(text: str) -> Dockerfile:
    """Parse a text."""
    return parse(SourceFile("Dockerfile", text), split=no_split)


def only(kind: type[_Kind], text: str) -> _Kind:
    """Return the only instruction after `FROM scratch`."""
    found: tuple[Instruction, ...] = read("FROM scratch\n" + text).instructions
    assert len(found) == 2
    assert isinstance(found[1], kind)
    return found[1]


def planned(
    text: str,
    *,
    target: str | None = None,
    build_args: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    platform: str = "",
    contexts: dict[str, str] | None = None,
) -> BuildPlan:
    """Plan a text."""
    return plan(read(text), _request(target, build_args, labels, platform, contexts))


def _request(
    target: str | None,
    build_args: dict[str, str] | None,
    labels: dict[str, str] | None,
    platform: str,
    contexts: dict[str, str] | None,
) -> PlanRequest:
    return PlanRequest(
        target=target,
        build_args=tuple((build_args or {}).items()),
        labels=tuple((labels or {}).items()),
        host_platform=HOST,
        target_platform=platform,
        contexts=tuple((contexts or {}).items()),
    )


def lowered(
    text: str,
    *,
    base: ImageConfig = BASE,
    target: str | None = None,
    build_args: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    platform: str = "",
    contexts: dict[str, str] | None = None,
    others: ImageConfig = BASE,
) -> Lowered:
    """Lower a text; the image `base` has the configuration of that name, others have `others`.

    Where `others` is not given, all images have the configuration `base`.
    """
    plain = base if others is BASE else others
    found, configs = plan_with_bases(
        read(text),
        _request(target, build_args, labels, platform, contexts),
        lambda image, _: base if "/base:" in image.reference else plain,
    )
    return lower(found, configs)


def error_of(action: Callable[..., object], text: str, **options: object) -> LapstrakeError:
    """Return the error that an action ends with."""
    with pytest.raises(LapstrakeError) as caught:
        action(text, **options)
    return caught.value


def marked(error: LapstrakeError) -> str:
    """Return the text under the error's carets."""
    assert error.span is not None
    assert error.source is not None
    lines = error.source.text.removeprefix("\ufeff").split("\n")
    span = error.span
    if span.line == span.end_line:
        return lines[span.line - 1][span.column - 1 : span.end_column - 1]
    return lines[span.line - 1][span.column - 1 :] + "…"
