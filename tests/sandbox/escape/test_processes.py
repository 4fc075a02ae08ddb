"""What a step finds of the process that started it, and of all others: nothing."""

from __future__ import annotations

import ctypes
import os
import pty
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.errors import LauncherGone, Unsupported
from runtime.launch import Launcher
from runtime.seccomp_names import numbers
from runtime.spec import IsolationName, Network
from tests.sandbox.escape import switches
from tests.sandbox.escape.ground import LEAKED, SECRET_NAME, Attack, refused
from tests.sandbox.harness import processes_of, walls

LIBC = ctypes.CDLL(None, use_errno=True)
PROCESSES = [os.getpid(), os.getppid(), 1]


def test_no_descriptor_but_the_three_is_inherited(attack: Attack) -> None:
    assert os.fstat(LEAKED)
    assert refused(attack("descriptors"))


def test_nothing_is_inherited_by_a_user_either(attack: Attack) -> None:
    assert refused(attack("descriptors", user="ann"))


@pytest.mark.parametrize(
    "path",
    [f"/proc/self/fd/{LEAKED}", f"/proc/1/fd/{LEAKED}", "/proc/self/fd/9/..", "/proc/self/cwd"],
)
def test_no_descriptor_is_a_working_directory(attack: Attack, path: str, victim: Path) -> None:
    from runtime.errors import SandboxError

    try:
        ran = attack("up", str(victim), cwd=path)
    except SandboxError:
        return
    assert refused(ran)


def test_the_callers_environment_stays_outside(attack: Attack) -> None:
    names = {line.partition("=")[0] for line in attack.run("env").out.splitlines()}
    assert names <= {"PATH", "HOME", "PWD", "SHLVL", "OLDPWD", "_"}


def test_other_processes_are_not_there(attack: Attack) -> None:
    listed = attack.run("ls /proc | grep -c '^[0-9]*$'; ps | grep -c pytest").out.split()
    assert int(listed[0]) < 10


@pytest.mark.parametrize("pid", ["outer", "parent"])
def test_other_processes_cannot_be_touched(attack: Attack, pid: str) -> None:
    number = os.getpid() if pid == "outer" else os.getppid()
    if number > 20:
        assert refused(attack("process", str(number)))
        assert refused(attack("setns", str(number)))


def test_process_1_is_the_step_itself(attack: Attack, victim: Path) -> None:
    ran = attack.run(f"ls /proc/1/root{victim} /proc/1/cwd{victim}; readlink /proc/1/exe")
    assert ran.out == "/bin/busybox\n"
    assert refused(attack("setns", "0"))


@pytest.fixture
def session_key() -> str:
    """A key in the session keyring of the tests, which only who possesses it may see."""
    call = numbers(os.uname().machine)
    name = f"lapstrake-test-{os.getpid()}"
    assert LIBC.syscall(call["keyctl"], 1, f"{name}-session".encode()) >= 0
    key = LIBC.syscall(call["add_key"], b"user", name.encode(), b"secret", 6, -3)
    if key < 0:
        pytest.skip("optional: this user may add no more keys")
    LIBC.syscall(call["keyctl"], 5, key, 0x3F000000)
    return name


def test_the_filter_keeps_keys_away(attack: Attack, session_key: str) -> None:
    assert refused(attack("keys", session_key))
    assert refused(attack("addkey"))


def test_the_session_keyring_is_a_new_one(
    session_key: str, attack_without_a_filter: Attack
) -> None:
    assert refused(attack_without_a_filter("keys", session_key))


def test_the_callers_terminal_is_out_of_reach(image: Path, tmp_path: Path) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        code = 99
        try:
            switches.switch_off_what_is_asked()
            one = Launcher.fork()
            one.open(walls())
            attack = Attack(one, tmp_path, image)
            code = attack("terminal").code
            one.close()
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)
    assert status == 1


@pytest.fixture
def listening() -> Iterator[str]:
    """An abstract socket of the host."""
    name = f"lapstrake-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{name}")
        server.listen()
        yield name


def test_without_a_network_no_abstract_socket_is_reached(attack: Attack, listening: str) -> None:
    assert refused(attack("abstract", listening, network=Network.NONE))


def test_with_the_hosts_network_its_abstract_sockets_are_reached(
    attack: Attack, listening: str
) -> None:
    """As `docs/security.md` says; the name would be gone with a network namespace alone."""
    assert attack("abstract", listening).code == 0


def test_only_root_behind_roots_walls_hears_the_hosts_network(attack: Attack) -> None:
    """As with Docker's `--network host`: CAP_NET_RAW counts where the network belongs to the same user namespace."""
    assert attack("packets").code == (0 if walls() is IsolationName.ROOT else 1)
    assert refused(attack("packets", user="ann"))
    assert attack("packets", network=Network.NONE).code == 0


def test_shared_memory_of_the_host_is_not_there(attack: Attack) -> None:
    key = os.getpid() | 1 << 24
    segment = LIBC.shmget(key, 4096, 0o1666)
    assert segment >= 0
    try:
        assert refused(attack("segment", str(key)))
    finally:
        LIBC.shmctl(segment, 0, None)


def test_a_step_ends_with_the_launcher(image: Path, tmp_path: Path, launcher: Launcher) -> None:
    one = Launcher.fork()
    one.open(walls())
    attack = Attack(one, tmp_path, image)
    marker = f"600.{os.getpid()}"
    spec = attack.spec("/bin/busybox", "sleep", marker)

    def run() -> None:
        with pytest.raises(LauncherGone):
            attack.start(spec)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        _until(lambda: bool(processes_of(f"sleep {marker}")))
        os.kill(one._pid, signal.SIGKILL)
        thread.join()
        ended = _until(lambda: not processes_of(f"sleep {marker}"))
        assert ended, "the step lives on"
    finally:
        one.close()
        for pid in processes_of(f"sleep {marker}"):
            os.kill(int(pid), signal.SIGKILL)


def _until(condition: object, seconds: float = 3) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_nothing_names_the_host_in_what_a_step_sees_of_itself(attack: Attack) -> None:
    assert (
        SECRET_NAME
        not in attack.run("cat /proc/self/mountinfo /proc/self/maps /proc/self/cgroup").out
    )


@pytest.fixture
def loopback_port() -> Iterator[int]:
    """A port of the host's loopback on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_network_with_a_way_out_reaches_nothing_of_the_hosts_own(
    attack: Attack, listening: str, loopback_port: int
) -> None:
    try:
        attack.run("true", network=Network.PRIVATE)
    except Unsupported as error:
        pytest.skip(f"optional: {error.message}")
    assert refused(attack("abstract", listening, network=Network.PRIVATE))
    port = str(loopback_port)
    assert refused(attack("tcp", "127.0.0.1", port, network=Network.PRIVATE))
    assert refused(attack("tcp", "10.0.2.2", port, network=Network.PRIVATE))
    assert attack("tcp", "127.0.0.1", port).code == 0
