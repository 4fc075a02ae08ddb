"""Execute a RUN: a command in a sandbox above a state; what it wrote becomes a layer."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable

from builder.errors import ContainerError, RunFailed
from builder.graph.operations import RunOp
from builder.solve.surroundings import Surroundings
from builder.solve.translate import Behind, translated
from builder.store.layers import Layer, State
from builder.store.snapshots import Snapshots
from runtime.spec import BindMount, ContainerSpec, Network, Process, Rootfs

PIECE = 1 << 16
TAIL_LINES = 10
TAIL_WIDTH = 400


def execute_run(
    op: RunOp,
    base: State,
    *,
    snapshots: Snapshots,
    behind: Behind,
    surroundings: Surroundings,
    log: Callable[[bytes], None],
) -> Layer:
    """Run the command and commit what it wrote.

    Raises: RunFailed: it ended with another code than 0; its last lines are a note.
        BuildError: it could not be started, or the walls could not be made.
    """
    behind.open()
    with snapshots.prepare(base) as active:
        lowers = active.lowers or (snapshots.empty(),)
        mounts: tuple[BindMount, ...] = ()
        if op.script is not None:
            # Bound, as the files that are shown from memory cannot be executed.
            path = f"{snapshots.scratch()}/{active.name}.script"
            _write_script(path, op.script)
            mounts = (BindMount(target=op.argv[-1], source=path, read_only=True),)
        spec = ContainerSpec(
            rootfs=Rootfs(lowers=lowers, upper=active.upper, work=active.work),
            process=Process(
                argv=op.argv, env=(*op.env, *op.hidden_env), cwd=op.cwd or "/", user=op.user
            ),
            mounts=mounts,
            network=_network(op, surroundings),
            files=surroundings.files,
        )
        try:
            code = _run(spec, behind, log)
        finally:
            for mount in mounts:
                os.unlink(mount.source)
        if code is not None:
            raise code
        return snapshots.commit(active)


def _write_script(path: str, script: bytes) -> None:
    with open(path, "xb") as file:
        file.write(script)
        os.fchmod(file.fileno(), 0o755)


def _network(op: RunOp, surroundings: Surroundings) -> Network:
    wanted = surroundings.network if op.network == "default" else op.network
    return Network.NONE if wanted == "none" else Network.HOST


def _run(spec: ContainerSpec, behind: Behind, log: Callable[[bytes], None]) -> RunFailed | None:
    """Run with one pipe for both outputs, so that they stay in order; return what failed."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    tail = Tail()
    pump = threading.Thread(target=_pump, args=(read_end, tail, log), daemon=True)
    pump.start()
    try:
        with translated():
            status = behind.launcher.run(
                spec,
                stdin=None,
                stdout=write_end,
                stderr=write_end,
                cancellation=behind.cancellation,
                hold=behind.held,
            )
    except ContainerError as error:
        return _not_started(error)
    finally:
        os.close(write_end)
        pump.join()
        os.close(read_end)
    if status.code == 0:
        return None
    how = (
        f"the command was ended by signal {status.signal}"
        if status.signal is not None
        else f"the command exited with code {status.code}"
    )
    return RunFailed(how, command_exit_code=status.code, notes=tail.notes())


def _not_started(error: ContainerError) -> RunFailed:
    return RunFailed(
        error.message,
        command_exit_code=error.exit_code,
        code="build.start-failed",
        notes=error.notes,
        hint=error.hint,
    )


def _pump(read_end: int, tail: Tail, log: Callable[[bytes], None]) -> None:
    while True:
        piece = os.read(read_end, PIECE)
        if not piece:
            return
        tail.add(piece)
        log(piece)


class Tail:
    """The last lines of an output, each cut to a width; bounded whatever is put in."""

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque(maxlen=TAIL_LINES)
        self._open = b""

    def add(self, piece: bytes) -> None:
        """Take a piece of the output, not necessarily whole lines."""
        lines = (self._open + piece).split(b"\n")
        self._open = lines.pop()[-TAIL_WIDTH:]
        self._lines.extend(line[:TAIL_WIDTH] for line in lines[-TAIL_LINES:] if line.strip())

    def notes(self) -> tuple[str, ...]:
        """Return the lines as one note, or none when there was no output."""
        lines = [*self._lines, self._open] if self._open.strip() else [*self._lines]
        if not lines:
            return ()
        shown = [line.decode("utf-8", "replace").rstrip() for line in lines[-TAIL_LINES:]]
        return ("last output:\n" + "\n".join(shown),)
