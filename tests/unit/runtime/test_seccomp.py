"""The system call filter, executed by a small interpreter of classic BPF."""

from __future__ import annotations

import struct

import pytest

from runtime.seccomp import program
from runtime.seccomp_names import ALLOWED, numbers

ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x50001, 0x50026
X86_64, I386 = 0xC000003E, 0x40000003
TABLE = numbers("x86_64")
FILTER = program("x86_64")


def verdict(
    number: int, argument: int = 0, architecture: int = X86_64, machine: str = "x86_64"
) -> int:
    """Return what the kernel would answer."""
    filter_of_machine = FILTER if machine == "x86_64" else program(machine)
    assert filter_of_machine is not None
    code = list(struct.iter_unpack("=HBBI", filter_of_machine))
    data = struct.pack("=IIQQ", number & 0xFFFFFFFF, architecture, 0, argument)
    place = accumulator = 0
    while True:
        operation, if_true, if_false, operand = code[place]
        place += 1
        match operation:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, operand)
            case 0x54:
                accumulator &= operand
            case 0x05:
                place += operand
            case 0x15:
                place += if_true if accumulator == operand else if_false
            case 0x35:
                place += if_true if accumulator >= operand else if_false
            case 0x06:
                return operand
            case _:
                raise AssertionError(operation)


CONDITIONAL = {"clone", "clone3", "personality", "socket"}


def test_every_known_call_gets_the_verdict_of_its_name() -> None:
    for name, number in TABLE.items():
        if name not in CONDITIONAL:
            assert verdict(number) == (ALLOW if name in ALLOWED else EPERM), name


def test_every_allowed_name_is_known() -> None:
    assert set(TABLE) >= ALLOWED


@pytest.mark.parametrize(
    "name",
    [
        "mount",
        "umount2",
        "pivot_root",
        "setns",
        "unshare",
        "bpf",
        "keyctl",
        "add_key",
        "init_module",
        "finit_module",
        "kexec_load",
        "reboot",
        "open_by_handle_at",
        "userfaultfd",
        "perf_event_open",
        "io_uring_setup",
        "swapon",
        "settimeofday",
        "fsopen",
        "move_mount",
    ],
)
def test_what_moves_walls_is_refused(name: str) -> None:
    assert verdict(TABLE[name]) == EPERM


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("read", 0),
        ("execve", 59),
        ("clone3", 435),
        ("openat2", 437),
        ("fchmodat2", 452),
        ("rseq", 334),
        ("mseal", 462),
    ],
)
def test_numbers_are_the_kernels(name: str, number: int) -> None:
    assert TABLE[name] == number


@pytest.mark.parametrize("number", [337, 400, 423, 470, 1000, 0x3FFFFFFF, -1])
def test_unknown_calls_do_not_exist(number: int) -> None:
    assert verdict(number) == ENOSYS


def test_other_calling_conventions_do_not_exist() -> None:
    assert verdict(0, architecture=I386) == ENOSYS
    assert verdict(0x40000000) == ENOSYS
    assert verdict(0x40000000 | 165) == ENOSYS


@pytest.mark.parametrize(
    "flag", [0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000]
)
def test_no_namespace_can_be_cloned(flag: int) -> None:
    assert verdict(TABLE["clone"], flag | 17) == EPERM


def test_processes_and_threads_can_be_cloned() -> None:
    assert verdict(TABLE["clone"], 17) == ALLOW
    assert verdict(TABLE["clone"], 0x3D0F00) == ALLOW
    assert verdict(TABLE["clone3"]) == ENOSYS


@pytest.mark.parametrize(
    ("persona", "expected"),
    [
        (0, ALLOW),
        (8, ALLOW),
        (0x20000, ALLOW),
        (0x20008, ALLOW),
        (0xFFFFFFFF, ALLOW),
        (0x40000, EPERM),
        (1, EPERM),
    ],
)
def test_only_harmless_personalities(persona: int, expected: int) -> None:
    assert verdict(TABLE["personality"], persona) == expected


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        (1, ALLOW),
        (2, ALLOW),
        (10, ALLOW),
        (16, ALLOW),
        (17, ALLOW),
        (45, ALLOW),
        (38, EPERM),
        (40, EPERM),
        (46, EPERM),
        (0, EPERM),
        (0xFFFFFFFF, EPERM),
    ],
)
def test_sockets_reach_networks_and_not_the_kernels_crypto_or_the_hypervisor(
    domain: int, expected: int
) -> None:
    assert verdict(TABLE["socket"], domain) == expected


def test_machines_without_a_table_have_no_filter() -> None:
    assert program("riscv64") is None


AARCH64 = 0xC00000B7


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (63, ALLOW),  # read
        (221, ALLOW),  # execve
        (84, ALLOW),  # sync_file_range
        (222, ALLOW),  # mmap
        (40, EPERM),  # mount
        (97, EPERM),  # unshare
        (41, EPERM),  # pivot_root
        (219, EPERM),  # keyctl
        (250, ENOSYS),
        (435, ENOSYS),  # clone3
        (437, ALLOW),  # openat2
    ],
)
def test_arm_has_its_own_numbers(number: int, expected: int) -> None:
    assert verdict(number, architecture=AARCH64, machine="aarch64") == expected
    assert verdict(number, architecture=X86_64, machine="aarch64") == ENOSYS


def test_arm_cannot_clone_namespaces() -> None:
    assert verdict(220, 0x10000000 | 17, AARCH64, "aarch64") == EPERM
    assert verdict(220, 17, AARCH64, "aarch64") == ALLOW
