"""A system call filter with the meaning of Docker's default profile, made as classic BPF without a library.

The numbers are cut into intervals of equal verdict and searched by halving, so that any call costs about seven
comparisons. What the kernel may learn after this table was written answers ENOSYS, so that programs fall back;
what is known and not allowed answers EPERM. Foreign calling conventions (i386, x32) answer ENOSYS.

Source: man 2 seccomp; moby/profiles, seccomp/default_linux.go.
"""

from __future__ import annotations

import struct

from runtime.seccomp_names import ALLOWED, numbers

Instruction = tuple[int, int, int, int]
"""Operation, jump if true, jump if false, operand; jumps count instructions from the next one."""

_LOAD, _JUMP, _EQUAL, _AT_LEAST, _AND, _RETURN = 0x20, 0x05, 0x15, 0x35, 0x54, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENT_0 = 0, 4, 16
_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000
_NAMESPACES = 0x7E020000
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
_LAST_DOMAIN = 45
_DENIED_DOMAINS = (0, 12, 19, 20, 23, 25, 34, 37, 38, 40)
"""Removed families, and AF_ALG (38) and AF_VSOCK (40), which reach into the kernel and past network namespaces."""

_ALLOW: Instruction = (_RETURN, 0, 0, 0x7FFF0000)
_EPERM: Instruction = (_RETURN, 0, 0, 0x00050000 | 1)
_ENOSYS: Instruction = (_RETURN, 0, 0, 0x00050000 | 38)

Block = tuple[Instruction, ...]


def program(machine: str) -> bytes | None:
    """Return the filter for a machine (as `uname -m` names it), or None where none is known."""
    table = numbers(machine)
    if not table:
        return None
    instructions = (
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, _AUDIT[machine]),
        _ENOSYS,
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32_BIT),
        _ENOSYS,
        *_search(_intervals(table)),
    )
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)


def _verdicts(table: dict[str, int]) -> dict[int, Block]:
    verdicts: dict[int, Block] = {
        number: (_ALLOW if name in ALLOWED else _EPERM,) for name, number in table.items()
    }
    special: dict[str, Block] = {
        # Namespaces are not for steps; without them clone is what fork and threads are made of.
        "clone": (
            (_LOAD, 0, 0, _ARGUMENT_0),
            (_AND, 0, 0, _NAMESPACES),
            (_EQUAL, 0, 1, 0),
            _ALLOW,
            _EPERM,
        ),
        # Its flags lie behind a pointer, which a filter cannot follow; libraries fall back to clone.
        "clone3": (_ENOSYS,),
        "personality": _one_of(_PERSONALITIES, _ALLOW, _EPERM),
        "socket": _one_of(_DENIED_DOMAINS, _EPERM, _ALLOW, below=_LAST_DOMAIN + 1),
    }
    verdicts.update((table[name], block) for name, block in special.items() if name in table)
    return verdicts


def _one_of(
    values: tuple[int, ...], found: Instruction, other: Instruction, *, below: int | None = None
) -> Block:
    """Compare the first argument's low word, all that the kernel looks at, with each of `values`."""
    body: list[Instruction] = [(_LOAD, 0, 0, _ARGUMENT_0)]
    count = len(values)
    if below is not None:
        body.append((_AT_LEAST, count + 1, 0, below))
    body += [(_EQUAL, count - place, 0, value) for place, value in enumerate(values)]
    return (*body, other, found)


def _intervals(table: dict[str, int]) -> list[tuple[int, Block]]:
    """Return where each interval begins and its verdict; the last one is open and unknown."""
    verdicts = _verdicts(table)
    intervals: list[tuple[int, Block]] = []
    for number in range(max(verdicts) + 2):
        block = verdicts.get(number, (_ENOSYS,))
        if not intervals or intervals[-1][1] != block:
            intervals.append((number, block))
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
