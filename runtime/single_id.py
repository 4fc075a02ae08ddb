"""What a step may pretend where there is but one id: a second filter, on top of the one that all steps have.

| calls                                  | answer                                                     |
|----------------------------------------|------------------------------------------------------------|
| `chown` and its kin                    | asked of a recorder, see `recorder`; elsewhere done, untrue |
| `set*uid`, `set*gid`, `setgroups`      | done, untrue                                               |
| `capset`                               | done, untrue; what may be had is bounded anyway            |
| `mknod` of a device                    | done, untrue                                               |

Package managers and their scripts give files to users and become them without need. Everything stays with the caller's id,
whatever is answered: nothing here is a wall.

Source: man 2 seccomp; man 2 seccomp_unotify.
"""

from __future__ import annotations

import stat
import struct

from runtime.seccomp import CONVENTIONS, Convention, Instruction
from runtime.seccomp_names import numbers

RECORDED = frozenset({"chown", "fchown", "lchown", "fchownat"})

_PRETENDED = frozenset(
    [
        "chown32",
        "fchown32",
        "lchown32",
        "setuid",
        "setgid",
        "setreuid",
        "setregid",
        "setresuid",
        "setresgid",
        "setfsuid",
        "setfsgid",
        "setgroups",
        "setuid32",
        "setgid32",
        "setreuid32",
        "setregid32",
        "setresuid32",
        "setresgid32",
        "setfsuid32",
        "setfsgid32",
        "setgroups32",
        "capset",
    ]
)
_MODE_ARGUMENT = {"mknod": 1, "mknodat": 2}
_LOAD, _JUMP, _EQUAL, _AND, _RETURN = 0x20, 0x05, 0x15, 0x54, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_ALLOW: Instruction = (_RETURN, 0, 0, 0x7FFF0000)
_DONE: Instruction = (_RETURN, 0, 0, 0x00050000)
_ASK: Instruction = (_RETURN, 0, 0, 0x7FC00000)


def program(machine: str) -> bytes:
    """Return the filter for a machine (as `uname -m` names it)."""
    conventions = CONVENTIONS.get(machine, ())
    order = ">" if machine == "s390x" else "<"
    instructions: list[Instruction] = []
    for place, convention in enumerate(conventions):
        section = _section(convention, order, recorder=place == 0)
        # One that is too far to be jumped over by a condition is jumped over by a jump.
        instructions += [
            (_LOAD, 0, 0, _ARCHITECTURE),
            (_EQUAL, 1, 0, convention.audit),
            (_JUMP, 0, 0, len(section)),
            *section,
        ]
    instructions.append(_ALLOW)
    return b"".join(struct.pack(f"{order}HBBI", *instruction) for instruction in instructions)


def _section(convention: Convention, order: str, *, recorder: bool) -> list[Instruction]:
    table = numbers(convention.name)
    low = _ARGUMENTS + (4 if order == ">" else 0)
    instructions: list[Instruction] = [(_LOAD, 0, 0, _NUMBER)]
    for name in sorted(RECORDED | _PRETENDED):
        if name in table:
            answer = _ASK if recorder and name in RECORDED else _DONE
            instructions += [(_EQUAL, 0, 1, table[name]), answer]
    for name, argument in _MODE_ARGUMENT.items():
        if name in table:
            instructions += [
                (_EQUAL, 0, 6, table[name]),
                (_LOAD, 0, 0, low + 8 * argument),
                (_AND, 0, 0, stat.S_IFMT(0xFFFF)),
                (_EQUAL, 1, 0, stat.S_IFCHR),
                (_EQUAL, 0, 1, stat.S_IFBLK),
                _DONE,
                _ALLOW,
            ]
    instructions.append(_ALLOW)
    return instructions


def recorded_calls(machine: str) -> dict[int, str]:
    """Return the calls that the recorder is asked about, by number."""
    table = numbers(machine)
    return {table[name]: name for name in RECORDED if name in table}
