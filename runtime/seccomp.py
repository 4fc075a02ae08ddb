"""A system call filter with the meaning of Docker's default profile, made as classic BPF without a library.

    architecture ─┬─ x86_64 ── number ── tree of intervals ── verdict
                  ├─ i386 ──── number ── tree of intervals ── verdict
                  └─ any other ── ENOSYS

Every calling convention that the kernel of a machine runs has the same policy by name, so that an image of the 32-bit sibling
runs behind the same filter. The numbers are cut into intervals of equal verdict and searched by halving, so that any
call costs about seven comparisons. What the kernel may learn after its table was written answers ENOSYS, so that
programs fall back; what is known and not allowed answers EPERM. Conventions without a table (x32, 31-bit s390) answer ENOSYS.

What is shipped in `runtime.filters` is made here, by `make filters`.

Source: man 2 seccomp; linux/audit.h; moby/profiles, seccomp/default_linux.go.
"""

from __future__ import annotations

import struct

import msgspec

from runtime.seccomp_names import ALLOWED, numbers

Instruction = tuple[int, int, int, int]
"""Operation, jump if true, jump if false, operand; jumps count instructions from the next one."""

_LOAD, _JUMP, _EQUAL, _AT_LEAST, _AND, _RETURN = 0x20, 0x05, 0x15, 0x35, 0x54, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_X32_BIT = 0x40000000
_NAMESPACES = 0x7E020000
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
_DENIED_DOMAINS = (38, 40)
"""AF_ALG and AF_VSOCK, which reach into the kernel's crypto and past network namespaces."""

_ALLOW: Instruction = (_RETURN, 0, 0, 0x7FFF0000)
_EPERM: Instruction = (_RETURN, 0, 0, 0x00050000 | 1)
_ENOSYS: Instruction = (_RETURN, 0, 0, 0x00050000 | 38)

Block = tuple[Instruction, ...]


class Convention(msgspec.Struct, frozen=True):
    """A way of calling the kernel: the name of its table, and how the kernel names it to a filter.

    `clone_flags` is the argument of `clone` that holds the flags.
    """

    name: str
    audit: int
    clone_flags: int = 0


CONVENTIONS: dict[str, tuple[Convention, ...]] = {
    "x86_64": (Convention("x86_64", 0xC000003E), Convention("i386", 0x40000003)),
    "aarch64": (Convention("aarch64", 0xC00000B7), Convention("arm", 0x40000028)),
    "riscv64": (Convention("riscv64", 0xC00000F3),),
    "ppc64le": (Convention("ppc64le", 0xC0000015),),
    "s390x": (Convention("s390x", 0x80000016, clone_flags=1),),
}
"""By machine, as `uname -m` names it; the machine's own convention first."""


def program(machine: str) -> bytes | None:
    """Return the filter for a machine (as `uname -m` names it), or None where none is known."""
    conventions = CONVENTIONS.get(machine)
    if conventions is None:
        return None
    order = ">" if machine == "s390x" else "<"
    sections = [_section(convention, order) for convention in conventions]
    instructions: list[Instruction] = [(_LOAD, 0, 0, _ARCHITECTURE)]
    # Each test takes two instructions; the refusal stands between the tests and the sections.
    ahead = 2 * len(sections) + 1
    for convention, section in zip(conventions, sections, strict=True):
        ahead -= 2
        instructions += [(_EQUAL, 0, 1, convention.audit), (_JUMP, 0, 0, ahead)]
        ahead += len(section)
    instructions.append(_ENOSYS)
    for section in sections:
        instructions += section
    return b"".join(struct.pack(f"{order}HBBI", *instruction) for instruction in instructions)


def _section(convention: Convention, order: str) -> Block:
    foreign: Block = ((_AT_LEAST, 0, 1, _X32_BIT), _ENOSYS) if convention.name == "x86_64" else ()
    intervals = _intervals(_verdicts(convention, order))
    return ((_LOAD, 0, 0, _NUMBER), *foreign, *_search(intervals))


def _verdicts(convention: Convention, order: str) -> dict[int, Block]:
    table = numbers(convention.name)
    verdicts: dict[int, Block] = {
        number: (_ALLOW if name in ALLOWED else _EPERM,) for name, number in table.items()
    }
    # The kernel looks at the low word of these arguments only, and so does the filter.
    low = _ARGUMENTS + (4 if order == ">" else 0)
    special: dict[str, Block] = {
        # Namespaces are not for steps; without them clone is what fork and threads are made of.
        "clone": (
            (_LOAD, 0, 0, low + 8 * convention.clone_flags),
            (_AND, 0, 0, _NAMESPACES),
            (_EQUAL, 0, 1, 0),
            _ALLOW,
            _EPERM,
        ),
        # Its flags lie behind a pointer, which a filter cannot follow; libraries fall back to clone.
        "clone3": (_ENOSYS,),
        "personality": _one_of(low, _PERSONALITIES, _ALLOW, _EPERM),
        "socket": _one_of(low, _DENIED_DOMAINS, _EPERM, _ALLOW),
    }
    verdicts.update((table[name], block) for name, block in special.items() if name in table)
    return verdicts


def _one_of(place: int, values: tuple[int, ...], found: Instruction, other: Instruction) -> Block:
    """Compare the word at `place` with each of `values`."""
    count = len(values)
    return (
        (_LOAD, 0, 0, place),
        *((_EQUAL, count - index, 0, value) for index, value in enumerate(values)),
        other,
        found,
    )


def _intervals(verdicts: dict[int, Block]) -> list[tuple[int, Block]]:
    """Return where each interval begins and its verdict; the last one is open and unknown."""
    unknown: Block = (_ENOSYS,)
    intervals: list[tuple[int, Block]] = []
    expected = 0
    for number, block in (*sorted(verdicts.items()), (1 << 32, unknown)):
        if number != expected and (not intervals or intervals[-1][1] != unknown):
            intervals.append((expected, unknown))
        if number < 1 << 32 and (not intervals or intervals[-1][1] != block):
            intervals.append((number, block))
        expected = number + 1
    return intervals


def _search(intervals: list[tuple[int, Block]]) -> Block:
    if len(intervals) == 1:
        return intervals[0][1]
    middle = len(intervals) // 2
    left, right = _search(intervals[:middle]), _search(intervals[middle:])
    border = intervals[middle][0]
    if len(left) <= 255:
        return ((_AT_LEAST, len(left), 0, border), *left, *right)
    return ((_AT_LEAST, 0, 1, border), (_JUMP, 0, 0, len(left)), *left, *right)
