"""A shell for images that have none: the host's busybox, if that one needs no libraries."""

from __future__ import annotations

import os
import struct

_NAMES = ("busybox", "busybox.static", "busybox-static")
_USUAL = ("/bin", "/usr/bin", "/sbin", "/usr/local/bin")
_INTERPRETER = 3
"""PT_INTERP: what the kernel is to load first. Source: elf(5)."""


def find_static_busybox() -> str | None:
    """Return the host path of a busybox that runs in any file system, None where there is none."""
    for directory in dict.fromkeys((*os.get_exec_path(), *_USUAL)):
        for name in _NAMES:
            path = os.path.join(directory, name)
            if os.access(path, os.R_OK | os.X_OK) and is_static(path):
                return os.path.realpath(path)
    return None


def is_static(path: str) -> bool:
    """Tell whether a file is a program in ELF that asks for no interpreter, which would load its libraries."""
    try:
        with open(path, "rb") as file:
            ident = file.read(16)
            if ident[:4] != b"\x7fELF" or not {*ident[4:6]} <= {1, 2} or len(ident) < 16:
                return False
            order = "<" if ident[5] == 1 else ">"
            wide = ident[4] == 2
            shape = f"{order}HHIQQQIHHH" if wide else f"{order}HHIIIIIHHH"
            header = struct.unpack(shape, file.read(struct.calcsize(shape)))
            offset, size, count = header[4], header[8], header[9]
            for number in range(count):
                file.seek(offset + number * size)
                (kind,) = struct.unpack(f"{order}I", file.read(4))
                if kind == _INTERPRETER:
                    return False
    except (OSError, struct.error):
        return False
    return True
