"""Networks of one's own with a way out: what is reached through them, and that nothing of them is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.errors import LauncherGone, SetupFailed, Unsupported
from runtime.launch import Launcher
from runtime.private_network import PROGRAMS, find
from runtime.spec import Network
from tests.sandbox.harness import Sandbox, walls

TUNNEL = "/dev/net/tun"
usable = os.access(TUNNEL, os.R_OK | os.W_OK)
"""Whether this user may open the device; where not, the refusal is what is tested."""


def own_address() -> str:
    """Return the address of this host that packets to elsewhere come from."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect(("192.0.2.1", 9))
        return str(asking.getsockname()[0])


@contextmanager
def server(address: str, greeting: bytes = b"hello\n") -> Iterator[int]:
    """Say something on a port of an address of this host."""
    with socket.create_server((address, 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    one, _ = listening.accept()
                except OSError:
                    return
                with one:
                    one.sendall(greeting)
                    # Else the end may overtake the greeting on its way through an early pasta.
                    one.settimeout(5)
                    while one.recv(100):
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.enable_socket
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_host_is_reached_by_its_address_and_not_on_its_loopback(
    program: str, image: Path, tmp_path: Path
) -> None:
    address = own_address()
    with server(address) as outer, server("127.0.0.1", b"inside\n") as inner:
        script = f"""
            timeout 10 nc {address} {outer} </dev/null
            for each in 10.0.2.2 127.0.0.1; do timeout 2 nc $each {inner} </dev/null; done
            ls /sys/class/net
        """
        ran = subprocess.run(
            [sys.executable, "-m", "tests.sandbox.private_network_program",
             program, tmp_path, image, script],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    found = json.loads(ran.stdout)
    if shutil.which(program) is None:
        assert "is installed" in found["refused"]
    elif not usable:
        assert f"`{TUNNEL}` cannot be opened" in found["refused"]
        assert found["hint"].startswith(f"as root, run `chmod 0666 {TUNNEL}`")
    else:
        # An early pasta on a busy machine delivers what it sends again more than once.
        assert list(dict.fromkeys(found["out"].split())) == ["hello", "lo", "tap0"], found


def test_without_a_program_both_are_named(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="neither `slirp4netns` nor `pasta` is installed"):
        find([str(tmp_path)])


@pytest.mark.skipif(not usable, reason=f"optional: may not open {TUNNEL}")
def test_the_first_program_is_taken(tmp_path: Path) -> None:
    for name in reversed(PROGRAMS):
        (tmp_path / name).touch(0o755)
        assert find(["/nonexistent", str(tmp_path)]).name == name


@pytest.mark.skipif(not usable, reason=f"optional: may not open {TUNNEL}")
def test_what_the_program_says_when_it_fails_is_the_reason(
    monkeypatch: pytest.MonkeyPatch, image: Path, tmp_path: Path
) -> None:
    program = tmp_path / "programs/slirp4netns"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho no way out >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    launcher = Launcher.spawn()
    try:
        launcher.open(walls())
        with pytest.raises(SetupFailed, match="network: no way out"):
            Sandbox(launcher, tmp_path, image).run("true", network=Network.PRIVATE)
        assert descendants(launcher) == set()
    finally:
        launcher.close()


@pytest.mark.skipif(not usable, reason=f"optional: may not open {TUNNEL}")
@pytest.mark.skipif(shutil.which("slirp4netns") is None, reason="slirp4netns is not installed")
def test_nothing_outlives_the_command_or_a_killed_launcher(
    image: Path, tmp_path: Path, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    launcher = Launcher.spawn()
    try:
        launcher.open(walls())
        sandbox = Sandbox(launcher, tmp_path, image)
        assert sandbox.run("true", network=Network.PRIVATE).code == 0
        assert descendants(launcher) == set()
        spec = sandbox.spec("touch /started; sleep 60", network=Network.PRIVATE)
        ended: list[Exception] = []

        def run() -> None:
            try:
                sandbox.start(spec)
            except LauncherGone as error:
                ended.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        assert spec.rootfs.upper is not None
        eventually(Path(spec.rootfs.upper, "started").exists)
        running = descendants(launcher)
        assert any("slirp4netns" in name for _, name in running)
        os.kill(launcher._pid, signal.SIGKILL)
        thread.join()
        assert ended
        eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid, _ in running))
    finally:
        launcher.close()


def descendants(launcher: Launcher) -> set[tuple[int, str]]:
    """Return the processes behind a launcher, with their names."""
    parents: dict[int, tuple[int, str]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                before, _, after = (entry / "stat").read_text().rpartition(")")
            except OSError:
                continue
            parents[int(entry.name)] = (int(after.split()[1]), before.partition("(")[2])
    found: set[tuple[int, str]] = set()
    wanted = {launcher._pid}
    while wanted:
        children = {pid for pid, (parent, _) in parents.items() if parent in wanted}
        found |= {(pid, parents[pid][1]) for pid in children}
        wanted = children
    return found
