"""Stages and the configurations of their base images to a build graph and the image's configuration.

Source: moby/buildkit, frontend/dockerfile/dockerfile2llb (behaviour, not code).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from builder.diagnostics import Diagnostic, Span
from builder.dockerfile import draft, remotes, scope, supported, triggers
from builder.dockerfile.checks.planned import survey_plan
from builder.dockerfile.configuration import Configurator, HistoryStep
from builder.dockerfile.copying import Fetched, transfer
from builder.dockerfile.draft import Draft
from builder.dockerfile.expansion import Expander, Malformed
from builder.dockerfile.instructions import Add, Arg, Copy, Env, Instruction, Run, Word, Workdir
from builder.dockerfile.mistakes import ALWAYS, NEVER, LimitPassed, Mistakes, uses_variables
from builder.dockerfile.mounting import NAMESPACE, Place, run_mounts, secret_variables
from builder.dockerfile.mounts import CACHE, Mount
from builder.dockerfile.running import run_operation
from builder.dockerfile.stages import (
    Base,
    BuildPlan,
    ContextBase,
    ImageBase,
    ImageNeeded,
    Stage,
    StageBase,
)
from builder.dockerfile.steering import apart, steering
from builder.dockerfile.vertices import Vertices
from builder.errors import DockerfileError
from builder.graph.mounts import RunMount
from builder.graph.operations import (
    ContextSource,
    CopyOp,
    CopySource,
    MakeDirOp,
    Op,
)
from builder.graph.vertex import Graph, Vertex
from builder.oci.config import ImageConfig
from builder.oci.platform import Platform


class Lowered(msgspec.Struct, frozen=True, kw_only=True):
    """What to execute, and what the image says of itself.

    `config` has the diff ids and history of the base, ours not yet appended; `history` is everything after
    the base, also of the stages that the target is built on. `base` is the image at the bottom, None for
    scratch. `stages` are the names of the stages of the graph's vertices, one each, "" for sources. `epoch`
    is the time in seconds that SOURCE_DATE_EPOCH sets for the image and its history.
    """

    graph: Graph
    config: ImageConfig
    history: tuple[HistoryStep, ...]
    base: ImageNeeded | None
    stages: tuple[str, ...]
    warnings: tuple[Diagnostic, ...]
    epoch: int | None


def lower(plan: BuildPlan, bases: Mapping[ImageNeeded, ImageConfig]) -> Lowered:
    """Make the graph of a plan; `bases` holds the configuration of every image that a stage begins from.

    Raises: DockerfileError: an expansion fails or comes to something impossible, a flag is not supported, or
        `# check=error=true` makes a warning an error. DockerfileErrors: several. ValueError: the plan was made
        without the triggers of a base.
    """
    for stage in plan.stages:
        if isinstance(stage.base, ImageBase) and stage.base.image not in bases:
            raise KeyError(f"no configuration is given for {stage.base.image.reference}")
    mistakes = Mistakes()
    lowering = _Lowering(plan, bases, mistakes)
    lowering.lower_stages()
    mistakes.raise_any()
    return lowering.lowered()


def look_further(
    plan: BuildPlan, bases: Mapping[ImageNeeded, ImageConfig], mistakes: Mistakes
) -> None:
    """Add to `mistakes` what only lowering finds, in a plan that may have some.

    The variables of images that are not in `bases` are not known: what depends on them is not judged.
    """
    try:
        _Lowering(plan, bases, mistakes).lower_stages()
    except LimitPassed as error:
        mistakes.add(error)


class _StageState(msgspec.Struct, kw_only=True):
    """A stage being lowered: its last vertex, configuration and history; steps counted for the names."""

    draft: Draft
    vertex: int | None
    history: list[HistoryStep]
    base: ImageNeeded | None
    total: int = 0
    step: int = 0
    is_trigger: bool = False
    unsure_from: int = NEVER


class _Lowering:
    def __init__(
        self,
        plan: BuildPlan,
        bases: Mapping[ImageNeeded, ImageConfig],
        mistakes: Mistakes,
    ) -> None:
        self.plan = plan
        self.bases = bases
        self.mistakes = mistakes
        self.source = plan.dockerfile.source
        self.expander = Expander(self.source, plan.dockerfile.directives.escape)
        self.configurator = Configurator(self.expander, plan)
        self.vertices = Vertices()
        self.states: dict[int, _StageState] = {}
        self.proxies = scope.proxy_environment(dict(plan.request.build_args))
        given = dict(plan.request.build_args)
        self.namespace = given.get(NAMESPACE, "")
        self.hostname = given.get(supported.HOSTNAME, "")

    def lower_stages(self) -> None:
        """Make the vertices; mistakes are collected."""
        for stage in self.plan.stages:
            self.states[stage.index] = self._stage(stage)
            if self.mistakes.full:
                break

    def lowered(self) -> Lowered:
        """Return what was made."""
        state = self.states[self.plan.target.index]
        state.draft.labels.update(self.plan.request.labels)
        return Lowered(
            graph=Graph(vertices=self.vertices.all(), target=state.vertex),
            config=self._result(state),
            history=tuple(state.history),
            base=state.base,
            stages=self.vertices.stages(),
            warnings=self.plan.checks.shown(
                self.plan.warnings + survey_plan(self.plan, self.bases)
            ),
            epoch=self.plan.epoch,
        )

    def _result(self, state: _StageState) -> ImageConfig:
        """Return the configuration, for the platform that was asked for, in its normal form."""
        config = state.draft.frozen()
        found = Platform.of(config.os, config.architecture, config.variant, config.os_version)
        if self.plan.request.target_platform:
            asked = Platform.parse(self.plan.request.target_platform)
            same = (asked.os, asked.architecture) == (found.os, found.architecture)
            if not (same and not asked.variant):
                found = Platform(asked.os, asked.architecture, asked.variant)
        return msgspec.structs.replace(
            config, os=found.os, architecture=found.architecture, variant=found.variant
        )

    def _stage(self, stage: Stage) -> _StageState:
        total = sum(isinstance(item, Run | Copy | Add | Workdir) for item in stage.instructions)
        state = self._begin(stage, total)
        self.configurator.begin(state.draft, state.history)
        for index, instruction in enumerate(stage.instructions):
            if self.mistakes.full:
                break
            state.is_trigger = index < stage.triggered
            try:
                self._instruction(stage, state, index, instruction)
            except LimitPassed:
                raise
            except DockerfileError as error:
                self._take(error, state, instruction)
        return state

    def _take(self, error: DockerfileError, state: _StageState, instruction: Instruction) -> None:
        """Take a mistake, unless it may come from a variable that is not certain."""
        unsure_from = state.unsure_from
        if isinstance(instruction, Arg | Env):
            state.unsure_from = min(unsure_from, instruction.span.line)
        is_certain = isinstance(error, Malformed) or not uses_variables(instruction)
        if instruction.span.line >= unsure_from and not is_certain:
            return
        if state.is_trigger:
            error = triggers.explained(error, instruction)
        self.mistakes.add(error)

    def _instruction(
        self, stage: Stage, state: _StageState, index: int, instruction: Instruction
    ) -> None:
        match instruction:
            case Run():
                self._run(stage, state, index, instruction)
            case Copy() | Add():
                self._copy(stage, state, instruction, stage.copied.get(index))
            case Workdir():
                self._workdir(stage, state, instruction)
            case _:
                self.configurator.apply(instruction)

    def _begin(self, stage: Stage, total: int) -> _StageState:
        base = stage.base
        if isinstance(base, StageBase):
            below = self.states[base.index]
            return _StageState(
                draft=below.draft.copy(),
                vertex=below.vertex,
                history=list(below.history),
                base=below.base,
                total=total,
                unsure_from=stage.unsure_from if below.unsure_from == NEVER else ALWAYS,
            )
        if isinstance(base, ImageBase) and base.image in self.bases:
            return self._begin_with_image(stage, base.image, total)
        platform = Platform.parse(stage.platform)
        config = draft.empty(platform.os, platform.architecture, platform.variant)
        state = _StageState(draft=Draft(config), vertex=None, history=[], base=None, total=total)
        state.unsure_from = ALWAYS if isinstance(base, ImageBase) else stage.unsure_from
        if isinstance(base, ContextBase):
            self._begin_with_files(stage, state, base)
        return state

    def _begin_with_image(self, stage: Stage, image: ImageNeeded, total: int) -> _StageState:
        config = self.bases[image]
        if config.config.on_build and not stage.triggered:
            raise ValueError(f"the triggers of {image.reference} were not planned")
        state = _StageState(
            draft=Draft(config),
            vertex=None,
            history=[],
            base=image,
            total=total + 1,
            unsure_from=stage.unsure_from,
        )
        text = f"FROM {image.reference}"
        state.vertex = self.vertices.image(image, self._named(stage, state, text), stage.shown)
        return state

    def _begin_with_files(self, stage: Stage, state: _StageState, base: ContextBase) -> None:
        """Make the files of a context the first layer."""
        state.total += 1
        operation = CopyOp(sources=(CopySource(input=1, paths=("",)),), dest="/")
        inputs = (self._copied(base),)
        self._add(stage, state, operation, stage.head.span, f"FROM {base.name}", inputs)
        state.history.append(HistoryStep(created_by=f"FROM {base.name}", vertex=state.vertex))

    def _run(self, stage: Stage, state: _StageState, index: int, run: Run) -> None:
        refusals = supported.refusals(run, self.source)
        if refusals and not self.mistakes.within(run.span):  # one thing after the other
            for refused in refusals:
                self.mistakes.add(refused)
        operation, shown = run_operation(run, state.draft, self.proxies, self.source)
        if self.hostname:
            operation = msgspec.structs.replace(operation, hostname=self.hostname)
        inputs: list[int] = []
        if run.mounts:
            mounted = self._mounts(stage, state, (index, run), inputs)
            operation = msgspec.structs.replace(operation, mounts=mounted)
        asked = steering(run, self.source)
        if asked.ignored_arguments:
            operation = apart(run, asked, operation, state.draft.arguments, self.source)
        name = self._shown(
            shown, state, run.keyword, as_command=True, hidden=secret_variables(operation.mounts)
        )
        # Each RUN keeps a reference to every variable.
        self.expander.count(8 * len(operation.env), run.keyword)
        self._add(stage, state, operation, run.span, name, tuple(inputs), ttl=asked.ttl)
        self.configurator.record_run(operation, state.vertex)

    def _mounts(
        self, stage: Stage, state: _StageState, at: tuple[int, Run], inputs: list[int]
    ) -> tuple[RunMount, ...]:
        """Return the mounts of a RUN, and append to `inputs` the vertices that they show."""
        index, run = at
        lookup = state.draft.environment.get
        place = Place(
            source=self.source,
            directory=state.draft.working_dir or "/",
            expand=lambda word: self.expander.expand(word, lookup),
            namespace=self.namespace,
        )

        def input_of(mount: Mount, number: int) -> int:
            base = stage.mounted.get((index, number)) if mount.from_ else None
            found = self._copied(base)
            if mount.type == CACHE or base is None or isinstance(base, ContextBase):
                where = "the build context" if base is None else mount.from_
                found = self.vertices.taken(mount, found, where, run.mounts[number].span)
            inputs.append(found)
            return len(inputs)

        return run_mounts(run, place, input_of)

    def _copy(
        self, stage: Stage, state: _StageState, instruction: Copy | Add, base: Base | None
    ) -> None:
        found = transfer(instruction, state.draft, self.expander)
        shown = self._shown(instruction.text, state, instruction.keyword, as_command=False)
        name = " ".join(remotes.redacted(word) for word in shown.split(" "))
        inputs = [
            self._copied(base) if each is None else self._fetched(each) for each in found.inputs
        ]
        ttl = steering(instruction, self.source).ttl
        self._add(stage, state, found.operation, instruction.span, name, tuple(inputs), ttl=ttl)
        state.history.append(HistoryStep(created_by=found.created_by, vertex=state.vertex))

    def _fetched(self, fetched: Fetched) -> int:
        name = f"[internal] fetch {remotes.redacted(fetched.source.url)}"
        return self.vertices.shared(fetched.source, name, span=fetched.span)

    def _copied(self, base: Base | None) -> int:
        if base is None:
            return self.vertices.shared(ContextSource(), "[internal] load build context")
        if isinstance(base, StageBase):
            below = self.states.get(base.index)  # none where it comes too late, which is a mistake
            vertex = below.vertex if below is not None else None
            return self.vertices.scratch() if vertex is None else vertex
        if isinstance(base, ImageBase):
            return self.vertices.image(base.image, f"FROM {base.image.reference}", "")
        if isinstance(base, ContextBase):
            return self.vertices.shared(
                ContextSource(name=base.name), f"[context {base.name}] load"
            )
        return self.vertices.scratch()

    def _workdir(self, stage: Stage, state: _StageState, workdir: Workdir) -> None:
        path = self.configurator.set_working_directory(workdir)
        vertex = None
        if state.draft.working_dir != "/":
            name = self._shown(workdir.text, state, workdir.keyword, as_command=False)
            operation = MakeDirOp(path=path, owner=state.draft.user)
            ttl = steering(workdir, self.source).ttl
            vertex = self._add(stage, state, operation, workdir.span, name, ttl=ttl)
        state.history.append(
            HistoryStep(created_by=f"WORKDIR {state.draft.working_dir}", vertex=vertex)
        )

    def _add(
        self,
        stage: Stage,
        state: _StageState,
        operation: Op,
        span: Span,
        text: str,
        inputs: tuple[int, ...] = (),
        *,
        ttl: int = 0,
    ) -> int:
        """Add a step on top of the stage."""
        current = self.vertices.scratch() if state.vertex is None else state.vertex
        vertex = Vertex(
            op=operation,
            inputs=(current, *inputs),
            name=self._named(stage, state, text),
            span=span,
            stage=stage.name or f"stage-{stage.index}",
            ttl=ttl,
            platform=self.plan.request.target_platform if self.plan.request.several else "",
        )
        state.vertex = self.vertices.add(vertex, stage.shown)
        return state.vertex

    def _named(self, stage: Stage, state: _StageState, text: str) -> str:
        """Return `[stage 2/5] TEXT`, the number as wide as the total."""
        state.step += 1
        number = str(state.step).rjust(len(str(state.total)))
        name = f"{stage.shown} " if stage.shown else ""
        if self.plan.request.several:
            name = f"{self._for(stage, state)} {name}"
        trigger = "ONBUILD " if state.is_trigger else ""
        return f"[{name}{number}/{state.total}] {trigger}{text}"

    def _for(self, stage: Stage, state: _StageState) -> str:
        """Return what a stage runs on, and the target where it asks for that and it is another: `linux/amd64->arm64`."""
        platform = Platform.parse(stage.platform)
        target = Platform.parse(self.plan.request.target_platform)
        asks = any(name in state.draft.environment for name in scope.OF_THE_TARGET)
        if not asks or platform == target:
            return str(platform)
        parts = [] if platform.os == target.os else [target.os]
        return (
            f"{platform}->{'/'.join(filter(None, (*parts, target.architecture, target.variant)))}"
        )

    def _shown(
        self,
        text: str,
        state: _StageState,
        keyword: Word,
        *,
        as_command: bool,
        hidden: frozenset[str] = frozenset(),
    ) -> str:
        """Return an instruction as progress shows it; variables called like those `hidden` show nothing."""
        known = state.draft.environment
        written = self.expander.shown(
            text, lambda name: "****" if name in hidden else known.get(name), as_command=as_command
        )
        self.expander.counted(written, keyword)
        first, space, rest = written.partition(" ")
        return first.upper() + space + rest
