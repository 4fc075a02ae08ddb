"""What the kernel says of handlers, and what it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime import emulation
from runtime.emulation import (
    Emulators,
    Handler,
    How,
    emulators_for,
    handler_for,
    is_static,
    registration,
)
from runtime.features import Features
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


class Machine:
    """A kernel with handlers, and a file system with emulators; what runs is told by `serving`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.handlers: dict[str, Handler] = {}
        self.emulators: dict[str, tuple[str, ...]] = {}
        self.own: dict[str, str] = {}
        self.keeps_first_word = True
        monkeypatch.setattr(emulation, "runs", self._runs)
        monkeypatch.setattr(emulation, "handler_for", self.handlers.get)
        monkeypatch.setattr(emulation, "emulators_for", lambda each: self.emulators.get(each, ()))
        monkeypatch.setattr(emulation, "is_static", lambda path: "static" in path)
        monkeypatch.setattr(emulation, "_write", self._write)

    def new_mount(self, kind: str) -> int:
        assert kind == "binfmt_misc"
        return 9

    def _runs(self, machine: str, _directory: str) -> bool:
        if self.own:
            flags = self.own.get(machine, "")
            return bool(flags) and (self.keeps_first_word or "P" not in flags)
        handler = self.handlers.get(machine)
        return machine == "x86_64" or (handler is not None and handler.fixed)

    def _write(self, _calls: object, directory: int, name: str, data: bytes) -> None:
        assert directory == 9
        if name == "register":
            words = data.decode().split(":")
            self.own[words[1].removeprefix("lapstrake-")] = words[-1]
        else:
            assert data == b"-1"
            del self.own[name.removeprefix("lapstrake-")]

    def found(self, *machines: str, own_ids: bool = True) -> list[How]:
        emulators = Emulators(self, Features(own_ids=own_ids))  # type: ignore[arg-type]
        return [emulators.ready(machine, "/d").how for machine in machines]


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_what_runs_needs_nothing(kernel: Machine) -> None:
    kernel.handlers["aarch64"] = Handler("a", "/q/static", "F")
    kernel.emulators["aarch64"] = ("/bin/qemu-static",)
    assert kernel.found("x86_64", "aarch64") == [How.DIRECTLY, How.DIRECTLY]
    assert kernel.own == {}


def test_a_handler_that_looks_into_the_root_is_given_its_emulator_there(kernel: Machine) -> None:
    kernel.handlers["aarch64"] = Handler("a", "/q/static", "P")
    kernel.handlers["s390x"] = Handler("s", "/q/dynamic", "P")
    assert kernel.found("aarch64", "s390x") == [How.SHOWN, How.NOT]


def test_an_installed_emulator_is_registered_where_there_is_a_user_namespace(
    kernel: Machine,
) -> None:
    kernel.emulators["aarch64"] = ("/bin/qemu-static",)
    assert kernel.found("aarch64", own_ids=False) == [How.NOT]
    assert kernel.found("aarch64") == [How.OWN]
    assert kernel.own == {"aarch64": "POCF"}


def test_one_that_cannot_take_the_first_word_apart_is_not_handed_it(kernel: Machine) -> None:
    kernel.keeps_first_word = False
    kernel.emulators["aarch64"] = ("/bin/qemu-static",)
    assert kernel.found("aarch64") == [How.OWN]
    assert kernel.own == {"aarch64": "OCF"}


def test_handlers_of_our_own_never_hide_one_that_is_in_use(kernel: Machine) -> None:
    kernel.handlers["aarch64"] = Handler("a", "/q/static", "F")
    kernel.emulators["s390x"] = ("/bin/qemu-static",)
    assert kernel.found("aarch64", "s390x") == [How.DIRECTLY, How.NOT]
    assert kernel.own == {}


def test_what_cannot_run_says_the_one_thing_to_change(kernel: Machine) -> None:
    emulators = Emulators(kernel, Features())  # type: ignore[arg-type]
    assert "install the package" in emulators.ready("aarch64", "/d").hint
    assert "is no machine that is known" in emulators.ready("pdp11", "/d").reason
    kernel.handlers["s390x"] = Handler("s", "/q/dynamic", "P")
    assert "without the flag F" in emulators.ready("s390x", "/d").reason
    kernel.emulators["arm"] = ("/bin/qemu-static",)
    assert "systemctl restart systemd-binfmt" in emulators.ready("arm", "/d").hint
