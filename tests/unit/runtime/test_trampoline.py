"""The program that starts a command, for every machine that can be tried here."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from runtime import filters, trampoline, wire
from runtime.trampoline import SOCKET, open_sealed, program

HERE = os.uname().machine
_EMULATORS = {"ppc64le": "qemu-ppc64le-static"}
MACHINES = sorted(name.removesuffix(".bpf") for name in os.listdir(filters.PLACE) if "bpf" in name)


def start(tmp_path: Path, machine: str, *argv: str) -> tuple[int, str, bytes]:
    """Run the program, emulated where this is another machine; return code, output and what the socket said."""
    path = tmp_path / "program"
    path.write_bytes(program(machine))
    path.chmod(0o755)
    executable, words = str(path), list(argv)
    if machine != HERE:
        emulator = shutil.which(_EMULATORS.get(machine, f"qemu-{machine}-static"))
        if emulator is None:
            pytest.skip(f"optional: qemu-{machine}-static is not installed")
        executable, words = emulator, [emulator, "-0", argv[0], str(path), *argv[1:]]
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ran = subprocess.run(
            words,
            executable=executable,
            preexec_fn=lambda: os.dup2(theirs.fileno(), SOCKET, inheritable=True),
            close_fds=False,
            capture_output=True,
            text=True,
            env={"WORD": "kept"},
        )
        theirs.close()
        return ran.returncode, ran.stdout, ours.recv(100)


@pytest.mark.parametrize("machine", MACHINES)
def test_the_command_gets_its_arguments_and_environment(tmp_path: Path, machine: str) -> None:
    script = 'echo "$0 $1 $WORD"; ls /proc/$$/fd'
    code, out, said = start(tmp_path, machine, "/bin/sh", "name", "-c", script, "zero", "one")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "zero one kept"
    assert said == b""
    if machine == HERE:
        assert str(SOCKET) not in lines[1:]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(("path", "number"), [("/nonexistent", 2), ("/etc/passwd", 13)])
def test_why_a_command_does_not_start_is_told(
    tmp_path: Path, machine: str, path: str, number: int
) -> None:
    code, _, said = start(tmp_path, machine, path, "name")
    ours, theirs = wire.stream_pair()
    theirs.sendall(said)
    assert wire.receive(ours)[0] == ["exec", number]
    assert code == 126
    ours.close()
    theirs.close()


_TOOLS = {"ppc64le": "powerpc64le-linux-gnu-", HERE: ""}


@pytest.mark.parametrize("machine", MACHINES)
def test_the_bytes_are_those_of_the_source(tmp_path: Path, machine: str) -> None:
    prefix = _TOOLS.get(machine, f"{machine}-linux-gnu-")
    if shutil.which(f"{prefix}as") is None:
        pytest.skip(f"optional: {prefix}as is not installed")
    source = Path(trampoline.__file__).parent / f"trampolines/{machine}.S"
    made, code = tmp_path / "made.o", tmp_path / "code"
    subprocess.run([f"{prefix}as", "-o", made, source], check=True)
    subprocess.run([f"{prefix}objcopy", "-O", "binary", "-j", ".text", made, code], check=True)
    assert program(machine).endswith(code.read_bytes())
    assert len(program(machine)) == 64 + 56 + code.stat().st_size


def test_what_is_executed_cannot_be_changed() -> None:
    memory = open_sealed(HERE)
    with pytest.raises(PermissionError):
        os.pwrite(memory, b"x", 0)
    with pytest.raises(PermissionError):
        os.ftruncate(memory, 0)
    os.close(memory)
