"""The builder's side of the launcher: starting it, running commands and functions behind it.

Importing this is cheap, so that `Launcher.fork()` can be the first thing that a program does: the launcher then
shares little memory with it, has no threads and holds nothing of the builder's.
"""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock  # `threading` is on no cached build's way
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, cast

import msgspec

from runtime import wire
from runtime.errors import (
    Interrupted,
    JobFailed,
    LauncherGone,
    SandboxError,
    SetupFailed,
    StartFailed,
    Unsupported,
)
from runtime.idmap import IdRanges
from runtime.spec import ContainerSpec, ExitStatus, IsolationName, Network, Unset
from runtime.zygote import (
    EMULATE,
    HAS_OUTPUTS,
    HAS_STDIN,
    OPEN,
    OWN_NETWORK,
    PLAIN_ROOT,
    PRIVATE_NETWORK,
    RUN,
    SIGNALS,
    WORKER,
    serve,
)

if TYPE_CHECKING:
    from runtime.emulation import Emulation
    from runtime.forward import Forward

_JOBS = ("builder.",)
_MOST_IDLE = 4
_SHUT_WR, _SHUT_RDWR = 1, 2
_SIGKILL = 9


class Cancellation:
    """Ends whatever is registered on it; may be cancelled from any thread or signal handler, more than once."""

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._requests: dict[int, wire.Socket] = {}

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self.signal_number is not None

    def cancel(self, signal_number: int = 2) -> None:
        """Kill the processes of every run and call registered here; each then raises Interrupted."""
        if self.signal_number is None:
            self.signal_number = signal_number
        # No lock: a signal handler may come while its own thread holds it. Registering looks at the
        # number after adding itself, so nobody is missed.
        for request in list(self._requests.values()):
            _hang_up(request)

    def register(self, request: wire.Socket) -> None:
        """Have `request` hung up by `cancel`, at once if that has happened."""
        self._requests[id(request)] = request
        if self.cancelled:
            _hang_up(request)

    def forget(self, request: wire.Socket) -> None:
        """Undo `register`."""
        self._requests.pop(id(request), None)


class Entered(msgspec.Struct, frozen=True, array_like=True):
    """The walls that stand, as the builder knows them: their name, both id maps, why no stronger ones, what is weaker."""

    name: IsolationName
    uids: IdRanges
    gids: IdRanges
    passed_over: tuple[str, ...]
    weaker: tuple[str, ...]


class Launcher:
    """A launcher process; its methods may be called from many threads at once."""

    def __init__(self, control: wire.Socket, pid: int, reap: Callable[[], object]) -> None:
        self._control = control
        self._pid = pid
        self._reap = reap
        self._opened: Entered | None = None
        self._refused: Unsupported | None = None
        self._opening = allocate_lock()
        self._idle: list[wire.Socket] = []

    @classmethod
    def fork(cls, jobs: tuple[str, ...] = _JOBS) -> Launcher:
        """Start a launcher as a copy of this process, which must be young and have one thread.

        `jobs` are the beginnings of the names of modules whose functions `call` may run.
        """
        ours, theirs = wire.control_pair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            serve(theirs, jobs)
        theirs.close()
        return cls(ours, pid, lambda: os.waitpid(pid, 0))

    @classmethod
    def spawn(cls, jobs: tuple[str, ...] = _JOBS) -> Launcher:
        """Start a launcher as a fresh interpreter, for programs that have threads or much memory."""
        import subprocess

        if not sys.executable:
            raise Unsupported(
                "starting the launcher", "this program has no Python interpreter of its own"
            )
        ours, theirs = wire.control_pair()
        number = theirs.fileno()
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            f"from runtime.zygote import main; main({number}, {jobs!r})"
        )
        try:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
                [sys.executable, "-I", "-c", code],
                pass_fds=(number,),
                stdin=subprocess.DEVNULL,
                env={"PATH": os.pathsep.join(os.get_exec_path())},
            )
        finally:
            theirs.close()
        return cls(ours, process.pid, process.wait)

    def open(self, isolation: IsolationName = IsolationName.AUTO) -> IsolationName:
        """Enter the walls, once; later calls return which walls stand.

        Raises: Unsupported: they cannot be entered here, or others stand already. LauncherGone.
        """
        name = self._enter(isolation).name
        if isolation not in {IsolationName.AUTO, name}:
            raise Unsupported(
                f"isolation `{isolation.value}`", f"this process already uses `{name.value}`"
            )
        return name

    @property
    def id_map(self) -> IdRanges:
        """User ids: `(inside, on the host, count)`; the identity for root. Opens the walls."""
        return self._enter(IsolationName.AUTO).uids

    @property
    def gid_map(self) -> IdRanges:
        """Group ids, as `id_map`."""
        return self._enter(IsolationName.AUTO).gids

    @property
    def passed_over(self) -> tuple[str, ...]:
        """Why each stronger kind of walls cannot be had here. Opens the walls."""
        return self._enter(IsolationName.AUTO).passed_over

    @property
    def weaker(self) -> tuple[str, ...]:
        """What is weaker about these walls than about the strongest. Opens the walls."""
        return self._enter(IsolationName.AUTO).weaker

    def run(
        self,
        spec: ContainerSpec,
        *,
        stdin: int | None,
        stdout: int,
        stderr: int,
        cancellation: Cancellation | None = None,
        signals: Forward | None = None,
        on_terminal: Callable[[int], None] | None = None,
        on_unset: Callable[[Unset], None] | None = None,
        hold: tuple[int, ...] = (),
    ) -> ExitStatus:
        """Run a command and wait for its end; all its processes have ended then.

        The descriptors stay the caller's; those in `hold`, such as locks, are also held by the launcher until the
        command's last process has ended, whatever happens to the caller. With `spec.process.terminal` they are not used: `on_terminal` gets the
        descriptor of the terminal's outer side, and must return soon. `signals` reaches the command; what comes
        before that has started ends it, and the status is that of the signal. `on_unset` hears of each limit that
        cannot be set.

        Raises: SetupFailed, StartFailed: nothing of the command has run. Interrupted. Unsupported. LauncherGone.
        """
        self._enter(IsolationName.AUTO)
        options = OWN_NETWORK if spec.network is Network.NONE else 0
        if signals is not None:
            options |= SIGNALS
        if spec.rootfs.plain:
            options |= PLAIN_ROOT
        if spec.network is Network.PRIVATE:
            options |= PRIVATE_NETWORK
        resources = b"" if spec.resources is None else msgspec.msgpack.encode(spec.resources)
        streams: tuple[int, ...] = ()
        if not spec.process.terminal:
            options |= HAS_OUTPUTS
            streams = (stdout, stderr)
            if stdin is not None:
                options |= HAS_STDIN
                streams = (stdin, *streams)
        request = self._request(RUN, options, (*streams, *hold), resources)
        try:
            if cancellation is not None:
                cancellation.register(request)
            _send_first(request, spec)
            if signals is not None:
                signals.reach(request)
            answers = _Answers(spec.process.argv[:1], cancellation, on_terminal, on_unset)
            return answers.wait_for_exit(request)
        finally:
            if signals is not None:
                signals.forget()
            if cancellation is not None:
                cancellation.forget(request)
            request.close()

    def emulation(self, machine: str, directory: str) -> Emulation:
        """Make programs of another machine run behind the walls, if that can be had, and return how.

        In `directory`, a host path that is there behind the walls, something is put for a moment.

        Raises: SetupFailed: nothing can be put there. Unsupported. LauncherGone.
        """
        from runtime.emulation import Emulation

        self._enter(IsolationName.AUTO)
        request = self._request(EMULATE, 0, ())
        try:
            _send_first(request, (machine, directory))
            answer = _receive(request)[0]
        finally:
            request.close()
        if answer[0] == "failed":
            raise _failure(answer)
        return msgspec.convert(answer[1], Emulation)

    def call(
        self,
        function: str,
        arguments: object,
        *,
        fds: tuple[int, ...] = (),
        report: Callable[[object], None] | None = None,
        cancellation: Cancellation | None = None,
        hold: tuple[int, ...] = (),
    ) -> object:
        """Run `package.module:function` behind the walls and return its result, plain data.

        The function is called as `function(arguments, fds, report)`; what it reports is passed to `report` here.
        The descriptors in `hold` are also held by the launcher until the process that it runs in has ended: as long
        as this launcher is open, since such a process may be used again. They are to be the same at each call.

        Raises: JobFailed: it raised. Interrupted. Unsupported. LauncherGone.
        """
        self._enter(IsolationName.AUTO)
        try:
            worker = self._idle.pop()
        except IndexError:
            worker = self._request(WORKER, 0, hold)
        finished = False
        try:
            if cancellation is not None:
                cancellation.register(worker)
            _send_first(worker, ("job", function, arguments), fds)
            result, finished = _wait_for_result(worker, cancellation, report)
        finally:
            if cancellation is not None:
                cancellation.forget(worker)
            if (
                finished
                and len(self._idle) < _MOST_IDLE
                and not (cancellation and cancellation.cancelled)
            ):
                self._idle.append(worker)
            else:
                worker.close()
        if isinstance(result, JobFailed):
            raise result
        return result

    def close(self) -> None:
        """End the launcher and everything behind it, and wait for that."""
        while self._idle:
            self._idle.pop().close()
        if self._pid:
            # Forked copies of this process may hold the socket too.
            with suppress(OSError):
                self._control.shutdown(_SHUT_RDWR)
            self._control.close()
            self._pid = 0
            with suppress(ChildProcessError):  # somebody else may have reaped it
                self._reap()

    def _enter(self, isolation: IsolationName) -> Entered:
        if self._opened is None:
            with self._opening:
                if self._refused is not None:
                    # Trying again, half-way behind the walls, would give another reason.
                    raise self._refused
                if self._opened is None:
                    try:
                        self._opened = self._open(isolation)
                    except Unsupported as error:
                        self._refused = error
                        raise
        return self._opened

    def _open(self, isolation: IsolationName) -> Entered:
        request = self._request(OPEN, 0, ())
        try:
            _send_first(request, isolation.value)
            answer = _receive(request)[0]
        finally:
            request.close()
        if answer[0] == "failed":
            raise _failure(answer)
        return msgspec.convert(answer[1:], Entered)

    def _request(
        self, kind: bytes, options: int, descriptors: tuple[int, ...], resources: bytes = b""
    ) -> wire.Socket:
        if not self._pid:
            raise LauncherGone("the launcher is closed")
        ours, theirs = wire.stream_pair()
        try:
            wire.send_message(
                self._control, kind + bytes([options]) + resources, (theirs.fileno(), *descriptors)
            )
        except (BrokenPipeError, ConnectionResetError) as error:
            ours.close()
            raise LauncherGone("the launcher process has ended unexpectedly") from error
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return ours


def _hang_up(request: wire.Socket) -> None:
    with suppress(OSError):  # it may have ended meanwhile
        request.shutdown(_SHUT_WR)


def _send_first(request: wire.Socket, value: object, descriptors: tuple[int, ...] = ()) -> None:
    try:
        wire.send(request, value, descriptors)
    except (BrokenPipeError, ConnectionResetError):
        return  # hung up already; the answer says why
    except UnicodeEncodeError as error:
        raise SetupFailed(
            "pass on the command", f"`{error.object[:100]!r}` is not text in UTF-8"
        ) from error


def _receive(request: wire.Socket) -> tuple[tuple[object, ...], list[int]]:
    try:
        value, descriptors = wire.receive(request)
    except (EOFError, ConnectionResetError) as error:
        raise LauncherGone("the launcher process has ended unexpectedly") from error
    return tuple(cast("list[object]", value)), descriptors


class _Answers:
    """What comes back about a run, until its end."""

    def __init__(
        self,
        command: tuple[str, ...],
        cancellation: Cancellation | None,
        on_terminal: Callable[[int], None] | None,
        on_unset: Callable[[Unset], None] | None,
    ) -> None:
        self._command = command
        self._cancellation = cancellation
        self._on_terminal = on_terminal
        self._on_unset = on_unset
        self._failure: SandboxError | None = None
        self._machine = ""

    def wait_for_exit(self, request: wire.Socket) -> ExitStatus:
        """Return how it ended, or raise why it did not begin."""
        while True:
            answer, descriptors = _receive(request)
            match answer:
                case ("terminal",):
                    if self._on_terminal is None:
                        wire.close_all(descriptors)
                    else:
                        self._on_terminal(descriptors.pop())
                case ("unset", *limits):
                    if self._on_unset is not None:
                        for limit in msgspec.convert(limits, tuple[Unset, ...]):
                            self._on_unset(limit)
                case ("failed", *_):
                    self._failure = _failure(answer)
                case ("machine", str(machine)):
                    self._machine = machine
                case ("exec", int(number)):
                    from runtime.init import not_executed

                    command = "".join(self._command)
                    self._failure = not_executed(command, number, machine=self._machine)
                case ("exit", int(code), *reached):
                    return self._end(code, msgspec.convert(reached, tuple[str, ...]))
                case _:
                    raise LauncherGone("the launcher process answered nonsense")

    def _end(self, code: int, reached: tuple[str, ...]) -> ExitStatus:
        if self._cancellation is not None and self._cancellation.signal_number is not None:
            raise Interrupted(self._cancellation.signal_number)
        if self._failure is not None:
            raise self._failure
        if code >= 0:
            return ExitStatus(code, reached=reached)
        return ExitStatus(128 - code, -code, reached)


def _wait_for_result(
    worker: wire.Socket,
    cancellation: Cancellation | None,
    report: Callable[[object], None] | None,
) -> tuple[object, bool]:
    """Return what a job returned or raised, and that its worker may be used again."""
    while True:
        try:
            answer, _ = _receive(worker)
        except LauncherGone:
            if cancellation is not None and cancellation.signal_number is not None:
                raise Interrupted(cancellation.signal_number) from None
            raise
        match answer:
            case ("report", value):
                if report is not None:
                    report(value)
            case ("result", value):
                return value, True
            case ("raised", str(message), str(kind), dict(detail)):
                return JobFailed(message, kind=kind, detail=cast("dict[str, object]", detail)), True
            case ("failed", *_):
                raise _failure(answer)
            case ("exit", int(code)):
                if cancellation is not None and cancellation.signal_number is not None:
                    raise Interrupted(cancellation.signal_number)
                how = (
                    "it was killed, perhaps for lack of memory"
                    if code == -_SIGKILL
                    else f"code {code}"
                )
                raise LauncherGone(f"a process behind the launcher has ended unexpectedly: {how}")
            case _:
                raise LauncherGone("a process behind the launcher answered nonsense")


def _failure(answer: tuple[object, ...]) -> SandboxError:
    _, kind, fields = cast("tuple[str, str, Mapping[str, object]]", answer)
    sort = {"start": StartFailed, "setup": SetupFailed, "unsupported": Unsupported}[kind]
    arguments = msgspec.convert(fields, dict[str, object])
    if "notes" in arguments:
        arguments["notes"] = tuple(cast("list[str]", arguments["notes"]))
    return cast("Callable[..., SandboxError]", sort)(**arguments)
