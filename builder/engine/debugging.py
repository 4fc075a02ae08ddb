"""`debug`: a command in the file system of a step of a build that is over, as the step itself would have it.

What a failed step wrote is there if it was kept; the state before it always is, as long as nobody prunes it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import msgspec

from builder.containers.foreground import Streams, attached
from builder.containers.static_shell import find_static_busybox
from builder.diagnostics import Diagnostic, Severity
from builder.dockerfile.draft import DEFAULT_PATH
from builder.engine.keeping import keep
from builder.engine.recording import events_of, trail_of
from builder.engine.requests import DebugRequest
from builder.engine.steps import find_step
from builder.engine.texts import read_text
from builder.engine.trust import certificates
from builder.errors import BuildError, ContainerError
from builder.events import Event, VertexFailed, VertexStarted
from builder.graph.mounts import AgentMount, SecretMount
from builder.graph.operations import RunOp
from builder.oci.reference import Reference
from builder.settings import Settings, variable
from builder.solve.agents import Agents
from builder.solve.limits import UnsetLimits
from builder.solve.secrets import Secrets
from builder.solve.steps.committing import commit
from builder.solve.steps.preparing import prepared
from builder.solve.surroundings import Surroundings
from builder.solve.trail import Planned, Trail
from builder.solve.translate import Behind, translated
from builder.store.builds import DONE, About
from builder.store.layers import Layer, State
from builder.store.root import Store
from runtime.forward import Forward
from runtime.spec import BindMount, ContainerSpec, IsolationName

_NOT_THERE = frozenset({126, 127})
_BUSYBOX = "/run/lapstrake/busybox"
_SHELLS = ("sh", "ash", "bash", "dash", "ksh", "zsh", "fish")

Tell = Callable[[Diagnostic], None]


class Moment(Enum):
    """Which state of a step is looked at."""

    AFTER = "as they were after it"
    WROTE = "as it left them when it failed"
    BEFORE = "as they were before it"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a command is to run: the inputs of a step, of which the first is the state looked at, and how its command ran.

    `own` tells that the step is a RUN; otherwise `run` is the one near it.
    """

    name: str
    moment: Moment
    inputs: tuple[State, ...]
    run: RunOp
    own: bool
    plan: Planned


def debug(
    asked: DebugRequest,
    streams: Streams,
    tell: Tell,
    *,
    settings: Settings,
    store: Store,
    behind: Behind,
    signals: Forward | None = None,
) -> int:
    """Run a shell or a command where a step of a build ran; return its exit code.

    Nothing that it writes is kept, unless an image is to be made of it.

    Raises: BuildError: `build.not-found`: there is no such build or step, or its files are gone. ContainerError: there is no
        shell, or the command cannot be executed.
    """
    name = None if asked.keep is None else Reference.parse(asked.keep)
    request, place = asked, find_place(store, asked)
    if request.terminal and behind.open() is IsolationName.CHROOT:
        request = msgspec.structs.replace(request, terminal=False)
        tell(_note("without walls there is no terminal: what is typed is passed on line by line"))
    tell(_note(f"{place.name}: the files are {place.moment.value}", _about(place, request.keep)))
    op = _without_what_was_not_given(place.run, request, tell)
    agents = Agents(request.agents, store.snapshots.scratch()) if request.agents else None
    surroundings = Surroundings(
        resolver=read_text("/etc/resolv.conf") or "",
        hosts=place.plan.hosts,
        limits=place.plan.limits,
        network=place.plan.network,
        secrets=Secrets(request.secrets, variable) if request.secrets else None,
        agents=agents,
        certificates=certificates(settings.ca_certs) if settings.ca_certs else (),
    )

    unset = UnsetLimits(tell)

    def run(argv: tuple[str, ...], busybox: str | None = None) -> int:
        with prepared(
            op,
            place.inputs,
            store=store,
            behind=behind,
            surroundings=surroundings,
            waiting=lambda on: tell(_note(f"waiting for {on}")),
        ) as step:
            status = attached(
                _as_asked(step.spec, argv, busybox, request, settings),
                streams,
                interactive=request.interactive,
                behind=behind,
                launcher=step.launcher,
                hold=(store.lock, *step.shown.held),
                signals=signals,
                on_unset=unset.hear,
            )
            if name is not None:
                layer = commit(
                    step,
                    store=store,
                    behind=behind,
                    surroundings=surroundings,
                    remark=lambda text: tell(_note(text)),
                )
                image = keep(store, name, place.inputs[0], layer, place.run, place.name)
                tell(_note(f"kept as `{name.familiar()}`, {image[7:19]}"))
        return status.code

    try:
        with translated():
            if request.argv:
                return run(request.argv)
            # Without a terminal of its own, a shell asks for the next line only if it is told to.
            prompting = ("-i",) if asked.terminal and not request.terminal else ()
            return _with_shell(place, prompting, run)
    finally:
        if agents is not None:
            agents.close()


def _with_shell(
    place: Place, flags: tuple[str, ...], run: Callable[[tuple[str, ...], str | None], int]
) -> int:
    """Run the first shell that there is."""
    own = place.run.argv[:1]
    known = own if own and own[0].rpartition("/")[2] in _SHELLS else ()
    for shell in dict.fromkeys((*known, "/bin/sh")):
        try:
            with translated():
                return run((shell, *flags), None)
        except ContainerError as error:
            if error.exit_code not in _NOT_THERE:
                raise
    busybox = find_static_busybox()
    if busybox is None:
        raise ContainerError(
            "there is no shell in the file system of the step",
            code="container.start-failed",
            notes=("the host has no busybox without libraries, which would do instead",),
            hint="install `busybox-static`, or run a program of the image:"
            " `lapstrake debug BUILD:STEP -- PROGRAM`",
        )
    return run((_BUSYBOX, "sh", *flags), busybox)


def _as_asked(
    spec: ContainerSpec,
    argv: tuple[str, ...],
    busybox: str | None,
    request: DebugRequest,
    settings: Settings,
) -> ContainerSpec:
    env = {each.partition("=")[0]: each for each in spec.process.env}
    if request.terminal:
        env.setdefault("TERM", "TERM=xterm")
    for name, value in settings.proxies:
        env.setdefault(name, f"{name}={value}")
    process = msgspec.structs.replace(
        spec.process, argv=argv, env=tuple(env.values()), terminal=request.terminal
    )
    mounts = spec.mounts
    if busybox is not None:
        mounts = (*mounts, BindMount(target=_BUSYBOX, source=busybox, read_only=True))
    return msgspec.structs.replace(spec, process=process, mounts=mounts)


def _without_what_was_not_given(op: RunOp, request: DebugRequest, tell: Tell) -> RunOp:
    """Let a command do without secrets and agents that the step had and that have to be given again."""
    secrets = {each.id for each in request.secrets}
    agents = {each.id for each in request.agents}
    mounts = []
    for mount in op.mounts:
        if isinstance(mount, SecretMount | AgentMount):
            kind, given = ("secret", secrets) if isinstance(mount, SecretMount) else ("ssh", agents)
            if mount.id not in given:
                flag = (
                    f"--secret id={mount.id},src=FILE" if kind == "secret" else f"--ssh {mount.id}"
                )
                tell(_note(f"the {kind} `{mount.id}` is not here; to have it, add `{flag}`"))
            mount = msgspec.structs.replace(mount, required=False)
        mounts.append(mount)
    return msgspec.structs.replace(op, mounts=tuple(mounts))


def _about(place: Place, keep: str | None) -> tuple[str, ...]:
    notes = ["nothing that is done here is kept"] if keep is None else []
    if place.moment is Moment.BEFORE and place.own:
        notes.insert(0, "what it wrote was not kept; `build --keep-failed` does that")
    return tuple(notes)


def _note(message: str, notes: tuple[str, ...] = ()) -> Diagnostic:
    return Diagnostic(severity=Severity.NOTE, code="", message=message, notes=notes)


def find_place(store: Store, request: DebugRequest) -> Place:
    """Return where to look; without a step that is the one that failed, or else the last.

    Raises: BuildError: `build.not-found`.
    """
    about = store.builds.find(request.build)
    events = list(events_of(store.builds, about.id))
    trail = trail_of(store.builds, about.id)
    plan = trail.plan
    if plan is None:
        raise _no(
            f"the build `{about.id[-12:]}` came to no step that could be looked into",
            hint="`lapstrake builds` lists the builds that there are",
        )
    number = _number(about, events, trail, plan, request.step)
    index = trail.numbers[number]
    names = {event.id: event.name for event in events if isinstance(event, VertexStarted)}
    moment, layers = _layers(store, trail, plan, index)
    run = trail.run_near(plan, index)
    own = plan.steps[index].run
    if own is None:
        run = RunOp(
            argv=run.argv if run else (),
            env=run.env if run else (f"PATH={DEFAULT_PATH}",),
            cwd=run.cwd if run else "/",
            user=run.user if run else "",
            network=run.network if run else "default",
            platform=run.platform if run else "",
        )
    assert run is not None
    others = (trail.of(plan, each) for each in plan.steps[index].inputs[1:])
    return Place(
        name=f"#{number} {names.get(number, '')}".rstrip(),
        moment=moment,
        inputs=(
            _state(store, layers),
            *((_state(store, each) for each in others) if own is not None else ()),
        ),
        run=run,
        own=own is not None,
        plan=plan,
    )


def _number(
    about: About, events: list[Event], trail: Trail, plan: Planned, text: str | None
) -> int:
    """Return the number of the step in the log."""
    found = {number: index for number, index in trail.numbers.items() if plan.steps[index].inputs}
    if text is not None:
        number = find_step((each for each in events if getattr(each, "id", 0) in found), text)
        if number is None:
            raise _no(
                f"the build has no step `{text[:60]}` with a file system",
                hint="name it as `#N`, by its line in the Dockerfile, or as STAGE:LINE;"
                " `lapstrake logs` shows them",
            )
        return number
    failed = [event.id for event in events if isinstance(event, VertexFailed) and event.id in found]
    open_ends = [number for number, index in found.items() if index not in trail.made]
    if failed or (open_ends and about.outcome != DONE):
        return (failed or open_ends)[-1]
    if not found:
        raise _no("the build had no step with a file system")
    return max(found, key=lambda number: found[number])


def _layers(
    store: Store, trail: Trail, plan: Planned, index: int
) -> tuple[Moment, tuple[str | None, ...]]:
    if index in trail.made:
        return Moment.AFTER, trail.of(plan, index)
    kept = trail.kept.get(index)
    if kept is not None and store.layers.get(kept) is not None:
        return Moment.WROTE, (*trail.below(plan, index), kept)
    return Moment.BEFORE, trail.below(plan, index)


def _state(store: Store, diff_ids: tuple[str | None, ...]) -> State:
    layers: list[Layer] = []
    for diff_id in diff_ids:
        layer = None if diff_id is None else store.layers.get(diff_id)
        if layer is None:
            raise _no(
                "the files of that step are no longer in the store",
                hint="build again, then debug; `lapstrake prune` removes what no image needs",
            )
        layers.append(layer)
    return State(tuple(layers))


def _no(message: str, hint: str | None = None) -> BuildError:
    return BuildError(message, code="build.not-found", hint=hint)
