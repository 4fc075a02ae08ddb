"""A network of one's own with a way out: a program in user space carries the packets, slirp4netns or pasta.

    launcher ─┬─ makes a network namespace, which the command joins
              └─ clone ─► guard, process 1 of its own PID namespace ─► the program, on the host's network
                            └─ ends with the program, with the launcher, or when told; the program with it

The command waits until the program is ready. The loopback of the host is not reached through it, and no port of the
command's is opened on the host.

Source: man 1 slirp4netns, man 1 passt; man 7 pid_namespaces (what ends with process 1).
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from typing import NoReturn

import msgspec

from runtime.errors import SetupFailed, Unsupported
from runtime.syscalls import CLONE_NEWNET, CLONE_NEWPID, SyscallError, Syscalls

NAME_SERVER = "10.0.2.3"
"""Where the program answers questions about names, by asking as the host does."""

PROGRAMS = ("slirp4netns", "pasta")
"""The first that is there is taken."""

_TUNNEL = "/dev/net/tun"
_FEATURE = "a network of its own for a step (`--network private`)"
_MOST_SAID = 4096
_LONGEST_WAIT = 10_000
"""Milliseconds until a program that is not ready is given up."""


class PrivateNetwork:
    """The network of one command: what it joins, how it hears that the way out is there, and the guard."""

    def __init__(self, namespace: int, ready: int, said: int, guard: int, alive: int) -> None:
        self.namespace = namespace
        self._ready = ready
        self._said = said
        self._guard = guard
        self._alive = alive

    def join(self, calls: Syscalls) -> None:
        """Move this process into the network and wait for the way out.

        Raises: SetupFailed: the program ended, or is not ready in time.
        """
        calls.join_namespace(self.namespace, CLONE_NEWNET)
        poll = select.poll()
        poll.register(self._ready, select.POLLIN)
        if not poll.poll(_LONGEST_WAIT) or not os.read(self._ready, 64):
            said = os.pread(self._said, _MOST_SAID, 0).decode("utf-8", "replace").split("\n")
            reason = next((line for line in reversed(said) if line.strip()), "it ended")
            raise SetupFailed("connect the step's own network", reason.strip())

    def close(self) -> None:
        """End the program and wait for that."""
        os.close(self._alive)
        with suppress(ProcessLookupError):
            os.kill(self._guard, 9)
        os.waitpid(self._guard, 0)
        for descriptor in (self.namespace, self._ready, self._said):
            os.close(descriptor)


class Program(msgspec.Struct, frozen=True):
    """One of `PROGRAMS`, and where it is."""

    name: str
    path: str

    def argv(self, namespace: int, ready: int, *, as_root: bool) -> tuple[str, ...]:
        """Return the words that start it for a network namespace; it writes to `ready` when it is."""
        place = f"/proc/self/fd/{namespace}"
        if self.name == "slirp4netns":
            return (
                self.path,
                "--configure",
                "--mtu=65520",
                "--disable-host-loopback",
                "--enable-sandbox",
                f"--ready-fd={ready}",
                "--netns-type=path",
                place,
                "tap0",
            )
        ports = [word for flag in "tuTU" for word in (f"-{flag}", "none")]
        return (
            self.path,
            "--foreground",
            "--quiet",
            "--config-net",
            "--netns-only",
            # As slirp4netns does it: with the host's own address, the step would take itself for the host.
            *("--ipv4-only", "--address", "10.0.2.100", "--netmask", "255.255.255.0"),
            *("--gateway", "10.0.2.2", "--ns-ifname", "tap0"),
            *(("--runas", "0:0") if as_root else ()),
            "--no-map-gw",
            "--dns-forward",
            NAME_SERVER,
            *ports,
            "--pid",
            f"/proc/self/fd/{ready}",
            "--netns",
            place,
        )


def find(directories: list[str]) -> Program:
    """Return the program to use.

    Raises: Unsupported: there is none, or the device that it needs cannot be opened.
    """
    for name in PROGRAMS:
        for directory in directories:
            path = f"{directory}/{name}"
            if os.access(path, os.X_OK):
                _try_tunnel()
                return Program(name, path)
    raise Unsupported(
        _FEATURE,
        "neither `slirp4netns` nor `pasta` is installed",
        hint="install the package `slirp4netns` or `passt`, or leave `--network private` out",
    )


def _try_tunnel() -> None:
    try:
        os.close(os.open(_TUNNEL, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError as error:
        raise Unsupported(
            _FEATURE,
            f"there is no `{_TUNNEL}`",
            hint="as root, run `modprobe tun`; inside a container, start that with `--device /dev/net/tun`",
        ) from error
    except OSError as error:
        raise Unsupported(
            _FEATURE,
            f"`{_TUNNEL}` cannot be opened ({error.strerror})",
            hint=f"as root, run `chmod 0666 {_TUNNEL}`, or leave `--network private` out",
        ) from error


def connect(calls: Syscalls) -> PrivateNetwork:
    """Make a network and start the program that connects it.

    Raises: Unsupported: there is no such program here. OSError.
    """
    program = find([*os.get_exec_path(), "/usr/bin", "/usr/sbin"])
    namespace = _new_namespace(calls)
    ready, tell = os.pipe2(os.O_CLOEXEC)
    ended, alive = os.pipe2(os.O_CLOEXEC)
    said = os.memfd_create("said", os.MFD_CLOEXEC)
    # Of the host, also where ids are mapped: only there it has to let go of rights.
    argv = program.argv(namespace, tell, as_root=_is_root_outside())
    guard = calls.clone(CLONE_NEWPID)
    if guard == 0:
        _guard(calls, argv, (namespace, tell), said, ended)
    os.close(tell)
    os.close(ended)
    return PrivateNetwork(namespace, ready, said, guard, alive)


def _new_namespace(calls: Syscalls) -> int:
    """Return a network namespace without any process."""
    waits, go = os.pipe2(os.O_CLOEXEC)
    child = calls.clone(CLONE_NEWNET)
    if child == 0:
        os.close(go)
        os.read(waits, 1)
        os._exit(0)
    os.close(waits)
    try:
        return os.open(f"/proc/{child}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(go)
        os.waitpid(child, 0)


def _is_root_outside() -> bool:
    with open("/proc/self/uid_map", encoding="ascii") as file:
        return file.readline().split()[:2] == ["0", "0"]


def _guard(
    calls: Syscalls, argv: tuple[str, ...], given: tuple[int, ...], said: int, ended: int
) -> NoReturn:
    """Start the program and wait for its end, or for that of whoever holds the other end of `ended`."""
    try:
        calls.die_with_parent()
        child = calls.clone(0)
        if child == 0:
            null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
            for number, stream in enumerate((null, said, said)):
                os.dup2(stream, number)
            # Which the interpreter ignores, and pasta takes for a mistake when it is.
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            calls.mark_close_on_exec(3)
            for descriptor in given:
                os.set_inheritable(descriptor, True)  # noqa: FBT003 - takes no keyword
            os.execve(argv[0], argv, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})  # noqa: S606 - no shell
        keep = os.pidfd_open(child)
        _close_all_but(keep, ended)
        poll = select.poll()
        poll.register(keep, select.POLLIN)
        poll.register(ended, select.POLLIN)
        poll.poll()
    except SyscallError:
        os._exit(126)
    finally:
        # As process 1 of its namespace it takes the program with it.
        os._exit(0)


def _close_all_but(*kept: int) -> None:
    first = 0
    for descriptor in sorted(kept):
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))
