"""The launcher process: small, single-threaded, and the only one that enters namespaces.

    builder ── control socket ──► launcher ── clone ──► process 1 of each sandbox
       └────── one socket per request ───┘ └─ fork ───► workers, which run functions behind the walls

It does nothing until the first request. Every request brings its own socket; when the other end of that goes
away, so do the processes behind it; when the control socket ends, all do, and the launcher itself.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn, cast

from runtime import wire
from runtime.errors import SetupFailed, Unsupported

if TYPE_CHECKING:
    from runtime.emulation import Emulators
    from runtime.isolation import Walls
    from runtime.outside import Outside
    from runtime.syscalls import Syscalls

OPEN, RUN, WORKER, EMULATE = b"O", b"R", b"W", b"E"
HAS_STDIN, HAS_OUTPUTS, OWN_NETWORK, SIGNALS, PLAIN_ROOT, PRIVATE_NETWORK = 1, 2, 4, 8, 16, 32
LONGEST_REQUEST = 1 << 14
"""Bytes: a kind, options, and the limits of a command as MessagePack, if there are any."""

_BROKEN = 70
_SIGNALS_OF_LIBC = (32, 33)
"""Left ignored by glibc's `posix_spawn`, hence by `make`; Source: glibc, sysdeps/unix/sysv/linux/spawni.c."""


def serve(control: wire.Socket, prefixes: tuple[str, ...]) -> NoReturn:
    """Wait for requests until the builder is gone; never returns.

    Jobs come from modules whose names start with one of `prefixes`.
    """
    code = _BROKEN
    try:
        os.setsid()
        data, descriptors = wire.receive_message(control, LONGEST_REQUEST)
        if data:
            _Launcher(control, prefixes).loop(data, descriptors)
        code = 0
    except KeyboardInterrupt:
        code = 0
    finally:
        os._exit(code)


class _Child:
    """A process behind the launcher: its pidfd, the socket whose end kills it, and what is held while it lives.

    `starting` is a pipe that ends when the command starts; None after that, and where nobody asked. `ended_by` is a
    signal that came before. `kept` tells that it is a keeper; `recorder` is the process that remembers owners for it, 0 for
    none; `outside` is what was made for it.
    """

    __slots__ = (
        *("ended_by", "held", "kept", "outside", "pid", "pidfd", "recorder", "request", "starting"),
    )

    def __init__(
        self,
        pid: int,
        request: wire.Socket,
        held: list[int],
        starting: int | None,
        *,
        kept: bool,
        outside: Outside,
    ) -> None:
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self.request = request
        self.held = held
        self.starting = starting
        self.kept = kept
        self.outside = outside
        self.recorder = 0
        self.ended_by = 0


class _Launcher:
    """The state of the launcher process; made by the first request."""

    def __init__(self, control: wire.Socket, prefixes: tuple[str, ...]) -> None:
        import gc
        import select
        import signal

        from runtime import filters, init, isolation, outside, trampoline, worker
        from runtime.syscalls import Syscalls

        self._control = control
        self._prefixes = prefixes
        self._init = init
        self._isolation = isolation
        self._worker = worker
        self._outside = outside
        self._calls: Syscalls = Syscalls()
        self._walls: Walls | None = None
        self._filters = filters
        self._filter: bytes | None = None
        self._emulators: Emulators | None = None
        self._open_trampoline = trampoline.open_sealed
        self._trampoline = -1
        self._recorder = 0
        self._pretence = b""
        self._children: dict[int, _Child] = {}
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._hang_up = select.POLLRDHUP
        self._readable = select.POLLIN
        for number in signal.valid_signals():
            # What our caller ignores, commands should not.
            if number not in {signal.SIGPIPE, signal.SIGXFSZ, signal.SIGKILL, signal.SIGSTOP}:
                signal.signal(number, signal.SIG_DFL)
        for reserved in _SIGNALS_OF_LIBC:
            self._calls.reset_signal(reserved)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        # Children share this memory until somebody writes to it.
        gc.collect()
        gc.freeze()
        gc.disable()

    def loop(self, data: bytes, descriptors: list[int]) -> None:
        """Serve until the control socket ends."""
        self._handle(data, descriptors)
        while True:
            for descriptor, events in self._poll.poll():
                if descriptor == self._control.fileno():
                    data, descriptors = wire.receive_message(self._control, LONGEST_REQUEST)
                    if not data:
                        self._end_all()
                        return
                    self._handle(data, descriptors)
                else:
                    self._attend(descriptor, events)

    def _handle(self, data: bytes, descriptors: list[int]) -> None:
        request = wire.from_descriptor(descriptors.pop(0))
        kind = data[:1]
        if kind in (OPEN, EMULATE):
            self._open(request) if kind == OPEN else self._emulate(request)
            request.close()
            return
        streams = descriptors[: _stream_count(data[1])]
        held = descriptors[len(streams) :]
        until_exec: tuple[int, ...] = ()
        outside = self._outside.Outside()
        try:
            if data[1] & SIGNALS:
                # The second goes to the child alone, whose exec closes it.
                until_exec = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
                descriptors += until_exec
            if kind == WORKER:
                pid = self._start_worker(request)
            else:
                outside = self._make_outside(data)
                pid = self._run(request, data[1], streams, until_exec[1:], outside)
        except (OSError, Unsupported) as error:
            refused = (
                error
                if isinstance(error, Unsupported)
                else SetupFailed("start a process", str(error))
            )
            wire.send(request, self._init.encode_failure(refused))
            wire.send(request, ("exit", _BROKEN))
            wire.close_all(descriptors)
            outside.close()
            request.close()
            return
        wire.close_all([*streams, *until_exec[1:]])
        starting = until_exec[0] if until_exec else None
        kept = kind == RUN and bool(data[1] & PLAIN_ROOT)
        child = _Child(pid, request, held, starting, kept=kept, outside=outside)
        child.recorder, self._recorder = self._recorder, 0
        self._children[child.pidfd] = child
        self._children[request.fileno()] = child
        self._poll.register(child.pidfd, self._readable)
        self._poll.register(request, self._hang_up)
        if child.starting is not None:
            self._children[child.starting] = child
            self._poll.register(child.starting, self._readable)

    def _open(self, request: wire.Socket) -> None:
        from runtime.spec import IsolationName

        name, _ = wire.receive(request)
        try:
            if self._walls is None:
                self._walls = self._isolation.enter(IsolationName(name), self._calls)
        except Unsupported as error:
            wire.send(request, self._init.encode_failure(error))
        except OSError as error:
            refused = Unsupported(f"isolation `{name}`", str(error))
            wire.send(request, self._init.encode_failure(refused))
        else:
            walls = self._walls
            wire.send(
                request,
                (
                    "opened",
                    walls.name.value,
                    walls.uids,
                    walls.gids,
                    walls.passed_over,
                    walls.weaker,
                ),
            )
            self._outside.sweep()

    def _emulate(self, request: wire.Socket) -> None:
        """Make programs of a machine run, and say how."""
        from runtime.emulation import Emulators

        assert self._walls is not None, "the builder opens first"
        if self._emulators is None:
            self._emulators = Emulators(self._calls, self._walls.features)
        asked, _ = wire.receive(request)
        machine, directory = cast("tuple[str, str]", asked)
        try:
            answer: object = ("emulation", self._emulators.ready(machine, directory))
        except OSError as error:
            refused = SetupFailed(f"try a program of `{machine}`", str(error))
            answer = self._init.encode_failure(refused)
        wire.send(request, answer)

    def _make_outside(self, data: bytes) -> Outside:
        """Make what the command of a request needs outside of it."""
        import msgspec

        from runtime.spec import Resources

        resources = msgspec.msgpack.decode(data[2:], type=Resources) if data[2:] else None
        private = bool(data[1] & PRIVATE_NETWORK)
        return self._outside.made(self._calls, resources, private_network=private)

    def _run(
        self,
        request: wire.Socket,
        options: int,
        descriptors: list[int],
        until_exec: tuple[int, ...],
        outside: Outside,
    ) -> int:
        assert self._walls is not None, "the builder opens first"
        if self._filter is None:
            self._filter = self._filters.load(self._walls.features.machine)
            self._trampoline = self._open_trampoline(self._walls.features.machine)
        flags = 0 if self._walls.features.chroot else self._isolation.CONTAINER_NAMESPACES
        if options & OWN_NETWORK:
            flags |= self._isolation.OWN_NETWORK
        channel = self._start_recorder() if self._walls.features.single_id else None
        kept = bool(options & PLAIN_ROOT)
        pid = os.fork() if kept else self._calls.clone(flags)
        if pid == 0:
            has_stdin = bool(options & HAS_STDIN)
            start = self._init.Start(
                request=request,
                stdin=descriptors[0] if has_stdin else None,
                outputs=tuple(descriptors[has_stdin:]),
                until_exec=until_exec,
                features=self._walls.features,
                filter=self._filter,
                trampoline=self._trampoline,
                outside=outside,
                recorder=channel,
                pretence=self._pretence,
            )
            if kept:
                from runtime.keeper import keep

                keep(self._calls, start, flags)
            self._init.become_command(self._calls, start)
        if channel is not None:
            channel.close()
        return pid

    def _start_recorder(self) -> wire.Socket:
        """Start what remembers owners for one step; return where the step reaches it."""
        from runtime.recorder import record

        if not self._pretence:
            from runtime import single_id

            assert self._walls is not None
            self._pretence = single_id.program(self._walls.features.machine)
        ours, theirs = wire.stream_pair()
        self._recorder = os.fork()
        if self._recorder == 0:
            ours.close()
            record(self._calls, theirs)
        theirs.close()
        return ours

    def _start_worker(self, request: wire.Socket) -> int:
        pid = os.fork()
        if pid == 0:
            self._worker.serve_jobs(self._calls, request, self._prefixes)
        return pid

    def _attend(self, descriptor: int, events: int) -> None:
        """Reap a child that has ended, kill one that nobody waits for any more, or pass signals on to it."""
        child = self._children.get(descriptor)
        if child is None:
            return
        if descriptor == child.pidfd:
            self._reap(child)
        elif descriptor == child.starting:
            self._hear(child)
        elif events != self._readable:
            self._poll.unregister(descriptor)
            del self._children[descriptor]
            _kill(child)
        else:
            self._pass_on(child)

    def _hear(self, child: _Child) -> None:
        """Hear that a child has read all that was for itself, so that signals can be taken, or has started its command.

        Raises: BlockingIOError: neither is new.
        """
        assert child.starting is not None, "nobody listens to a pipe that has ended"
        if not os.read(child.starting, 1):
            self._forget_start(child)
        elif child.request.fileno() in self._children:
            self._poll.modify(child.request, self._hang_up | self._readable)

    def _forget_start(self, child: _Child) -> None:
        if child.starting is not None:
            self._poll.unregister(child.starting)
            del self._children[child.starting]
            os.close(child.starting)
            child.starting = None

    def _pass_on(self, child: _Child) -> None:
        """Send a child the signals that came; before its command has started, the first ends it."""
        import signal

        if child.starting is not None:
            with suppress(BlockingIOError):
                self._hear(child)
        with suppress(OSError):  # the builder has gone, or the child has ended; the next look tells
            for number in wire.receive_signals(child.request):
                if child.starting is None:
                    signal.pidfd_send_signal(child.pidfd, number)
                else:
                    child.ended_by = child.ended_by or number
                    _kill(child)

    def _reap(self, child: _Child) -> None:
        _, status = os.waitpid(child.pid, 0)
        _end_recorder(child)
        code = -child.ended_by if child.ended_by else os.waitstatus_to_exitcode(status)
        self._poll.unregister(child.pidfd)
        del self._children[child.pidfd]
        self._forget_start(child)
        if self._children.pop(child.request.fileno(), None) is not None:
            self._poll.unregister(child.request)
        reached = child.outside.reached()
        child.outside.close()
        with suppress(OSError):  # the builder may not listen any more
            wire.send(child.request, ("exit", code, *reached), wait=False)
        child.request.close()
        wire.close_all([child.pidfd, *child.held])

    def _end_all(self) -> None:
        children = {child.pid: child for child in self._children.values()}
        for child in children.values():
            _kill(child)
        for pid, child in children.items():
            os.waitpid(pid, 0)
            child.outside.close()
            _end_recorder(child)


def _stream_count(options: int) -> int:
    return bool(options & HAS_STDIN) + 2 * bool(options & HAS_OUTPUTS)


def _kill(child: _Child) -> None:
    import signal

    number = signal.SIGKILL
    if child.kept:
        from runtime.keeper import KILL as number  # noqa: N811 - a signal
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(child.pidfd, number)


def _end_recorder(child: _Child) -> None:
    import signal

    if child.recorder:
        with suppress(ProcessLookupError):
            os.kill(child.recorder, signal.SIGKILL)
        os.waitpid(child.recorder, 0)


def main(descriptor: int, prefixes: tuple[str, ...]) -> NoReturn:
    """Serve as a fresh process, on the control socket that was passed."""
    serve(wire.from_descriptor(descriptor), prefixes)
