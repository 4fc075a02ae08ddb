"""All rules over one file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from builder.diagnostics import Diagnostic
from builder.dockerfile import triggers
from builder.dockerfile.checks import (
    advice,
    commands,
    descriptions,
    heads,
    names,
    ports,
    sources,
    values,
)
from builder.dockerfile.checks.finding import Finding
from builder.dockerfile.checks.options import Checks
from builder.dockerfile.checks.walk import Moment, Scene, global_arguments, stage_texts, walk
from builder.dockerfile.instructions import (
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    Label,
    Run,
    StopSignal,
    User,
    Volume,
    Workdir,
)

_MomentRule = Callable[[Moment], Iterable[Finding]]

_ADVICE = (advice.updates_alone, advice.changes_of_copies)
"""Rules about what the author of a file could write otherwise, so not about triggers."""

_UNDEFINED = values.undefined_variables
_OF_INSTRUCTION: Mapping[type[Instruction], tuple[_MomentRule, ...]] = {
    Add: (_UNDEFINED, sources.ignored_sources, sources.flags_for_other_sources),
    Arg: (_UNDEFINED, values.secret_names),
    Cmd: (commands.repeated, commands.shell_forms),
    Copy: (_UNDEFINED, sources.ignored_sources),
    Entrypoint: (commands.repeated, commands.shell_forms),
    Env: (_UNDEFINED, values.legacy_pairs, values.secret_names),
    Expose: (ports.exposed,),
    Healthcheck: (commands.repeated,),
    Label: (_UNDEFINED, values.legacy_pairs),
    Run: (_UNDEFINED, advice.updates_alone, advice.changes_of_copies),
    StopSignal: (_UNDEFINED,),
    User: (_UNDEFINED,),
    Volume: (_UNDEFINED,),
    Workdir: (_UNDEFINED, values.relative_directory),
}


def survey(scene: Scene, checks: Checks) -> tuple[Diagnostic, ...]:
    """Return what the rules find, less what `checks` or a comment above an instruction silences.

    Rules about the text look at every stage, those about what it does at the stages wanted. What the reader
    of lines has found (NoEmptyContinuation) is in the Dockerfile's own warnings. Nothing is raised: a mistake
    that ends the build is told by those who build.
    """
    shown = (
        finding.diagnostic(scene.source)
        for finding in _findings(scene)
        if _judging(checks, finding).shows(finding.rule)
    )
    return tuple(shown)


def _judging(checks: Checks, finding: Finding) -> Checks:
    return checks.above(finding.comments) if finding.comments else checks


def _findings(scene: Scene) -> Iterable[Finding]:
    stages = stage_texts(scene.dockerfile)
    arguments = global_arguments(scene, scene.build_args)
    yield from commands.maintainers(scene)
    yield from descriptions.descriptions(scene)
    yield from names.stage_names(scene, stages)
    yield from names.keyword_casing(scene, stages)
    yield from heads.default_bases(scene, stages)
    yield from heads.bases(scene, stages, arguments)
    yield from advice.comments_of_ours(scene)
    yield from advice.broad_arguments(scene, stages)
    for moment in walk(scene, stages, arguments):
        for rule in _OF_INSTRUCTION.get(type(moment.instruction), ()):
            if not moment.is_trigger:
                yield from rule(moment)
            elif rule not in _ADVICE:
                for finding in rule(moment):
                    yield _of_trigger(finding, scene, moment)


def _of_trigger(finding: Finding, scene: Scene, moment: Moment) -> Finding:
    """Place what is found in a trigger where it comes from: at the FROM, which brings it in."""
    head = stage_texts(scene.dockerfile)[moment.stage].head
    return msgspec.structs.replace(
        finding,
        span=head.image.span,
        notes=(*finding.notes, triggers.named(moment.instruction)),
        comments=(),
    )
