"""The program between the set-up and the command: of our own making, in memory, a hundred bytes long.

While a process still runs the interpreter, `/proc/self/exe` leads to the interpreter's file on the host, whatever root the
process has; a command that begins with `#!/proc/self/exe` would get hold of it, and of its mode and owner. So the child
becomes this first, and this becomes the command: by then `/proc/self/exe` leads to these bytes.

    argv   the path of the command, then the command's own argv
    fd 3   the socket to the builder: closed by the command's start, or told the error number

In words: if fcntl(3, F_SETFD, FD_CLOEXEC) succeeds: execve(argv[0], argv + 1, environment), write(3, frame); exit_group(126).
A command that leads back to here finds descriptor 3 closed.

Source: CVE-2019-5736; man 2 execve; the processor supplements of the System V ABI, "Process Initialization".
"""

from __future__ import annotations

import errno
import os
import struct

SOCKET = 3
"""The descriptor on which an error is told; it is not to be closed by exec."""

_BASE = 0x400000
_HEADERS = 64 + 56
_MFD_EXEC = 0x10
_SEALS = 0xF
_F_ADD_SEALS = 1033

# Machine number and flags of the ELF header; code, made of `trampolines/*.S`, whose frame is `wire`'s ("exec", error number).
_CODE: dict[str, tuple[int, int, str]] = {
    "x86_64": (
        62,
        0,
        (
            "bf03000000be02000000ba01000000b8480000000f0585c0784d488b0424488b7c2408488d742410"
            "488d54c410b83b0000000f05f7d8c1e0180d6563cc0048b90000000892a4657848894c24f0894424"
            "f8bf03000000488d7424f0ba0c000000b8010000000f05bf7e000000b8e70000000f05"
        ),
    ),
    "aarch64": (
        183,
        0,
        (
            "600080d2410080d2220080d2280380d2010000d44002f8b7e30340f9e00740f9e1430091220c038b"
            "a81b80d2010000d4e40300cba5010018a560042aa6010058e60f1ff8e50b00b9600080d2e1030091"
            "820180d2080880d2010000d4c00f80d2c80b80d2010000d46563cc001f2003d50000000892a46578"
        ),
    ),
    "riscv64": (
        243,
        0,
        (
            "13053000930520001306100093089001730000006342050683320100033581009305010193923200"
            "338655009308d00d730000003303a04013138301b763cc009b8353363363730037def0001b0e9eb4"
            "131ece00130e1e24131ebe012338c1ff232c61fe13053000930501ff1306c0009308000473000000"
            "1305e0079308e00573000000"
        ),
    ),
    "ppc64le": (
        21,
        2,
        (
            "03006038020080380100a03837000038020000445c0083410000c1e8080061e810008138241fc678"
            "1432a47c0b000038020000440ec06754cc00003d656308617843e77c6578203d92a42961c6072979"
            "00082965f0ff21f9f8ffe19003006038f0ff81380c00a03804000038020000447e006038ea000038"
            "02000044"
        ),
    ),
    "s390x": (
        22,
        0,
        (
            "a7290003a7390002a7490001a71900370a00b9020022a744002ee350f0000004e320f00800044130"
            "f010eb550003000d41453000a719000b0a00b9030062a7fbfff0c07e00000008c07d92a46578e370"
            "f0000024c0896563cc0016865080f008a7290003b904003fa749000ca71900040a00a729007ea719"
            "00f80a00"
        ),
    ),
}


def program(machine: str) -> bytes:
    """Return the program for a machine, as `uname -m` names it.

    Raises: KeyError: there is none.
    """
    number, flags, text = _CODE[machine]
    code = bytes.fromhex(text)
    order, identity = (">", 2) if machine == "s390x" else ("<", 1)
    size = _HEADERS + len(code)
    header = struct.pack(
        f"{order}HHIQQQIHHHHHH",
        *(2, number, 1, _BASE + _HEADERS, 64, 0, flags, 64, 56, 1, 0, 0, 0),
    )
    segment = struct.pack(f"{order}IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x10000)
    return b"\x7fELF" + bytes([2, identity, 1]) + bytes(9) + header + segment + code


def open_sealed(machine: str) -> int:
    """Return a descriptor of the program, in memory that nobody can change.

    Raises: OSError: this kernel does not execute what is in memory.
    """
    import fcntl

    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        memory = os.memfd_create("command", flags | _MFD_EXEC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        memory = os.memfd_create("command", flags)  # Linux before 6.3
    os.write(memory, program(machine))
    fcntl.fcntl(memory, _F_ADD_SEALS, _SEALS)
    # Clear of the number that the socket will have.
    high = fcntl.fcntl(memory, fcntl.F_DUPFD_CLOEXEC, 64)
    os.close(memory)
    return high
