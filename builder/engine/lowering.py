"""From a request and a Dockerfile to what is to be executed; remembered by everything that it depends on.

A build whose Dockerfile, arguments and base images are those of an earlier one needs neither the language
nor its library: the graph is read from the store. What is remembered is keyed by the code as well.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from builder.diagnostics import Diagnostic, SourceFile, Span
from builder.graph.keys import framed_digest
from builder.graph.vertex import Graph
from builder.oci.config import ImageConfig
from builder.store.cache import CacheIndex

if TYPE_CHECKING:
    from builder.dockerfile.moments import MomentNeeded
    from builder.dockerfile.stages import PlanRequest
    from builder.graph.operations import GitSource, HttpSource


class Needed(msgspec.Struct, frozen=True, array_like=True):
    """An image that the Dockerfile names: canonical reference, platform, where it stands, and `ImageNeeded.short`."""

    reference: str
    platform: str
    span: Span
    short: str = ""


class Step(msgspec.Struct, frozen=True, array_like=True):
    """One line of the history to come; `vertex` is None where no layer belongs to it."""

    created_by: str
    vertex: int | None
    comment: str


class Plan(msgspec.Struct, frozen=True, array_like=True):
    """What is to be executed, and what the image says of itself; see `dockerfile.lower.Lowered`.

    `made` is when this was worked out, in seconds since the epoch: the time of an image without layers of its
    own, which has no records to take it from. `base` is the canonical reference of the image that it stands on.
    """

    graph: Graph
    config: ImageConfig
    history: tuple[Step, ...]
    warnings: tuple[Diagnostic, ...]
    epoch: int | None = None
    made: float = 0.0
    base: str | None = None


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """All that a plan depends on besides its base images."""

    source: SourceFile
    target: str | None
    build_args: tuple[tuple[str, str], ...]
    labels: tuple[tuple[str, str], ...]
    host_platform: str
    target_platform: str
    ignore: str = ""
    ignore_name: str = ""
    contexts: tuple[tuple[str, str], ...] = ()
    several: bool = False

    def digest(self) -> str:
        """Return the digest of the question and of the code that answers it: hex."""
        return framed_digest(
            (
                "plan/7",
                _code(),
                self.source.name,
                self.source.text.encode("utf-8", "surrogateescape"),
                self.target,
                self.build_args,
                self.labels,
                self.host_platform,
                self.target_platform,
                self.ignore.encode("utf-8", "surrogateescape"),
                self.ignore_name,
                self.contexts,
                self.several,
            )
        )


Found = tuple[str, ImageConfig]
"""The id and the configuration of an image."""

NearStage = Callable[[str], str | None]
"""Names the stage that a reference which cannot be found may have meant."""

Moment = Callable[[str, "HttpSource | GitSource | None"], "int | None"]
"""Takes the time of a build, in seconds, from a source of a stage, or else from a context by its name; None if it has none."""


def planned(
    question: Question,
    cache: CacheIndex,
    *,
    local: Callable[[Needed], Found | None],
    resolve: Callable[[Needed, NearStage, bool], Found],
    moment: Moment,
) -> Plan:
    """Return the plan, from memory if nothing it depends on has changed and every image is here.

    `local` looks an image up without asking anybody, `resolve` gets it from wherever it is; the latter is
    also told how to find a stage with a name near that of an image, and whether its files will be looked at.
    `moment` is asked for the time of the build where that is to be taken from somewhere.

    Raises: DockerfileError: see `dockerfile.parse`, `plan` and `lower`; whatever `resolve` raises.
    """
    plan = _remembered(question.digest(), cache, local)
    if plan is None:
        from builder.dockerfile.moments import MomentNeeded

        try:
            plan = _worked_out(question, cache, local, resolve)
        except MomentNeeded as needed:
            question = _with_moment(question, needed, moment)
            remembered = _remembered(question.digest(), cache, local)
            plan = remembered or _worked_out(question, cache, local, resolve)
    return _with_source(plan, question.source)


def _with_moment(question: Question, needed: MomentNeeded, moment: Moment) -> Question:
    """Return the question with the time of the build as a number, or as none."""
    from builder.dockerfile.moments import NAME

    op = _source_of(question, needed.text) if needed.stage else None
    seconds = moment(needed.text, op)
    others = [(name, value) for name, value in question.build_args if name != NAME]
    text = "" if seconds is None else str(seconds)
    return msgspec.structs.replace(question, build_args=(*others, (NAME, text)))


def _source_of(question: Question, stage: str) -> HttpSource | GitSource:
    """Return what a stage adds that is nothing but one ADD of something remote.

    Raises: DockerfileError: it adds something else, or cannot be understood.
    """
    from builder.dockerfile import moments
    from builder.dockerfile.lower import lower
    from builder.dockerfile.parse import read
    from builder.dockerfile.stages import plan
    from builder.graph.operations import GitSource, HttpSource

    dockerfile = read(question.source).dockerfile
    assert dockerfile is not None
    others = [(name, value) for name, value in question.build_args if name != moments.NAME]
    alone = msgspec.structs.replace(
        question, target=stage, build_args=(*others, (moments.NAME, ""))
    )
    planned = plan(dockerfile, _request(alone))
    if planned.images:
        raise moments.not_one_source(planned.target.head.span, dockerfile)
    graph = lower(planned, {}).graph
    ops = [each.op for each in graph.vertices if isinstance(each.op, HttpSource | GitSource)]
    if len(ops) != 1:
        raise moments.not_one_source(planned.target.head.span, dockerfile)
    return ops[0]


def _with_source(plan: Plan, source: SourceFile) -> Plan:
    """Put the text back into the warnings, which are remembered without it: each would hold all of it."""
    if not plan.warnings:
        return plan
    warnings = tuple(
        msgspec.structs.replace(each, source=source if each.span is not None else None)
        for each in plan.warnings
    )
    return msgspec.structs.replace(plan, warnings=warnings)


def _remembered(
    digest: str, cache: CacheIndex, local: Callable[[Needed], Found | None]
) -> Plan | None:
    needed = cache.parsed(digest)
    if needed is None:
        return None
    ids: list[str] = []
    for each in _NEEDED.decode(needed):
        found = local(each)
        if found is None:
            return None
        ids.append(found[0])
    plan = cache.parsed(framed_digest((digest, ids)))
    return None if plan is None else _PLAN.decode(plan)


def _worked_out(
    question: Question,
    cache: CacheIndex,
    local: Callable[[Needed], Found | None],
    resolve: Callable[[Needed, NearStage, bool], Found],
) -> Plan:
    from builder.dockerfile.bases import plan_with_bases, prospect
    from builder.dockerfile.lower import lower
    from builder.dockerfile.parse import read
    from builder.dockerfile.stages import BuildPlan, ImageNeeded

    ids: dict[Needed, str] = {}

    def known(image: ImageNeeded) -> ImageConfig | None:
        needed = Needed(image.reference, image.platform, image.span, image.short)
        found = local(needed)
        if found is None:
            return None
        ids[needed], config = found
        return config

    def configuration(image: ImageNeeded, plan: BuildPlan) -> ImageConfig:
        needed = Needed(image.reference, image.platform, image.span, image.short)
        ids[needed], config = resolve(needed, plan.near_stage, plan.works_on(image))
        return config

    reading = read(question.source)
    request = _request(question)
    # Before anything is pulled: mistakes that need no image to be found are told now, all of them.
    expected = prospect(reading, request, known)
    expected.mistakes.raise_any()
    stages, configs = expected.plan, expected.bases
    if stages is None or not expected.complete:
        assert reading.dockerfile is not None
        ids.clear()
        stages, configs = plan_with_bases(reading.dockerfile, request, configuration)
    lowered = lower(stages, configs)
    answer = Plan(
        lowered.graph,
        lowered.config,
        tuple(Step(each.created_by, each.vertex, each.comment) for each in lowered.history),
        tuple(msgspec.structs.replace(each, source=None) for each in lowered.warnings),
        lowered.epoch,
        time.time(),
        None if lowered.base is None else lowered.base.reference,
    )
    encode, digest = msgspec.msgpack.encode, question.digest()
    cache.remember_parsed(digest, encode(list(ids)))
    cache.remember_parsed(framed_digest((digest, list(ids.values()))), encode(answer))
    return answer


def _request(question: Question) -> PlanRequest:
    from builder.dockerfile.stages import PlanRequest

    return PlanRequest(
        target=question.target,
        build_args=question.build_args,
        host_platform=question.host_platform,
        target_platform=question.target_platform,
        labels=question.labels,
        ignore=question.ignore,
        ignore_name=question.ignore_name,
        contexts=question.contexts,
        moments=True,
        several=question.several,
    )


def _code() -> str:
    """Return what identifies the code that plans: names, sizes and times of its files."""
    from builder import dockerfile

    files: list[tuple[str, int, int]] = []
    [top] = dockerfile.__path__
    for directory in (top, os.path.join(top, "checks")):
        with os.scandir(directory) as entries:
            for entry in sorted(entries, key=lambda each: each.name):
                if entry.name.endswith(".py"):
                    status = entry.stat()
                    files.append((entry.name, status.st_size, status.st_mtime_ns))
    return framed_digest(files)


_NEEDED = msgspec.msgpack.Decoder(tuple[Needed, ...])
_PLAN = msgspec.msgpack.Decoder(Plan)
