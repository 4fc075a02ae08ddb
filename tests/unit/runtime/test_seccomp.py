"""The system call filters, executed by a small interpreter of classic BPF, for every kind of machine."""

from __future__ import annotations

import os

import pytest

from runtime import filters
from runtime.errors import Unsupported
from runtime.seccomp import CONVENTIONS, Convention, program
from runtime.seccomp_names import ALLOWED, numbers
from tests.support import classic_bpf, libseccomp

ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x50001, 0x50026
X32 = 0x40000000
CONDITIONAL = {"clone", "clone3", "personality", "socket"}
EVERY = [
    pytest.param(machine, convention, id=convention.name)
    for machine, conventions in CONVENTIONS.items()
    for convention in conventions
]
every = pytest.mark.parametrize(("machine", "convention"), EVERY)
PROGRAMS = {
    machine: classic_bpf.decode(filters.load(machine), ">" if machine == "s390x" else "<")
    for machine in CONVENTIONS
}


def verdict(machine: str, convention: Convention, call: str | int, *arguments: int) -> int:
    """Return what the kernel of `machine` would answer."""
    number = call if isinstance(call, int) else numbers(convention.name)[call]
    order = ">" if machine == "s390x" else "<"
    return classic_bpf.answer(
        PROGRAMS[machine], number, arguments, architecture=convention.audit, order=order
    )


X86_64 = CONVENTIONS["x86_64"][0]


def test_what_is_shipped_is_what_the_tables_say() -> None:
    for machine in CONVENTIONS:
        assert filters.load(machine) == program(machine), "run `make filters`"


@every
def test_every_known_call_gets_the_verdict_of_its_name(
    machine: str, convention: Convention
) -> None:
    for name in numbers(convention.name).keys() - CONDITIONAL:
        expected = ALLOW if name in ALLOWED else EPERM
        assert verdict(machine, convention, name) == expected, name


def test_every_allowed_name_is_known_somewhere() -> None:
    known = {name for one in CONVENTIONS.values() for c in one for name in numbers(c.name)}
    assert known >= ALLOWED


@every
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
        "request_key",
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
        "open_tree",
        "mount_setattr",
        "pidfd_getfd",
        "process_madvise",
    ],
)
def test_what_moves_walls_is_refused(machine: str, convention: Convention, name: str) -> None:
    assert verdict(machine, convention, name) == EPERM


@every
def test_unknown_calls_do_not_exist(machine: str, convention: Convention) -> None:
    for number in (600, 1000, 0x3FFFFFFF, -1, 0x80000000):
        assert verdict(machine, convention, number) == ENOSYS


@pytest.mark.parametrize("number", [337, 400, 423, 470])
def test_holes_in_the_table_do_not_exist(number: int) -> None:
    assert verdict("x86_64", X86_64, number) == ENOSYS


@pytest.mark.parametrize("name", ["read", "mount", "openat2"])
def test_the_x32_convention_does_not_exist(name: str) -> None:
    assert verdict("x86_64", X86_64, X32 | numbers("x86_64")[name]) == ENOSYS


@pytest.mark.parametrize("machine", sorted(CONVENTIONS))
def test_conventions_of_other_machines_do_not_exist(machine: str) -> None:
    others = [c for name, one in CONVENTIONS.items() if name != machine for c in one]
    for convention in (*others, Convention("s390", 0x00000016), Convention("none", 0)):
        for number in (0, 1, 3, 63, 64):
            assert verdict(machine, convention, number) == ENOSYS


@every
@pytest.mark.parametrize(
    "flag", [0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000]
)
def test_no_namespace_can_be_cloned(machine: str, convention: Convention, flag: int) -> None:
    before = (0x7FFF0000,) * convention.clone_flags
    assert verdict(machine, convention, "clone", *before, flag | 17) == EPERM
    assert verdict(machine, convention, "clone", *before, flag | 17 | 1 << 40) == EPERM


@every
def test_processes_and_threads_can_be_cloned(machine: str, convention: Convention) -> None:
    # The stack, whose address may hold any bits, stands first or second.
    stack = 0x7E020000
    for flags in (17, 0x3D0F00):
        arguments = (stack, flags) if convention.clone_flags else (flags, stack)
        assert verdict(machine, convention, "clone", *arguments) == ALLOW
    assert verdict(machine, convention, "clone3") == ENOSYS


@every
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
        (0x400008, EPERM),
    ],
)
def test_only_harmless_personalities(
    machine: str, convention: Convention, persona: int, expected: int
) -> None:
    assert verdict(machine, convention, "personality", persona) == expected


@every
@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        (1, ALLOW),
        (2, ALLOW),
        (10, ALLOW),
        (16, ALLOW),
        (17, ALLOW),
        (39, ALLOW),
        (45, ALLOW),
        (38, EPERM),
        (40, EPERM),
        # The kernel takes an int, so that these are AF_ALG and AF_VSOCK as well.
        (1 << 32 | 38, EPERM),
        (0xFFFFFFFF00000028, EPERM),
    ],
)
def test_sockets_reach_networks_and_not_the_kernels_crypto_or_the_hypervisor(
    machine: str, convention: Convention, domain: int, expected: int
) -> None:
    assert verdict(machine, convention, "socket", domain) == expected


def test_machines_without_a_table_are_refused_by_name() -> None:
    assert program("mips64") is None
    with pytest.raises(Unsupported, match="mips64") as caught:
        filters.load("mips64")
    assert "x86_64" in str(caught.value.hint)
    for name in ("../filters/x86_64", "", "__init__.py"):
        with pytest.raises(Unsupported):
            filters.load(name)


@pytest.mark.parametrize(
    ("header", "convention"), [("unistd_64.h", "x86_64"), ("unistd_32.h", "i386")]
)
def test_numbers_are_those_of_the_headers(header: str, convention: str) -> None:
    for place in ("/usr/include/x86_64-linux-gnu/asm", "/usr/include/asm"):
        if os.path.exists(f"{place}/{header}"):
            break
    else:
        pytest.skip("optional: the kernel's headers of x86 are not installed")
    table = numbers(convention)
    with open(f"{place}/{header}") as file:
        defined = [line.split()[1:3] for line in file if line.startswith("#define __NR_")]
    assert len(defined) > 300
    for name, number in defined:
        assert table[name.removeprefix("__NR_")] == int(number), name


@pytest.mark.skipif(libseccomp.LIBRARY is None, reason="optional: libseccomp is not installed")
@every
def test_libseccomp_knows_the_same_numbers(machine: str, convention: Convention) -> None:
    compared = 0
    for name, number in numbers(convention.name).items():
        known = libseccomp.number_of(name, convention.audit)
        if known >= 0:
            assert known == number, name
            compared += 1
    assert compared > 280


@pytest.mark.skipif(libseccomp.LIBRARY is None, reason="optional: libseccomp is not installed")
@every
def test_libseccomp_makes_a_filter_of_the_same_meaning(
    machine: str, convention: Convention
) -> None:
    order = ">" if machine == "s390x" else "<"
    judge = libseccomp.Filter(convention.audit)
    for name in sorted(ALLOWED):
        judge.allow(name)
    judge.allow_without("clone", convention.clone_flags, 0x7E020000)
    judge.hide("clone3")
    for persona in (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF):
        judge.allow_equal("personality", 0, persona)
    judge.allow_equal("socket", 0, 39)
    judge.allow("socket", (0, 2, 38, 0))
    judge.allow("socket", (0, 6, 40, 0))
    theirs = classic_bpf.decode(judge.export(), order)
    values = (0, 1, 8, 17, 38, 39, 40, 41, 0x20000, 0x20008, 0x10000011, 0x3D0F00, 0xFFFFFFFF)
    for name, number in numbers(convention.name).items():
        if libseccomp.number_of(name, convention.audit) < 0:
            continue
        for value in values if name in CONDITIONAL else (0,):
            arguments = (*(0,) * (convention.clone_flags if name == "clone" else 0), value)
            expected = classic_bpf.answer(
                theirs, number, arguments, architecture=convention.audit, order=order
            )
            # For machines of the other byte order, it writes the verdicts of rules in its own.
            expected = {0x0000FF7F: ALLOW, 0x26000500: ENOSYS}.get(expected, expected)
            assert verdict(machine, convention, number, *arguments) == expected, (name, value)
