"""One build, from a request to an image in the store: the only place that knows all the rooms it passes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from builder.diagnostics import Diagnostic
from builder.engine.bases import Bases
from builder.engine.built import Built, BuiltImage
from builder.engine.catalogue import Catalogue, LocalImage
from builder.engine.composing import composed, passing
from builder.engine.contexts import Beginning, begun
from builder.engine.lowering import Plan, Question, planned
from builder.engine.places import locator
from builder.engine.recording import project_of
from builder.engine.remotes import RemoteSources, redacted, secrets_of
from builder.engine.requests import BuildRequest
from builder.engine.targets import targets
from builder.engine.texts import read_text
from builder.engine.walls import weaker
from builder.errors import DockerfileError, LapstrakeError, UsageError
from builder.events import (
    BuildStarted,
    EventSink,
    Outcome,
    Progress,
    VertexDone,
    VertexFailed,
    VertexLog,
    VertexStarted,
    Warned,
)
from builder.graph.operations import (
    ContextSource,
    GitSource,
    HttpSource,
    ImageSource,
)
from builder.graph.vertex import Graph, Vertex
from builder.oci.edit import Inherited, with_whole_history
from builder.oci.platform import Platform
from builder.settings import LOCAL, Settings
from builder.solve.allowing import refuse_forbidden
from builder.solve.context import LocalContext
from builder.solve.executor import Executor, LocalExecutor
from builder.solve.solver import Solved, Solver
from builder.solve.surroundings import Surroundings
from builder.solve.trail import Planned, Trace
from builder.solve.trail import planned as planned_trail
from builder.solve.translate import Behind
from builder.store.layers import State
from builder.store.root import Store

if TYPE_CHECKING:
    from builder.engine.account import Account
    from builder.engine.named import NamedContexts
    from builder.engine.registries import Registries
    from builder.sharing.sharing import Sharing
    from builder.solve.agents import Agents


MAIN = "context"
"""What a graph calls the main context."""

_EPOCH = "SOURCE_DATE_EPOCH"


class Build:
    """One build in progress."""

    def __init__(
        self,
        request: BuildRequest,
        *,
        settings: Settings,
        store: Store,
        behind: Behind,
        registries: Callable[[], Registries],
        events: EventSink,
        trail: Callable[[Trace], None],
        stdin: BinaryIO | None = None,
        invocation: str = "",
    ) -> None:
        self._started = time.time()
        self._invocation = invocation
        self._request = request
        self._settings = settings
        self._store = store
        self._behind = behind
        self._registries = registries
        self._events = events
        self._trail = trail
        self._catalogue = Catalogue(store)
        self._secrets = secrets_of(request.secrets)
        self._remotes = RemoteSources(settings, store, behind, self._secrets)
        self._stdin = stdin
        self._agents: Agents | None = None
        self._sharing: Sharing | None = None
        self._executor = _executor(settings, store, behind)
        self._next_id = 1
        self._said: list[Diagnostic] = []
        self._named = self._named_contexts()
        self._bases = Bases(
            store,
            named=self._named,
            registries=registries,
            events=events,
            new_id=self._new_id,
            say=self._say,
            pull=request.pull,
        )

    def run(self) -> Built:
        """Build; what was finished stays recorded whatever happens.

        Raises: LapstrakeError: with its place in the Dockerfile where it has one.
        """
        if self._request.agents:
            from builder.solve.agents import Agents

            self._agents = Agents(self._request.agents, self._store.snapshots.scratch())
        try:
            if self._request.cache_from or self._request.cache_to:
                return self._begin_sharing()
            return self._begin()
        finally:
            self._executor.close()
            if self._agents is not None:
                self._agents.close()

    def _begin_sharing(self) -> Built:
        """Build with the caches of others; what was finished is shared even if the build fails."""
        from builder.sharing.sharing import Sharing

        caches = (*self._request.cache_from, *self._request.cache_to)
        if self._settings.executor != LOCAL and any(each.mounts for each in caches):
            raise UsageError(
                "cache mounts are shared only where steps are executed by this process",
                hint="leave out `mounts=`, or the variable LAPSTRAKE_EXECUTOR",
            )
        with Sharing(
            self._request.cache_from,
            self._request.cache_to,
            store=self._store,
            client=lambda: self._registries().client(),
            events=self._events,
            cancelled=lambda: self._behind.cancellation.cancelled,
        ) as sharing:
            self._sharing = sharing
            built = self._begin()
            layers = [layer for each in built.images for layer in each.image.state.layers]
            sharing.give(tuple(dict.fromkeys([layer.diff_id for layer in layers])))
            warnings = (*built.warnings, *sharing.warnings)
            return msgspec.structs.replace(built, warnings=warnings, records=sharing.inline)

    def _begin(self) -> Built:
        with begun(
            self._request,
            store=self._store,
            fetch=self._fetch,
            stdin=self._stdin,
            build_args=self._build_args(),
        ) as beginning:
            try:
                return self._build(beginning)
            except LapstrakeError as error:
                raise error.located(error.span, beginning.source) from error.__cause__

    def _named_contexts(self) -> NamedContexts | None:
        if not self._request.contexts:
            return None
        from builder.engine.named import NamedContexts

        return NamedContexts(self._request.contexts, self._fetch)

    def _fetch(self, op: HttpSource | GitSource, what: str) -> LocalContext:
        """Have a remote context here, shown as a step."""
        vertex_id = self._new_id()
        self._events.emit(VertexStarted(id=vertex_id, name=f"[internal] {what} {redacted(op.url)}"))
        try:
            fetched = self._remotes.fetch(
                op,
                progress=lambda item, done, total: self._events.emit(
                    Progress(id=vertex_id, item=item, done=done, total=total)
                ),
                log=lambda data: self._events.emit(VertexLog(id=vertex_id, data=data)),
            )
        except LapstrakeError as error:
            self._events.emit(VertexFailed(id=vertex_id, diagnostic=error.diagnostic()))
            raise
        outcome = Outcome.CACHED if fetched.cached else Outcome.EXECUTED
        self._events.emit(VertexDone(id=vertex_id, outcome=outcome, note=fetched.note))
        return fetched.context

    def _build(self, beginning: Beginning) -> Built:
        source, local = beginning.source, beginning.context
        for warning in beginning.warnings:
            self._events.emit(Warned(diagnostic=warning))
        plans = self._plans(beginning)
        graph = plans[0].graph
        located = locator(source)
        if len(plans) > 1:
            from builder.engine.several import naming_platforms, together

            graph, plans = together(plans)
            located = naming_platforms(located)
        said = tuple(dict.fromkeys([warning for plan in plans for warning in plan.warnings]))
        for warning in said:
            self._events.emit(Warned(diagnostic=warning))
        started = [each for each in graph.vertices if not _is_given(each)]
        self._events.emit(BuildStarted(dockerfile=source.name, total=len(started)))
        refuse_forbidden(
            graph,
            allowed=self._request.allow,
            network=self._request.network,
            located=located,
        )
        if _steers(self._request):
            from builder.engine.asking import as_asked

            graph, unused = as_asked(graph, self._request)
            for warning in unused:
                self._events.emit(Warned(diagnostic=warning))
        self._trail(self._steps_of(graph))
        contexts = {MAIN: local, **_used(graph, self._named)}
        remarks = self._unused_secrets(graph)
        solved = Solver(
            graph,
            store=self._store,
            behind=self._behind,
            executor=self._executor,
            images=self._bases.states,
            contexts=contexts,
            remotes=self._remotes,
            surroundings=self._surroundings(),
            events=self._events,
            first_id=self._next_id,
            jobs=self._request.jobs,
            elsewhere=None if self._sharing is None else self._sharing.taken,
            located=located,
            project=project_of(self._request),
            trail=self._trail,
            verify=self._request.verify_cache,
            normalize=self._request.cache_normalize,
        ).solve()
        images = tuple([self._built(plan, solved, graph, beginning) for plan in plans])
        for remark in weaker(self._behind):
            self._events.emit(Warned(diagnostic=remark))
            remarks = (*remarks, remark)
        warnings = (*beginning.warnings, *said, *self._said, *remarks)
        return Built(images=images, steps=solved.steps, cached=solved.cached, warnings=warnings)

    def _plans(self, beginning: Beginning) -> tuple[Plan, ...]:
        """Return a plan for each platform that was asked for, in that order."""
        asked = targets(self._request, self._settings)
        platforms = [str(each) for each in asked] or [""]
        question = Question(
            source=beginning.source,
            target=self._request.target,
            build_args=self._build_args(),
            labels=self._request.labels,
            host_platform=str(Platform.host()),
            target_platform=platforms[0],
            ignore=beginning.context.ignore,
            ignore_name=beginning.context.ignore_name,
            contexts=() if self._named is None else self._named.kinds,
            several=len(platforms) > 1,
        )
        plans = [self._planned(question, beginning)]
        for platform in platforms[1:]:
            another = msgspec.structs.replace(question, target_platform=platform)
            plans.append(self._planned(another, beginning))
        return tuple(plans)

    def _planned(self, question: Question, beginning: Beginning) -> Plan:
        try:
            plan = planned(
                question,
                self._store.cache,
                local=self._bases.local,
                resolve=self._bases.resolve,
                moment=lambda name, op: self._moment(name, op or self._source(name, beginning)),
            )
        except DockerfileError as error:
            # What the checks found is told also when it is what ends the build.
            for warning in getattr(error, "warnings", ()):
                self._events.emit(Warned(diagnostic=warning))
            raise
        except LapstrakeError as error:
            if question.several:
                from builder.engine.several import for_platform

                for_platform(error, question.target_platform)
            raise
        if not self._bases.elsewhere:
            return plan
        from builder.engine.found import as_found

        return as_found(plan, self._bases.elsewhere)

    def _built(self, plan: Plan, solved: Solved, graph: Graph, beginning: Beginning) -> BuiltImage:
        graph = msgspec.structs.replace(graph, target=plan.graph.target)
        image = self._image(plan, solved)
        return BuiltImage(
            platform=image.platform,
            image=image,
            inherited=Inherited.of(
                with_whole_history(plan.config), passing(plan, self._bases.created)
            ),
            epoch=plan.epoch,
            account=lambda: self._account(beginning, graph, solved),
        )

    def _account(self, beginning: Beginning, graph: Graph, solved: Solved) -> Account:
        """Return what this build is to be told from."""
        from builder.engine.account import account_of

        return account_of(
            self._request,
            graph,
            invocation=self._invocation,
            started=self._started,
            build_args=self._build_args(),
            dockerfile=beginning.source,
            remote=beginning.remote,
            source_of=lambda name: self._source(name, beginning),
            digest_of=self._bases.digest_of,
            layout_of=self._bases.layout_name,
            fetched=tuple(self._remotes.resolved.items()),
            states=solved.states,
        )

    def _unused_secrets(self, graph: Graph) -> tuple[Diagnostic, ...]:
        if self._secrets is None:
            return ()
        from builder.engine.unasked import unasked

        warnings = unasked(self._secrets.given(), graph, self._remotes.fetched)
        for warning in warnings:
            self._events.emit(Warned(diagnostic=warning))
        return warnings

    def _steps_of(self, graph: Graph) -> Planned:
        return planned_trail(
            graph,
            self._bases.states,
            network=self._request.network,
            hosts=self._request.hosts,
            limits=self._request.limits,
        )

    def _build_args(self) -> tuple[tuple[str, str], ...]:
        given = [(name, value) for name, value in self._request.build_args if value is not None]
        names = {name for name, _ in given}
        proxies = [(name, value) for name, value in self._settings.proxies if name not in names]
        # As with Docker, the variable is a build argument like any other, for those steps that declare it.
        epoch = self._settings.source_date_epoch
        if epoch is not None and _EPOCH not in names:
            given.append((_EPOCH, epoch))
        return (*given, *proxies)

    def _source(self, name: str, beginning: Beginning) -> HttpSource | GitSource | None:
        """Return what a context, the main one or one by name, is fetched from."""
        if name == MAIN or self._named is None:
            return beginning.remote
        return self._named.remote(name)

    def _moment(self, name: str, op: HttpSource | GitSource | None) -> int | None:
        """Return the time of something remote in seconds; None where it has none."""
        from builder.engine.moments import nothing_to_take, time_of

        found = None if op is None else time_of(op, self._fetch, self._store)
        if found is None:
            self._say(nothing_to_take(name))
        return found

    def _new_id(self) -> int:
        """Return the number of a step that is no part of the graph."""
        number, self._next_id = self._next_id, self._next_id + 1
        return number

    def _say(self, remark: Diagnostic) -> None:
        self._events.emit(Warned(diagnostic=remark))
        self._said.append(remark)

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            resolver=read_text("/etc/resolv.conf") or "",
            hosts=self._request.hosts,
            limits=self._request.limits,
            network=self._request.network,
            secrets=self._secrets,
            agents=self._agents,
            certificates=self._certificates(),
            keep_failed=self._request.keep_failed,
            leaks_allowed="leaked-secrets" in self._request.allow,
        )

    def _certificates(self) -> tuple[bytes, ...]:
        if not self._settings.ca_certs:
            return ()
        from builder.engine.trust import certificates

        return certificates(self._settings.ca_certs)

    def _image(self, plan: Plan, solved: Solved) -> LocalImage:
        config = composed(plan, solved.layers)
        image_id = self._catalogue.add(config)
        self._store.images.set_origin(image_id, self._bases.origin(plan))
        target = plan.graph.target
        state = State() if target is None else solved.states[target]
        return LocalImage(id=image_id, config=config, state=state)


def _steers(request: BuildRequest) -> bool:
    """Tell whether flags change what the steps of a graph are, or how they count."""
    asked = (request.no_cache, request.no_cache_filter, request.cache_ttl, request.hosts)
    return any(asked) or request.network == "none"


def _executor(settings: Settings, store: Store, behind: Behind) -> Executor:
    if settings.executor == LOCAL:
        return LocalExecutor(store, behind)
    from builder.solve.processes import ProcessExecutor

    return ProcessExecutor(store, behind, settings.isolation.value)


def _is_given(vertex: Vertex) -> bool:
    """Tell whether what a vertex gives is here before the plan is carried out: it never starts."""
    return isinstance(vertex.op, ImageSource | ContextSource)


def _used(graph: Graph, named: NamedContexts | None) -> dict[str, LocalContext]:
    """Return the named contexts that a graph takes files from, fetched where need be."""
    if named is None:
        return {}
    names = {vertex.op.name for vertex in graph.vertices if isinstance(vertex.op, ContextSource)}
    return {name: named.directory(name) for name in sorted(names - {MAIN})}
