"""Programs that call the kernel in another convention stand behind the same filter."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
from pathlib import Path

import pytest

from runtime.seccomp_names import numbers
from tests.sandbox.harness import Sandbox
from tests.support.machine_code import Call, i386_program, x86_64_program

pytestmark = pytest.mark.skipif(
    os.uname().machine != "x86_64", reason="optional: this is not an x86-64 machine"
)
I386 = numbers("i386")
X86_64 = numbers("x86_64")
_PROC = b"proc\0"


@pytest.fixture(scope="session")
def runs_i386(tmp_path_factory: pytest.TempPathFactory) -> None:
    program = tmp_path_factory.mktemp("i386") / "program"
    program.write_bytes(i386_program((I386["getpid"],)))
    program.chmod(0o755)
    try:
        subprocess.run([program], check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("optional: this kernel runs no i386 programs")


def run(sandbox: Sandbox, tmp_path: Path, program: bytes) -> tuple[int, str]:
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "program").write_bytes(program)
    (layer / "program").chmod(0o755)
    ran = sandbox.run("/program", "x", lowers=(layer, sandbox.image))
    return ran.code, ran.out


@pytest.mark.usefixtures("runs_i386")
def test_an_i386_program_runs(sandbox: Sandbox, tmp_path: Path) -> None:
    program = i386_program((I386["write"], 1, b"hello\n", 6), (I386["uname"], b"\0" * 390))
    assert run(sandbox, tmp_path, program) == (0, "hello\n")


@pytest.mark.usefixtures("runs_i386")
@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ((I386["mount"], _PROC, b"/tmp\0", _PROC, 0, 0), errno.EPERM),
        ((I386["unshare"], 0x10000000), errno.EPERM),
        ((I386["clone"], 0x10000000 | 17, 0), errno.EPERM),
        ((I386["clone3"], 0, 0), errno.ENOSYS),
        ((I386["add_key"], b"user\0", b"x\0", b"y", 1, -3), errno.EPERM),
        ((I386["socket"], 38, 5, 0), errno.EPERM),
        ((I386["socket"], 40, 1, 0), errno.EPERM),
        ((I386["socket"], 1, 1, 0), 0),
        ((I386["personality"], 0x40000), errno.EPERM),
        ((I386["personality"], 8), 0),
        ((I386["getuid32"],), 0),
        ((600,), errno.ENOSYS),
    ],
)
def test_calls_of_i386_have_the_same_policy(
    sandbox: Sandbox, tmp_path: Path, call: Call, expected: int
) -> None:
    assert run(sandbox, tmp_path, i386_program(call))[0] == expected


@pytest.mark.usefixtures("runs_i386")
def test_sockets_by_socketcall_are_not_looked_into(sandbox: Sandbox, tmp_path: Path) -> None:
    """As `docs/security.md` says: what a call's pointer leads to is beyond a filter, and programs of i386 need the call."""
    arguments = struct.pack("<III", 38, 5, 0)
    made = run(sandbox, tmp_path, i386_program((I386["socketcall"], 1, arguments)))[0]
    assert made in {0, errno.EAFNOSUPPORT}


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ((X86_64["getuid"],), 0),
        ((X86_64["getuid"] | 0x40000000,), errno.ENOSYS),
        ((X86_64["mount"] | 0x40000000, _PROC, b"/tmp\0", _PROC, 0), errno.ENOSYS),
        ((X86_64["mount"], _PROC, b"/tmp\0", _PROC, 0), errno.EPERM),
    ],
)
def test_calls_of_x32_do_not_exist(
    sandbox: Sandbox, tmp_path: Path, call: Call, expected: int
) -> None:
    assert run(sandbox, tmp_path, x86_64_program(call))[0] == expected
