"""What a RUN's mounts become for one execution: mounts of the runtime, variables, and what must be let go of afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import assert_never

import msgspec

from builder.errors import BuildError
from builder.graph.mounts import (
    AgentMount,
    BindMount,
    CacheMount,
    RunMount,
    SecretMount,
    TmpfsMount,
)
from builder.graph.operations import RunOp
from builder.solve.surroundings import Surroundings
from builder.solve.translate import Behind
from builder.store.cache_mounts import Making
from builder.store.forms import unique_name
from builder.store.layers import State
from builder.store.root import Store
from runtime import spec as runtime

SOCKET_VARIABLE = "SSH_AUTH_SOCK"


class Shown(msgspec.Struct):
    """What a command is given besides its file system; `held` are locks, `values` the secrets that it may see."""

    mounts: list[runtime.Mount] = []
    env: list[str] = []
    held: list[int] = []
    values: list[bytes] = []


@contextmanager
def shown(
    op: RunOp,
    inputs: tuple[State, ...],
    *,
    store: Store,
    behind: Behind,
    surroundings: Surroundings,
    waiting: Callable[[str], None],
) -> Iterator[Shown]:
    """Have what the mounts of a RUN ask for, until the end of the block.

    `inputs` are those of the step; `waiting` is told what is waited for.

    Raises: BuildError: `build.secret-missing`: a required secret or agent was not given. Cancelled: while waiting.
    """
    if not op.mounts:
        yield Shown()
        return
    with ExitStack() as stack:
        showing = _Showing(op, inputs, store, behind, surroundings, waiting, stack)
        for mount in op.mounts:
            showing.add(mount)
        yield showing.shown


class _Showing:
    def __init__(
        self,
        op: RunOp,
        inputs: tuple[State, ...],
        store: Store,
        behind: Behind,
        surroundings: Surroundings,
        waiting: Callable[[str], None],
        stack: ExitStack,
    ) -> None:
        self.shown = Shown()
        self._op = op
        self._inputs = inputs
        self._store = store
        self._behind = behind
        self._surroundings = surroundings
        self._waiting = waiting
        self._stack = stack

    def add(self, mount: RunMount) -> None:
        """Prepare one mount."""
        match mount:
            case BindMount():
                self._bind(mount)
            case CacheMount():
                self._cache(mount)
            case TmpfsMount():
                size = mount.size or None
                self.shown.mounts.append(
                    runtime.TmpfsMount(target=mount.target, size=size, read_only=mount.read_only)
                )
            case SecretMount():
                self._secret(mount)
            case AgentMount():
                self._agent(mount)
            case _ as unreachable:
                assert_never(unreachable)

    def _bind(self, mount: BindMount) -> None:
        state = self._inputs[mount.input]
        snapshots = self._store.snapshots
        if mount.read_only:
            lowers = snapshots.directories(state) or (snapshots.empty(),)
            rootfs = runtime.Rootfs(lowers=lowers)
        else:
            # Never committed: what is written goes with it.
            active = self._stack.enter_context(snapshots.prepare(state))
            rootfs = active.rootfs
        self.shown.mounts.append(
            runtime.StackMount(target=mount.target, rootfs=rootfs, path=mount.path)
        )

    def _cache(self, mount: CacheMount) -> None:
        seed, origin = None, ""
        if mount.input:
            state = self._inputs[mount.input]
            origin = state.id
            seed = lambda path: self._store.snapshots.copy_to(state, path)  # noqa: E731
        held = self._stack.enter_context(
            self._store.cache_mounts.use(
                mount.id,
                mount.sharing,
                Making(mode=mount.mode, uid=mount.uid, gid=mount.gid, origin=origin, seed=seed),
                waiting=lambda: self._waiting(f"the cache `{mount.id}`"),
                cancelled=lambda: self._behind.cancellation.cancelled,
            )
        )
        self.shown.held.append(held.lock)
        self.shown.mounts.append(
            runtime.BindMount(
                target=mount.target, source=held.path, read_only=mount.read_only, ours=True
            )
        )

    def _secret(self, mount: SecretMount) -> None:
        secrets = self._surroundings.secrets
        value = None if secrets is None else secrets.value(mount.id)
        if value is None:
            if mount.required:
                given = () if secrets is None else secrets.given()
                raise _missing("secret", mount.id, given, f"--secret id={mount.id},src=FILE")
            if mount.env:
                self.shown.env.append(f"{mount.env}=")
            return
        self.shown.values.append(value)
        if mount.env:
            self.shown.env.append(f"{mount.env}={_text(mount.id, value)}")
        if mount.target:
            self.shown.mounts.append(
                runtime.FileMount(
                    target=mount.target,
                    content=value,
                    mode=mount.mode & 0o777,
                    uid=mount.uid,
                    gid=mount.gid,
                    secret=True,
                )
            )

    def _agent(self, mount: AgentMount) -> None:
        # The variable is there without an agent too, as with Docker.
        if not any(
            each.startswith(f"{SOCKET_VARIABLE}=") for each in (*self._op.env, *self.shown.env)
        ):
            self.shown.env.append(f"{SOCKET_VARIABLE}={mount.target}")
        agents = self._surroundings.agents
        if agents is None or not agents.has(mount.id):
            if mount.required:
                given = () if agents is None else agents.given()
                raise _missing("ssh agent", mount.id, given, f"--ssh {mount.id}")
            return
        directory = f"{self._store.snapshots.scratch()}/{unique_name()}"
        os.mkdir(directory, 0o700)
        self._stack.callback(os.rmdir, directory)
        path = self._stack.enter_context(agents.forwarded(mount.id, directory))
        self.shown.mounts.append(
            runtime.SocketMount(
                target=mount.target,
                source=path,
                mode=mount.mode & 0o777,
                uid=mount.uid,
                gid=mount.gid,
            )
        )


def _text(secret_id: str, value: bytes) -> str:
    """Return a value as a variable can hold it; no error quotes any of it."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise BuildError(
            f"the secret `{secret_id}` is not text in UTF-8, and cannot be a variable",
            code="build.secret-unusable",
            hint="mount it as a file: leave `env` out",
        ) from None
    return text


def _missing(kind: str, name: str, given: tuple[str, ...], example: str) -> BuildError:
    listed = ", ".join(f"`{each}`" for each in given)
    return BuildError(
        f"the {kind} `{name}` is required, and was not given",
        code="build.secret-missing",
        notes=(f"given were {listed}" if given else f"no {kind} was given",),
        hint=f"add `{example}`",
    )
