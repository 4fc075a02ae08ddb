"""A container in the foreground: it lives as long as its command, and what it wrote goes with it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack

import msgspec

from builder.containers.pumps import Pump, is_pipe
from builder.containers.terminal import Terminal
from builder.errors import LapstrakeError
from builder.oci.platform import Platform
from builder.solve.emulating import Ways, ways_for, without_emulator
from builder.solve.translate import Behind, translate, translated
from builder.store.layers import State
from builder.store.root import Store
from runtime.errors import Interrupted, StartFailed
from runtime.forward import Forward
from runtime.launch import Launcher
from runtime.spec import ContainerSpec, ExitStatus, Mount, Network, Process, Unset

_MOST = 1 << 18


class Streams(msgspec.Struct, frozen=True, kw_only=True):
    """The caller's descriptors, which stay the caller's."""

    stdin: int
    stdout: int
    stderr: int


class Given(msgspec.Struct, frozen=True):
    """The descriptors that a command gets; with a terminal, `on_terminal` is told of its outer side instead."""

    stdin: int | None
    stdout: int
    stderr: int
    on_terminal: Callable[[int], None] | None = None


class Container(msgspec.Struct, frozen=True, kw_only=True):
    """What to run above which state; `hostname` is also its name, `interactive` passes standard input on."""

    state: State
    process: Process
    hostname: str
    mounts: tuple[Mount, ...] = ()
    network: Network = Network.HOST
    interactive: bool = False
    platform: Platform | None = None
    """What its programs are for; None is this machine."""


def run(
    container: Container,
    streams: Streams,
    *,
    store: Store,
    behind: Behind,
    signals: Forward | None = None,
) -> ExitStatus:
    """Run a container to its end.

    Other commands may use the store meanwhile, but none removes from it. An interrupt kills the command; the
    status is then that of the signal. What is sent to `signals` reaches the command, which may do with it as it likes.

    Raises: ContainerError: the command cannot be executed or found. BuildError: the walls or mounts cannot be
        made. StoreError: a layer cannot be had.
    """
    behind.open()
    with translated(), store.snapshots.prepare(container.state) as active:
        ways = _ways(container, behind, store)
        spec = ContainerSpec(
            rootfs=active.rootfs,
            process=container.process,
            mounts=(*container.mounts, *ways.mounts),
            hostname=container.hostname,
            network=container.network,
            files=_files(container),
        )
        try:
            return attached(
                spec,
                streams,
                interactive=container.interactive,
                behind=behind,
                launcher=ways.launcher,
                hold=(store.lock,),
                signals=signals,
            )
        except StartFailed as error:
            raise _not_started(error, behind, store) from error


def _ways(container: Container, behind: Behind, store: Store) -> Ways:
    """Return how a container runs that may be of another machine."""
    if container.platform is None or container.platform == Platform.host():
        return Ways(behind.launcher)
    return ways_for(container.platform, behind, store.snapshots.scratch())


def _not_started(error: StartFailed, behind: Behind, store: Store) -> LapstrakeError:
    return without_emulator(error, behind, store.snapshots.scratch()) or translate(error)


def attached(
    spec: ContainerSpec,
    streams: Streams,
    *,
    interactive: bool,
    behind: Behind,
    launcher: Launcher | None = None,
    hold: tuple[int, ...],
    signals: Forward | None = None,
    on_unset: Callable[[Unset], None] | None = None,
) -> ExitStatus:
    """Run a command to its end, on the caller's streams or with a terminal of its own; `hold` are locks of its own.

    `launcher` is another than usual, `on_unset` hears of limits that cannot be set.

    Raises: SandboxError: it cannot be executed or found, or what it needs cannot be made.
    """
    try:
        with ExitStack() as stack:
            if spec.process.terminal:
                keys = streams.stdin if interactive else None
                terminal = stack.enter_context(Terminal(keys, streams.stdout))
                given = Given(None, streams.stdout, streams.stderr, terminal.attach)
            else:
                given = _pipes(stack, streams, interactive=interactive)
            return (launcher or behind.launcher).run(
                spec,
                stdin=given.stdin,
                stdout=given.stdout,
                stderr=given.stderr,
                cancellation=behind.cancellation,
                signals=signals,
                on_terminal=given.on_terminal,
                on_unset=on_unset,
                hold=hold,
            )
    except Interrupted as error:
        return ExitStatus(128 + error.signal_number, error.signal_number)


def _pipes(stack: ExitStack, streams: Streams, *, interactive: bool) -> Given:
    stdin = _input(stack, streams.stdin) if interactive else None
    stdout = _output(stack, streams.stdout)
    # One pipe where both go to one place, so that they stay in order.
    same = _same_file(streams.stdout, streams.stderr)
    return Given(stdin, stdout, stdout if same else _output(stack, streams.stderr))


def _input(stack: ExitStack, descriptor: int) -> int:
    """Return what the command reads; when the block ends, nobody reads the caller's descriptor any more."""
    if is_pipe(descriptor):
        return descriptor
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    pump = Pump(descriptor, write_end, at_end=lambda: os.close(write_end))
    stack.callback(pump.stop)
    stack.callback(os.close, read_end)  # comes first, and frees a pump that is stuck in a write
    return read_end


def _output(stack: ExitStack, descriptor: int) -> int:
    """Return what the command writes to; when the block ends, all of it has been passed on."""
    if is_pipe(descriptor):
        return descriptor
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    # When nobody takes the output any more, the command is to notice.
    pump = Pump(read_end, descriptor, at_end=lambda: os.close(read_end))
    stack.callback(pump.finish)
    stack.callback(os.close, write_end)
    return write_end


def _same_file(one: int, other: int) -> bool:
    try:
        return os.path.sameopenfile(one, other)
    except OSError:
        return False


def _files(container: Container) -> tuple[tuple[str, bytes], ...]:
    """Return how names are resolved: as the host does on its network, else not beyond the container.

    Where the user shows a file of the host instead, that one counts.
    """
    name = container.hostname.encode()
    own = b"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
    hosts = _host_file("/etc/hosts") if container.network is Network.HOST else own
    files = {
        "/etc/resolv.conf": _host_file("/etc/resolv.conf"),
        "/etc/hosts": (hosts or own).rstrip(b"\n") + b"\n127.0.0.1\t" + name + b"\n",
        "/etc/hostname": name + b"\n",
    }
    for mount in container.mounts:
        files.pop(mount.target, None)
    return tuple(files.items())


def _host_file(path: str) -> bytes:
    """Return a small file of the host, nothing where there is none."""
    try:
        with open(path, "rb") as file:
            return file.read(_MOST)
    except OSError:
        return b""
