"""What the kernel says of handlers, and what it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime import emulation
from runtime.emulation import emulators_for, handler_for, is_static, registration
from runtime.machines import MACHINES, pattern, probe

# As Debian's `qemu-user-static` registers it, read back from the kernel.
DEBIAN = """enabled
interpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P
flags: POF
offset 0
magic 7f454c460201010000000000000000000200b700
mask ffffffffffffff00fffffffffffffffffeffffff
"""


@pytest.fixture
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "register").touch()
    (tmp_path / "status").write_text("enabled\n")
    monkeypatch.setattr(emulation, "REGISTERED", str(tmp_path))
    return tmp_path


def test_a_handler_is_found_by_what_it_takes(registered: Path) -> None:
    (registered / "qemu-aarch64").write_text(DEBIAN)
    (registered / "python3.11").write_text("enabled\ninterpreter /x\nflags: \nextension .pyc\n")
    found = handler_for("aarch64")
    assert found is not None
    assert (found.emulator, found.fixed) == ("/usr/libexec/qemu-binfmt/aarch64-binfmt-P", True)
    assert all(handler_for(name) is None for name in MACHINES if name != "aarch64")


def test_one_that_holds_its_emulator_goes_before_others(registered: Path) -> None:
    (registered / "a").write_text(DEBIAN.replace("POF", "PO"))
    first = handler_for("aarch64")
    assert first is not None and not first.fixed
    (registered / "b").write_text(DEBIAN)
    second = handler_for("aarch64")
    assert second is not None and second.fixed


@pytest.mark.parametrize(
    "text",
    [
        *("", "enabled\n", DEBIAN.replace("enabled", "disabled")),
        *(DEBIAN.replace("magic 7f", "magic zz"), DEBIAN.replace("offset 0", "offset x")),
        DEBIAN.replace("offset 0", "offset 4096"),
    ],
)
def test_what_does_not_serve_or_cannot_be_read_is_none(registered: Path, text: str) -> None:
    (registered / "odd").write_text(text)
    assert handler_for("aarch64") is None


def test_the_kernel_is_told_in_one_line_without_bytes_of_its_own_meaning() -> None:
    told = registration("arm", "/usr/bin/qemu-arm-static", "OCF")
    name, kind, offset, magic, mask, path, flags = told.decode("ascii").split(":")[1:]
    assert (name, kind, offset, flags) == ("lapstrake-arm", "M", "0", "OCF")
    assert path == "/usr/bin/qemu-arm-static"
    for text, part in zip((magic, mask), pattern("arm"), strict=True):
        assert bytes.fromhex(text.replace("\\x", "")) == part


def test_emulators_that_need_libraries_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    program = tmp_path / "qemu-sparc64-static"
    program.write_bytes(probe("x86_64"))
    assert not is_static(str(program))  # nobody may execute it
    program.chmod(0o755)
    assert str(program) in list(emulators_for("sparc64"))
    program.write_text("#!/bin/sh\n")
    assert str(program) not in list(emulators_for("sparc64"))
