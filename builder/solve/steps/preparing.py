"""What a RUN's command needs around it, from its operation to what the runtime is told; let go of afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from builder.graph.operations import RunOp
from builder.oci.platform import Platform
from builder.solve.emulating import Ways, ways_for
from builder.solve.steps.placing import files_of, hostname_of, network_of
from builder.solve.steps.showing import Shown, shown
from builder.solve.steps.trusting import Trusted, trusting
from builder.solve.surroundings import Surroundings
from builder.solve.translate import Behind
from builder.store.layers import State
from builder.store.root import Store
from builder.store.snapshotter import ActiveSnapshot
from runtime.launch import Launcher
from runtime.spec import BindMount, ContainerSpec, Process, Security


class Prepared(msgspec.Struct, frozen=True):
    """A command that is ready to run, what was prepared for it, and who is to launch it."""

    spec: ContainerSpec
    active: ActiveSnapshot
    trusted: Trusted
    shown: Shown
    launcher: Launcher


@contextmanager
def prepared(
    op: RunOp,
    inputs: tuple[State, ...],
    *,
    store: Store,
    behind: Behind,
    surroundings: Surroundings,
    waiting: Callable[[str], None],
) -> Iterator[Prepared]:
    """Have all that a command needs, above the first input, until the end of the block.

    Raises: BuildError: the walls cannot be made, or a secret that it needs was not given.
    """
    hostname = hostname_of(op, behind.open())
    with (
        shown(
            op, inputs, store=store, behind=behind, surroundings=surroundings, waiting=waiting
        ) as more,
        store.snapshots.prepare(inputs[0]) as active,
        trusting(op, active, surroundings.certificates, store=store, behind=behind) as trusted,
        _script(op, f"{store.snapshots.scratch()}/{active.name}.script") as scripts,
    ):
        network = network_of(op, surroundings)
        ways = _ways(op, behind, store)
        spec = ContainerSpec(
            rootfs=trusted.rootfs,
            process=Process(
                argv=op.argv,
                env=(*op.env, *op.hidden_env, *trusted.env, *more.env),
                cwd=op.cwd or "/",
                user=op.user,
            ),
            mounts=(*more.mounts, *trusted.mounts, *scripts, *ways.mounts),
            hostname=hostname,
            network=network,
            files=files_of(op, network, surroundings),
            security=Security(op.security),
            limits=surroundings.limits.processes,
            resources=surroundings.limits.resources,
            shared_memory=surroundings.limits.shared_memory,
        )
        yield Prepared(spec, active, trusted, more, ways.launcher)


def _ways(op: RunOp, behind: Behind, store: Store) -> Ways:
    """Return how a command runs that may be for another machine."""
    if not op.platform or op.platform == str(Platform.host()):
        return Ways(behind.launcher)
    return ways_for(Platform.parse(op.platform), behind, store.snapshots.scratch())


@contextmanager
def _script(op: RunOp, path: str) -> Iterator[tuple[BindMount, ...]]:
    """Have the script of a here-document at a host path, and say how a step is to be shown it."""
    if op.script is None:
        yield ()
        return
    # Bound, as the files that are shown from memory cannot be executed.
    with open(path, "xb") as file:
        file.write(op.script)
        os.fchmod(file.fileno(), 0o755)
    try:
        yield (BindMount(target=op.argv[-1], source=path, read_only=True),)
    finally:
        os.unlink(path)
