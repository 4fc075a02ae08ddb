"""An interpreter of the classic BPF that seccomp filters are made of."""

from __future__ import annotations

import struct

Program = list[tuple[int, int, int, int]]


def decode(code: bytes, order: str = "<") -> Program:
    """Return the instructions of a filter; `order` is the byte order of the machine that it is for."""
    return list(struct.iter_unpack(f"{order}HBBI", code))


def answer(
    program: Program,
    number: int,
    arguments: tuple[int, ...] = (),
    *,
    architecture: int,
    order: str = "<",
) -> int:
    """Return what the kernel would do with a system call."""
    data = struct.pack(
        f"{order}IIQ6Q",
        number & 0xFFFFFFFF,
        architecture,
        0,
        *(argument & 0xFFFFFFFFFFFFFFFF for argument in (*arguments, *(0,) * 6)[:6]),
    )
    place = accumulator = 0
    while True:
        operation, if_true, if_false, operand = program[place]
        place += 1
        match operation:
            case 0x20:
                (accumulator,) = struct.unpack_from(f"{order}I", data, operand)
            case 0x54:
                accumulator &= operand
            case 0x05:
                place += operand
            case 0x15:
                place += if_true if accumulator == operand else if_false
            case 0x25:
                place += if_true if accumulator > operand else if_false
            case 0x35:
                place += if_true if accumulator >= operand else if_false
            case 0x06:
                return operand
            case _:
                raise AssertionError(f"an instruction {operation:#x} that filters do not need")
