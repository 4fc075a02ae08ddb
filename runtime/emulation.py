"""How programs of other machines run here: natively, by a handler that the kernel has been told, or by one of our own.

    a program of another machine ─ exec ─► the kernel ─► binfmt_misc ─► handler ─► emulator (qemu-…-static)

A handler with the flag F holds its emulator open, so that it serves in any root; without, the emulator has to be in the root, and a
step is shown it there. Where the kernel was told of none, a user namespace may have handlers of its own (Linux 6.7): they serve what
runs behind our walls alone, and end with the launcher. Whether something runs is found by running it.

Source: Documentation/admin-guide/binfmt-misc.rst; linux/binfmts.h.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from enum import Enum

import msgspec

from runtime.features import Features
from runtime.machines import HEAD, MACHINES, WORKED, machine_of, needs_loader, pattern, probe
from runtime.syscalls import Syscalls

REGISTERED = "/proc/sys/fs/binfmt_misc"
_PLACES = ("/usr/bin", "/usr/local/bin", "/bin")
_KEEPING_FIRST_WORD = "/usr/libexec/qemu-binfmt/{}-binfmt-P"
"""Debian's name for an emulator that is handed the first word of the command line apart from the path."""

_FLAGS = ("POCF", "OCF")
"""Open it now, hand it the program open, keep set-id bits; with P also the first word of the command line, as not all can take it."""

_MOST_HEADERS = 1 << 12
_LONGEST_PATH = 200
_PATIENCE = 20
"""Seconds for a probe, which takes some hundredths of one."""


class How(Enum):
    """How programs of a machine run."""

    DIRECTLY = "directly"
    """The kernel takes them as they are, or has a handler that serves in any root."""
    SHOWN = "shown"
    """A handler serves, if its emulator is in the root."""
    OWN = "own"
    """A handler of the launcher's own user namespace serves."""
    NOT = "not"


class Emulation(msgspec.Struct, frozen=True, array_like=True):
    """How programs of a machine run behind the walls; `emulator` is a host path, where it is known.

    `reason` says why they do not, `hint` what would let them.
    """

    machine: str
    how: How
    emulator: str = ""
    reason: str = ""
    hint: str = ""


class Handler(msgspec.Struct, frozen=True):
    """What the kernel was told: the name, the emulator, and the flags of it."""

    name: str
    emulator: str
    flags: str

    @property
    def fixed(self) -> bool:
        """Whether the emulator is held open."""
        return "F" in self.flags


class Emulators:
    """What the launcher knows of other machines; one for all that runs behind its walls."""

    def __init__(self, calls: Syscalls, features: Features) -> None:
        self._calls = calls
        self._features = features
        self._known: dict[str, Emulation] = {}
        self._own: int | None = None

    def ready(self, machine: str, directory: str) -> Emulation:
        """Make programs of a machine run behind the walls if that can be had; the same answer each time.

        In `directory`, a host path, a probe is put for a moment.

        Raises: OSError: nothing can be put there.
        """
        if machine not in self._known:
            self._known[machine] = self._find(machine, directory)
        return self._known[machine]

    def _find(self, machine: str, directory: str) -> Emulation:
        if machine not in MACHINES:
            return Emulation(machine, How.NOT, reason=f"`{machine}` is no machine that is known")
        if runs(machine, directory):
            handler = handler_for(machine)
            return Emulation(machine, How.DIRECTLY, handler.emulator if handler else "")
        handler = handler_for(machine)
        if handler is not None and not handler.fixed and is_static(handler.emulator):
            return Emulation(machine, How.SHOWN, handler.emulator)
        emulators = tuple(emulators_for(machine))
        if self._features.own_ids and emulators and not self._would_hide():
            for emulator in emulators:
                if self._register(machine, emulator, directory):
                    return Emulation(machine, How.OWN, emulator)
        return _not(machine, handler, emulators, own_ids=self._features.own_ids)

    def _would_hide(self) -> bool:
        """Tell whether handlers of our own would hide one from around us that is in use."""
        return self._own is None and any(
            each.how is How.SHOWN or (each.how is How.DIRECTLY and each.emulator)
            for each in self._known.values()
        )

    def _register(self, machine: str, emulator: str, directory: str) -> bool:
        """Tell the kernel of an emulator for this user namespace, and try it; undo that where it does not serve."""
        for flags in _FLAGS:
            try:
                if self._own is None:
                    # The handlers stay while it is open.
                    self._own = self._calls.new_mount("binfmt_misc")
                told = registration(machine, emulator, flags)
                _write(self._calls, self._own, "register", told)
            except OSError:
                return False
            if runs(machine, directory):
                return True
            with suppress(OSError):
                _write(self._calls, self._own, _name(machine), b"-1")
        return False


def _write(calls: Syscalls, directory: int, name: str, data: bytes) -> None:
    descriptor = calls.open(name, os.O_WRONLY, directory=directory)
    try:
        os.write(descriptor, data)
    finally:
        calls.close(descriptor)


def registration(machine: str, emulator: str, flags: str) -> bytes:
    """Return what the kernel is told of an emulator."""
    magic, mask = ("".join(f"\\x{byte:02x}" for byte in part) for part in pattern(machine))
    return os.fsencode(f":{_name(machine)}:M:0:{magic}:{mask}:{emulator}:{flags}")


def _name(machine: str) -> str:
    return f"lapstrake-{machine}"


def runs(machine: str, directory: str) -> bool:
    """Run a program of a machine in a root that holds nothing else, and tell whether it did what it should.

    Raises: OSError: it cannot be put there.
    """
    root = f"{directory}/probe-{os.getpid()}-{machine}"
    os.mkdir(root, 0o755)
    try:
        descriptor = os.open(f"{root}/probe", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o755)
        os.write(descriptor, probe(machine))
        os.close(descriptor)
        return _run(root) == WORKED
    finally:
        with suppress(FileNotFoundError):
            os.unlink(f"{root}/probe")
        os.rmdir(root)


def _run(root: str) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            null = os.open("/dev/null", os.O_RDWR)
            for stream in range(3):
                os.dup2(null, stream)
            os.chroot(root)
            os.chdir("/")
            signal.alarm(_PATIENCE)
            os.execve("/probe", ["probe"], {})  # noqa: S606 - no shell is wanted
        except OSError as error:
            os._exit(error.errno or 1)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def handler_for(machine: str) -> Handler | None:
    """Return what the kernel was told for programs of a machine, None where that is not seen."""
    head = probe(machine)[:HEAD]
    found = None
    for name in _listed():
        with suppress(OSError, ValueError):
            handler = _read(name, head)
            if handler is not None and (found is None or handler.fixed):
                found = handler
    return found


def _listed() -> list[str]:
    try:
        return sorted(set(os.listdir(REGISTERED)) - {"register", "status"})
    except OSError:
        return []


def _read(name: str, head: bytes) -> Handler | None:
    with open(f"{REGISTERED}/{name}", encoding="utf-8", errors="surrogateescape") as file:
        lines = file.read(1 << 14).splitlines()
    said = dict(line.partition(" ")[::2] for line in lines[1:])
    if lines[:1] != ["enabled"] or "magic" not in said:
        return None
    offset = int(said.get("offset", "0"))
    magic = bytes.fromhex(said["magic"])
    mask = bytes.fromhex(said.get("mask", "ff" * len(magic)))
    part = head[offset : offset + len(magic)]
    if len(part) < len(magic) or any(
        (a ^ b) & m for a, b, m in zip(part, magic, mask, strict=True)
    ):
        return None
    return Handler(name, said["interpreter"], said.get("flags:", ""))


def emulators_for(machine: str) -> Iterator[str]:
    """Yield the emulators that are installed and need nothing else of the file system."""
    names = (f"qemu-{machine}-static", f"qemu-{machine}")
    places = dict.fromkeys((*os.get_exec_path(), *_PLACES))
    paths = (
        _KEEPING_FIRST_WORD.format(machine),
        *(f"{place}/{name}" for name in names for place in places),
    )
    for path in paths:
        # These two would end the path in what the kernel is told.
        if len(path) < _LONGEST_PATH and not {":", "\n"} & set(path) and is_static(path):
            yield path


def is_static(path: str) -> bool:
    """Tell whether a file is a program that runs wherever it is."""
    try:
        with open(path, "rb") as file:
            return os.access(path, os.X_OK) and not needs_loader(file.read(_MOST_HEADERS))
    except OSError:
        return False


def version_of(emulator: str) -> str:
    """Return what an emulator calls itself, such as `7.2.22`; "" where it does not say."""
    reads, writes = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            null = os.open("/dev/null", os.O_RDWR)
            for stream, descriptor in enumerate((null, writes, null)):
                os.dup2(descriptor, stream)
            signal.alarm(_PATIENCE)
            # By its own name: one that others call it by may be for the kernel alone.
            path = os.path.realpath(emulator)
            os.execve(path, [path, "--version"], {})  # noqa: S606 - no shell is wanted
        finally:
            os._exit(1)
    os.close(writes)
    with open(reads, "rb") as pipe:
        said = pipe.read(1 << 10).decode("utf-8", "replace").split("\n", 1)[0]
    os.waitpid(pid, 0)
    words = said.partition(" version ")[2].split()
    return words[0][:40] if words else ""


def machine_of_file(path: str) -> str | None:
    """Return whose program a file is, or the program that a `#!` in its first line names."""
    for _ in range(2):
        try:
            with open(path, "rb") as file:
                head = file.read(256)
        except OSError:
            return None
        if not head.startswith(b"#!"):
            return machine_of(head)
        words = head[2:].split(b"\n", 1)[0].split()
        if not words:
            return None
        path = os.fsdecode(words[0])
    return None


def _not(
    machine: str, handler: Handler | None, emulators: tuple[str, ...], *, own_ids: bool
) -> Emulation:
    """Say why programs of a machine do not run, and the one thing to change."""
    if handler is not None and handler.fixed:
        reason = f"`{handler.emulator}`, which is registered for them, does not run them"
        return Emulation(machine, How.NOT, handler.emulator, reason, "install another version")
    if handler is not None:
        reason = (
            f"`{handler.emulator}` is registered without the flag F, and is not there as a program"
            " that needs no libraries"
        )
        hint = "register a static one with the flag F"
        return Emulation(machine, How.NOT, handler.emulator, reason, hint)
    if not emulators:
        return Emulation(
            machine,
            How.NOT,
            reason="no emulator is registered with the kernel, and none is installed",
            hint="install the package `qemu-user-static` on this machine",
        )
    reason = "an emulator is installed, but not registered with the kernel"
    if own_ids:
        reason += ", and cannot be in a user namespace before Linux 6.7"
    return Emulation(
        machine,
        How.NOT,
        emulators[0],
        reason,
        "as root on the machine itself, run `systemctl restart systemd-binfmt`"
        + ("" if own_ids else ", or build behind the walls `userns-root`"),
    )
