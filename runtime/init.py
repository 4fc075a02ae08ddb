"""The child: process 1 of its namespaces, which sets itself up by a plan and becomes the command.

    launcher ─ clone ─► init: read the specification · execute the plan · streams · privileges ─ exec ─► command

It runs in a copy of the launcher's memory and never returns to the launcher's code. What fails is sent back as a
frame; a successful exec closes the socket, as everything else.
"""

from __future__ import annotations

import errno
import os
import signal
import stat
from contextlib import suppress
from typing import NoReturn

import msgspec

from runtime import capabilities, wire
from runtime.emulation import machine_of_file
from runtime.errors import SandboxError, SetupFailed, StartFailed, Unsupported
from runtime.features import Features
from runtime.outside import Outside
from runtime.plan import plan
from runtime.scene import Scene
from runtime.spec import ContainerSpec, Process, Security
from runtime.syscalls import CLONE_NEWUSER, SyscallError, Syscalls
from runtime.terminal import open_terminal
from runtime.trampoline import SOCKET
from runtime.user import User
from runtime.user_namespace import write_own_maps

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_FAILED = 125
_MOUNTING = frozenset({"fsopen", "fsmount", "open_tree", "move_mount", "mount", "mount_setattr"})
_decoder = msgspec.msgpack.Decoder(ContainerSpec)


class Start(msgspec.Struct, frozen=True):
    """What the launcher hands to a child: its socket, its streams (none for a terminal), and what was prepared.

    `until_exec` holds the pipe that tells the launcher how far this one is, if it asks; `trampoline` is the descriptor of
    the program that becomes the command. `spec` is there if it has been received already. `outside` is what the launcher
    has made for this command, `recorder` and the filter `pretence` are there where there is one id, and owners are to be
    remembered.
    """

    request: wire.Socket
    stdin: int | None
    outputs: tuple[int, ...]
    until_exec: tuple[int, ...]
    features: Features
    filter: bytes | None
    trampoline: int
    outside: Outside
    spec: ContainerSpec | None = None
    recorder: wire.Socket | None = None
    pretence: bytes = b""


def become_command(calls: Syscalls, start: Start) -> NoReturn:
    """Set up and exec; on failure send why and end."""
    try:
        _set_up_and_exec(calls, start)
    except SandboxError as error:
        send_failure(start.request, error)
    except BaseException as error:  # noqa: BLE001 - nothing may return into the launcher's copy
        send_failure(start.request, SetupFailed("start the command", repr(error)))
    finally:
        os._exit(_FAILED)


def encode_failure(error: SandboxError) -> tuple[str, str, dict[str, object]]:
    """Return a failure as a frame."""
    fields: dict[str, object] = {"hint": error.hint}
    match error:
        case StartFailed():
            fields |= {"message": error.message, "exit_code": error.exit_code, "notes": error.notes}
            fields |= {"machine": error.machine}
            return ("failed", "start", fields)
        case Unsupported():
            fields |= {"feature": error.feature, "reason": error.reason, "notes": error.notes}
            return ("failed", "unsupported", fields)
        case SetupFailed():
            fields |= {"operation": error.operation, "reason": error.reason}
            return ("failed", "setup", fields)
        case _:
            fields |= {"operation": "start the command", "reason": error.message}
            return ("failed", "setup", fields)


def send_failure(request: wire.Socket, error: SandboxError) -> None:
    """Tell the builder why nothing of the command has run."""
    try:
        wire.send(request, encode_failure(error))
    except OSError:
        return  # nobody is left to be told


def _set_up_and_exec(calls: Syscalls, start: Start) -> None:
    calls.die_with_parent()
    calls.mark_close_on_exec(3)
    calls.new_session()
    spec = start.spec or receive_spec(start)
    os.umask(0)
    scene = Scene()
    scene.outside = start.outside
    if spec.limits or start.outside.cgroup is not None:
        from runtime import process_limits  # noqa: F401 - while modules can be found
    steps = plan(spec, start.features)
    if start.features.chroot:
        # Of the devices around us, as those in the tree go away again.
        _open_streams(start, scene.user, spec.process)
    for step in steps:
        try:
            step.execute(calls, scene)
        except OSError as error:
            raise explained(step.describe(), error) from error
    if not start.features.chroot:
        _open_streams(start, scene.user, spec.process)
    os.umask(0o022)
    _set_limits(start, spec)
    _drop_privileges(calls, start, scene.user, spec.security)
    _execute(start, spec.process, scene.user)


def receive_spec(start: Start) -> ContainerSpec:
    """Return the specification that the builder sends first; what comes over the socket then is for the launcher."""
    spec = _decoder.decode(wire.receive_bytes(start.request)[0])
    for pipe in start.until_exec:
        os.write(pipe, b"x")
    return spec


def explained(operation: str, error: OSError) -> SetupFailed:
    """Return what to say of an operation that the kernel refused."""
    reason = str(error) if isinstance(error, SyscallError) else error.strerror or str(error)
    hint = None
    if error.errno == errno.EINVAL and "overlay" in reason:
        hint = "put the store on another file system with `--root`: changes cannot lie on an overlay or a network one"
    elif error.errno == errno.EPERM and "of proc" in reason:
        hint = "inside a container, run that one with an unmasked /proc (`--security-opt systempaths=unconfined`)"
    elif error.errno == errno.EPERM and isinstance(error, SyscallError) and error.call in _MOUNTING:
        hint = "root may not mount here: give `--isolation userns-root`, or run in a namespace that may (a privileged container)"
    elif error.errno == errno.ENOSPC:
        hint = "free space on the store's file system, for example with `lapstrake prune`"
    return SetupFailed(operation, reason, hint=hint)


def _open_streams(start: Start, user: User, process: Process) -> None:
    if process.terminal:
        master, slave = open_terminal()
        wire.send(start.request, ("terminal",), (master,))
        os.close(master)
        streams: tuple[int, int, int] = (slave, slave, slave)
    else:
        stdin = start.stdin
        if stdin is None:
            stdin = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        streams = (stdin, start.outputs[0], start.outputs[1])
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        if process.terminal or os.readlink(f"/proc/self/fd/{number}").startswith("pipe:"):
            # Now /dev/stdout can be reopened; a terminal or a file of the caller's stays the caller's.
            with suppress(OSError):
                os.fchown(number, user.uid, -1)


def _set_limits(start: Start, spec: ContainerSpec) -> None:
    """Limit this process, and tell the builder of the limits that cannot be set."""
    unset = [] if start.outside.cgroup is None else start.outside.cgroup.unset
    if not (spec.limits or unset):
        return
    from runtime import process_limits

    if spec.resources is not None:
        unset = process_limits.stand_in(spec.resources, unset)
    unset = [*unset, *process_limits.set_limits(spec.limits)]
    if unset:
        wire.send(start.request, ("unset", *unset))


def _drop_privileges(calls: Syscalls, start: Start, user: User, security: Security) -> None:
    if start.features.single_id and (user.uid or user.gid):
        _be_called(calls, user)
    try:
        calls.new_session_keyring()
    except SyscallError as error:
        if error.errno not in {errno.ENOSYS, errno.EDQUOT, errno.EPERM}:
            raise
    insecure = security is Security.INSECURE
    everything = calls.permitted_capabilities() if insecure else 0
    if insecure:
        calls.keep_capabilities()
    else:
        _bound(calls, start)
    if start.filter is not None and not insecure:
        _filter(calls, start, start.filter)
    if not start.features.single_id:
        _take_on(calls, user)
    if insecure:
        # Users have them all too, as with BuildKit.
        calls.hand_on_capabilities(everything)
    elif not start.features.single_id:
        # For users too: what the caller could inherit, a program with file capabilities would get.
        kept = calls.permitted_capabilities() if start.features.chroot else ~0
        calls.set_capabilities(capabilities.DEFAULT_MASK & kept if user.uid == 0 else 0)
    if start.features.single_id:
        _pretend(calls, start, user)
    # Taking on a user cleared the parent-death signal.
    calls.die_with_parent()
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)


def _bound(calls: Syscalls, start: Start) -> None:
    """Give up for good what Docker's containers do not have."""
    for capability in capabilities.to_drop(start.features.last_capability):
        try:
            calls.drop_bounding(capability)
        except SyscallError:
            if not start.features.chroot:
                raise
            return  # a container that does not allow even that


def _filter(calls: Syscalls, start: Start, program: bytes) -> None:
    """Load the filter: without no_new_privs that needs CAP_SYS_ADMIN, so it comes before the capabilities go.

    Without walls that capability may be missing; where the container has a filter of its own, that will do.
    """
    if start.features.filtered:
        return
    try:
        calls.load_filter(program)
    except SyscallError:
        if not start.features.chroot:
            raise
        calls.forbid_new_privileges()
        calls.load_filter(program)


def _take_on(calls: Syscalls, user: User) -> None:
    try:
        # The own group is a supplementary one too: else giving it up would pass checks against the group.
        calls.become(user.uid, user.gid, tuple(dict.fromkeys((user.gid, *user.groups))))
    except OSError as error:
        raise StartFailed(
            f"the command cannot run as user {user.uid}, group {user.gid}: {error.strerror}",
            exit_code=126,
            hint="without root, ids are limited to the subordinate ids in /etc/subuid and /etc/subgid",
        ) from error


def _be_called(calls: Syscalls, user: User) -> None:
    """Give the one id there is the number of the user, in a user namespace of the step's own."""
    calls.unshare(CLONE_NEWUSER)
    write_own_maps(((user.uid, 0, 1),), ((user.gid, 0, 1),))


def _pretend(calls: Syscalls, start: Start, user: User) -> None:
    """Load what answers calls that need more ids, and hand its questions to the recorder.

    Loading it needs capabilities, so that they go with the start of the command only, by the bounding set and the user.
    """
    assert start.recorder is not None, "there is one wherever there is one id"
    listener = calls.load_asking_filter(start.pretence)
    wire.send(start.recorder, (user.uid, user.gid), (listener,))
    start.recorder.close()
    os.close(listener)


def _execute(start: Start, process: Process, user: User) -> None:
    env: dict[str, str] = {}
    for item in process.env:
        name, equals, value = item.partition("=")
        if name and equals:
            env[name] = value
    env.setdefault("HOME", user.home)
    command = process.argv[0]
    if "/" in command:
        _refuse_what_is_no_program(command)
        _become(start, command, process.argv, env)
    denied: StartFailed | None = None
    for directory in env.get("PATH", _DEFAULT_PATH).split(":"):
        candidate = f"{directory or '.'}/{command}"
        try:
            _refuse_what_is_no_program(candidate)
        except StartFailed as error:
            if error.exit_code != 127:
                denied = error
        else:
            _become(start, candidate, process.argv, env)
    if denied is not None:
        raise denied
    raise StartFailed(
        f"`{command[:200]}` is not found in PATH",
        exit_code=127,
        notes=(f"PATH is `{env.get('PATH', _DEFAULT_PATH)}`",),
    )


def _refuse_what_is_no_program(path: str) -> None:
    try:
        regular = stat.S_ISREG(os.stat(path).st_mode)
    except OSError as error:
        raise not_executed(path, error.errno or 0, exists=False) from error
    if not (regular and os.access(path, os.X_OK, effective_ids=True)):
        raise not_executed(path, errno.EACCES)


def _become(start: Start, path: str, argv: tuple[str, ...], env: dict[str, str]) -> None:
    """Execute the trampoline, which executes the command or tells the builder why not."""
    if start.request.fileno() == SOCKET:
        os.set_inheritable(SOCKET, True)  # noqa: FBT003 - takes no keyword
    else:
        os.dup2(start.request.fileno(), SOCKET, inheritable=True)
    machine = machine_of_file(path)
    if machine not in (None, start.features.machine):
        wire.send(start.request, ("machine", machine))  # should the kernel refuse it
    try:
        os.execve(start.trampoline, [path, *argv], env)  # noqa: S606 - no shell is wanted
    except OSError as error:
        raise not_executed(path, error.errno or 0) from error


def not_executed(path: str, number: int, *, exists: bool = True, machine: str = "") -> StartFailed:
    """Return what to say of a command that the kernel did not execute, by error number; `machine` is that of a foreign program."""
    if number in {errno.ENOENT, errno.ENOTDIR}:
        reason = (
            "needs an interpreter or loader that is not in the root file system"
            if exists
            else "is not found"
        )
        return StartFailed(f"`{path[:200]}` {reason}", exit_code=127)
    if number == errno.ENOEXEC and machine:
        return StartFailed(
            f"`{path[:200]}` cannot be executed: it is a program for `{machine}`",
            exit_code=126,
            machine=machine,
        )
    reason = {
        errno.EACCES: "it is not an executable file, or permission is denied",
        errno.ENOEXEC: "it is no program of this machine's kind, and does not begin with `#!`",
        errno.E2BIG: "its arguments and environment are too long",
    }.get(number, os.strerror(number))
    return StartFailed(f"`{path[:200]}` cannot be executed: {reason}", exit_code=126)
