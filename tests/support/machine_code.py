"""Programs of x86 made byte by byte: they make system calls in a convention of one's choice and exit with the last one's error.

No compiler for 32-bit programs is needed for them.
"""

from __future__ import annotations

import struct

_BASE = 0x400000
_I386_REGISTERS = (b"\xbb", b"\xb9", b"\xba", b"\xbe", b"\xbf", b"\xbd")
_X86_64_REGISTERS = (b"\x48\xc7\xc7", b"\x48\xc7\xc6", b"\x48\xc7\xc2", b"\x49\xc7\xc2")

Call = tuple[int | bytes, ...]
"""A number and arguments; bytes stand for their address."""


def i386_program(*calls: Call) -> bytes:
    """Return a 32-bit program that makes `calls` and exits with the error number of the last, 0 for none."""
    header = 52 + 32
    end = b"\xf7\xd8\x89\xc3\xb8\x01\x00\x00\x00\xcd\x80"  # exit(-result)
    body = _body(calls, header, b"\xb8", _I386_REGISTERS, b"\xcd\x80", _positive("i386") + end)
    size = header + len(body)
    return (
        _identity(1)
        + struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, _BASE + header, 52, 0, 0, 52, 32, 1, 0, 0, 0)
        + struct.pack("<IIIIIIII", 1, 0, _BASE, _BASE, size, size, 7, 4096)
        + body
    )


def x86_64_program(*calls: Call) -> bytes:
    """Return a 64-bit program that makes `calls` and exits with the error number of the last, 0 for none."""
    header = 64 + 56
    end = b"\xf7\xd8\x89\xc7\xb8\x3c\x00\x00\x00\x0f\x05"
    body = _body(calls, header, b"\xb8", _X86_64_REGISTERS, b"\x0f\x05", _positive("x86_64") + end)
    size = header + len(body)
    return (
        _identity(2)
        + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, _BASE + header, 64, 0, 0, 64, 56, 1, 0, 0, 0)
        + struct.pack("<IIQQQQQQ", 1, 7, 0, _BASE, _BASE, size, size, 4096)
        + body
    )


def _positive(convention: str) -> bytes:
    """Return code that makes a result which is no error 0."""
    test = b"\x85\xc0" if convention == "i386" else b"\x48\x85\xc0"
    return test + b"\x78\x02\x31\xc0"


def _identity(word: int) -> bytes:
    return b"\x7fELF" + bytes([word, 1, 1]) + bytes(9)


def _body(
    calls: tuple[Call, ...],
    header: int,
    number_register: bytes,
    registers: tuple[bytes, ...],
    trap: bytes,
    end: bytes,
) -> bytes:
    length = len(end)
    for call in calls:
        length += len(number_register) + 4 + len(trap)
        length += sum(len(register) + 4 for register, _ in zip(registers, call[1:], strict=False))
    code, data = b"", b""
    for number, *arguments in calls:
        for register, argument in zip(registers, arguments, strict=False):
            value = argument
            if isinstance(argument, bytes):
                value = _BASE + header + length + len(data)
                data += argument
            code += register + struct.pack("<i" if int(value) < 0 else "<I", value)
        code += number_register + struct.pack("<I", number) + trap
    return code + end + data
