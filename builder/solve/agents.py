"""Agents that hold ssh keys for a build: each step that asks for one gets a socket of its own.

    step ── /run/buildkit/ssh_agent.0 ──► Forward (a thread a connection) ──► the user's agent, or one of our own with key files

A step may ask which keys there are and have things signed; whatever would change the agent is refused here.

Source: draft-miller-ssh-agent, "Protocol messages".
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import struct
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from builder.errors import UsageError
from builder.solve.given import AgentSource

_REQUEST_IDENTITIES, _SIGN_REQUEST, _EXTENSION = 11, 13, 27
_ALLOWED = frozenset({_REQUEST_IDENTITIES, _SIGN_REQUEST, _EXTENSION})
_FAILURE = b"\0\0\0\1\5"
_LARGEST = 256 << 10
"""Bytes of one message, as in OpenSSH."""
_PATIENCE = 20.0
"""Seconds for a program of OpenSSH."""


class Agents:
    """The agents that one build was given; `scratch` is a directory for sockets, which goes with the build."""

    def __init__(self, sources: Iterable[AgentSource] = (), scratch: str = "") -> None:
        self._sources = {source.id: source for source in sources}
        self._scratch = scratch
        self._own: dict[str, _OwnAgent] = {}
        self._lock = threading.Lock()

    @property
    def sources(self) -> tuple[AgentSource, ...]:
        """Where the keys come from."""
        return tuple(self._sources.values())

    def has(self, agent_id: str) -> bool:
        """Tell whether an agent of this id was given."""
        return agent_id in self._sources

    def given(self) -> tuple[str, ...]:
        """Return the ids that were given."""
        return tuple(self._sources)

    @contextmanager
    def forwarded(self, agent_id: str, directory: str) -> Iterator[str]:
        """Listen in an own directory of the step, for as long as the block lasts; yield the socket's host path.

        Raises: UsageError: the agent cannot be reached, or a key cannot be used.
        """
        with Forward(self._socket_of(self._sources[agent_id]), directory) as path:
            yield path

    def _socket_of(self, source: AgentSource) -> str:
        kinds = [_kind(source, path) for path in source.paths]
        if kinds and all(stat.S_ISSOCK(kind) for kind in kinds):
            return source.paths[0]
        with self._lock:
            if source.id not in self._own:
                self._own[source.id] = _OwnAgent(source, self._scratch)
            return self._own[source.id].socket

    def close(self) -> None:
        """End the agents of our own."""
        for own in self._own.values():
            own.close()
        self._own.clear()


def _kind(source: AgentSource, path: str) -> int:
    try:
        return os.stat(path).st_mode
    except OSError as error:
        raise _unusable(source, f"`{path}`: {os.strerror(error.errno or 0)}") from error


def _unusable(source: AgentSource, why: str) -> UsageError:
    return UsageError(
        f"the ssh agent `{source.id}` cannot be used: {why}",
        hint=f"start one with `eval $(ssh-agent)` and `ssh-add`, or give a key: `--ssh {source.id}=KEY`",
    )


class Forward:
    """Listens on a socket and passes requests on to an agent."""

    def __init__(self, agent: str, directory: str) -> None:
        self._agent = agent
        self._path = f"{directory}/agent"
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        place = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # The name of a socket is short; this one does not depend on where the store lies.
            self._listening.bind(f"/proc/self/fd/{place}/agent")
        finally:
            os.close(place)
        self._listening.listen(16)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        return self._path

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        with contextlib.suppress(OSError):
            os.unlink(self._path)

    def _serve(self) -> None:
        while True:
            try:
                step, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._pass_on, args=(step,), daemon=True).start()

    def _pass_on(self, step: socket.socket) -> None:
        with step, contextlib.suppress(OSError, EOFError), _connected(self._agent) as agent:
            while True:
                request = _message(step)
                if request[4:5] and request[4] in _ALLOWED:
                    agent.sendall(request)
                    step.sendall(_message(agent))
                else:
                    step.sendall(_FAILURE)


def _message(stream: socket.socket) -> bytes:
    head = _exactly(stream, 4)
    (length,) = struct.unpack(">I", head)
    if length > _LARGEST:
        raise EOFError
    return head + _exactly(stream, length)


def _exactly(stream: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        piece = stream.recv(length - len(data))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)


@contextmanager
def _connected(path: str) -> Iterator[socket.socket]:
    directory, _, name = path.rpartition("/")
    place = os.open(directory or "/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
            agent.connect(f"/proc/self/fd/{place}/{name}")
            yield agent
    finally:
        os.close(place)


class _OwnAgent:
    """OpenSSH's agent with key files in it; it lives for as long as a pipe to it is open, so not longer than we."""

    def __init__(self, source: AgentSource, scratch: str) -> None:
        self._directory = f"{scratch}/agent-{os.urandom(6).hex()}"
        os.makedirs(self._directory, mode=0o700)
        self.socket = f"{self._directory}/own"
        # The agent's own limit on names is that of sockets; its directory is where it stands.
        try:
            self._process = subprocess.Popen(
                ["ssh-agent", "-a", "own", "sh", "-c", "echo $SSH_AGENT_PID; exec cat"],  # noqa: S607  the user's own
                cwd=self._directory,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise _unusable(source, "the program `ssh-agent` of OpenSSH is missing") from error
        assert self._process.stdout is not None
        said = self._process.stdout.readline().strip()
        self._agent = int(said) if said.isdigit() else 0
        if not self._agent:
            self.close()
            raise _unusable(source, "`ssh-agent` does not start")
        try:
            for path in source.paths:
                self._add(source, path)
        except BaseException:
            self.close()
            raise

    def _add(self, source: AgentSource, path: str) -> None:
        try:
            with open(path, "rb") as key:
                done = subprocess.run(
                    ["ssh-add", "-q", "-"],  # noqa: S607  the user's own
                    stdin=key,
                    capture_output=True,
                    cwd=self._directory,
                    env={"SSH_AUTH_SOCK": "own", "PATH": os.pathsep.join(os.get_exec_path())},
                    timeout=_PATIENCE,
                    check=False,
                    start_new_session=True,
                )
        except OSError as error:
            raise _unusable(source, f"`{path}`: {os.strerror(error.errno or 0)}") from error
        except subprocess.TimeoutExpired as error:
            raise _unusable(source, f"`ssh-add` does not end for `{path}`") from error
        if done.returncode != 0:
            raise _unusable(
                source, f"`{path}` is no private key without a passphrase, which `ssh-add` takes"
            )

    def close(self) -> None:
        """End it; it would notice by itself, but only some seconds later."""
        if self._agent:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._agent, signal.SIGTERM)
            self._agent = 0
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        self._process.wait(_PATIENCE)
        if self._process.stdout is not None:
            self._process.stdout.close()
        with contextlib.suppress(OSError):
            os.unlink(self.socket)
        with contextlib.suppress(OSError):
            os.rmdir(self._directory)
