"""The kinds of machines by their programs: how to tell whose one is, and a small one of each to try.

A machine is named as QEMU and most of Linux do (`aarch64`, `i386`); what a probe does is in words: exit(41 + argc), so that it tells
whether whatever runs it hands arguments on as they are.

Source: the System V ABI, "Object Files"; linux/elf-em.h; the processor supplements, "Process Initialization".
"""

from __future__ import annotations

import struct

import msgspec

WORKED = 42
"""How a probe ends that was given one argument, its own name."""

HEAD = 64
"""Bytes of a program that are looked at."""

_TYPE_AT = 16
_BASE = 0x400000


class Machine(msgspec.Struct, frozen=True):
    """A kind of machine: its number and flags in the header of a program, its word and byte order, and the code of its probe."""

    number: int
    bits: int
    order: str
    flags: int
    code: str


MACHINES: dict[str, Machine] = {
    "x86_64": Machine(62, 64, "<", 0, "8b3c2483c729b83c0000000f05"),
    "i386": Machine(3, 32, "<", 0, "8b1c2483c329b801000000cd80"),
    "aarch64": Machine(183, 64, "<", 0, "e00340f900a40091a80b80d2010000d4"),
    "arm": Machine(40, 32, "<", 0x5000200, "00009de5290080e20170a0e3000000ef"),
    "riscv64": Machine(243, 64, "<", 0, "03350100130595029308d00573000000"),
    "ppc64le": Machine(21, 64, "<", 2, "000061e8290063380100003802000044"),
    "s390x": Machine(22, 64, ">", 0, "e320f0000004a72b00290a01"),
    "mips64el": Machine(8, 64, "<", 0x80000007, "0000a4df29008464c21302240c000000"),
    "mips64": Machine(8, 64, ">", 0x80000007, "dfa4000064840029240213c20000000c"),
    "loongarch64": Machine(258, 64, "<", 0x43, "6400c02884a4c0020b74810200002b00"),
}


def probe(name: str) -> bytes:
    """Return a whole program for a machine, a hundred and some bytes long.

    Raises: KeyError: that machine is not known.
    """
    machine = MACHINES[name]
    code = bytes.fromhex(machine.code)
    wide = machine.bits == 64
    head, segment = (64, 56) if wide else (52, 32)
    size = head + segment + len(code)
    address = "QQQ" if wide else "III"
    header = struct.pack(
        f"{machine.order}HHI{address}IHHHHHH",
        *(2, machine.number, 1, _BASE + head + segment, head, 0, machine.flags),
        *(head, segment, 1, 0, 0, 0),
    )
    loaded = (
        struct.pack(f"{machine.order}IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x10000)
        if wide
        else struct.pack(f"{machine.order}IIIIIIII", 1, 0, _BASE, _BASE, size, size, 5, 0x10000)
    )
    return _identity(machine) + header + loaded + code


def pattern(name: str) -> tuple[bytes, bytes]:
    """Return what the programs of a machine begin with, and which of its bits count."""
    machine = MACHINES[name]
    kind = struct.pack(f"{machine.order}HH", 2, machine.number)
    # Type 2 or 3: a position-independent program is the latter.
    types = b"\xfe\xff" if machine.order == "<" else b"\xff\xfe"
    return _identity(machine) + kind, b"\xff" * 7 + b"\0" + b"\xff" * 8 + types + b"\xff\xff"


def machine_of(head: bytes) -> str | None:
    """Return the machine whose program begins like this, None for what is no program of a machine known here."""
    if len(head) < _TYPE_AT + 4 or head[:4] != b"\x7fELF":
        return None
    order = "<" if head[5] == 1 else ">"
    _, number = struct.unpack_from(f"{order}HH", head, _TYPE_AT)
    return _BY_HEADER.get((number, 32 * head[4], order))


def needs_loader(program: bytes) -> bool:
    """Tell whether a program, of which this is the beginning, is started by another: it is linked dynamically."""
    if len(program) < HEAD or program[:4] != b"\x7fELF":
        return True
    order = "<" if program[5] == 1 else ">"
    wide = program[4] == 2
    (table,) = struct.unpack_from(f"{order}Q" if wide else f"{order}I", program, 32 if wide else 28)
    size, count = struct.unpack_from(f"{order}HH", program, 54 if wide else 42)
    kinds = [
        struct.unpack_from(f"{order}I", program, table + number * size)[0]
        for number in range(count)
        if table + number * size + 4 <= len(program)
    ]
    return len(kinds) < count or _INTERPRETER in kinds


_INTERPRETER = 3


_BY_HEADER = {(each.number, each.bits, each.order): name for name, each in MACHINES.items()}


def _identity(machine: Machine) -> bytes:
    kind = (2 if machine.bits == 64 else 1, 1 if machine.order == "<" else 2, 1)
    return b"\x7fELF" + bytes(kind) + bytes(9)
