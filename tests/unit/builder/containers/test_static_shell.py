from __future__ import annotations

import struct
from pathlib import Path

import pytest

from builder.containers.static_shell import find_static_busybox, is_static

LOAD, INTERPRETER = 1, 3


def program(order: str, kinds: tuple[int, ...], *, wide: bool = True) -> bytes:
    """Return an ELF file with program headers of these kinds."""
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2]) + bytes(10)
    shape, size = ("HHIQQQIHHH", 56) if wide else ("HHIIIIIHHH", 32)
    start = 16 + struct.calcsize(order + shape)
    header = struct.pack(order + shape, 2, 62, 1, 0, start, 0, 0, start, size, len(kinds))
    return (
        ident
        + header
        + b"".join(struct.pack(f"{order}I", kind).ljust(size, b"\0") for kind in kinds)
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("wide", [True, False])
def test_a_program_without_an_interpreter_is_static(
    tmp_path: Path, order: str, *, wide: bool
) -> None:
    path = tmp_path / "busybox"
    path.write_bytes(program(order, (LOAD, LOAD), wide=wide))
    assert is_static(str(path))
    path.write_bytes(program(order, (LOAD, INTERPRETER), wide=wide))
    assert not is_static(str(path))


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\n", b"\x7fELF", b"\x7fELF" + bytes(200)])
def test_what_is_no_program_is_no_static_one(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "busybox"
    path.write_bytes(data)
    assert not is_static(str(path))
    assert not is_static(str(tmp_path / "absent"))


def test_only_a_static_busybox_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builder.containers.static_shell._USUAL", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "busybox"
    path.write_bytes(program("<", (INTERPRETER,)))
    path.chmod(0o755)
    assert find_static_busybox() is None
    path.write_bytes(program("<", (LOAD,)))
    assert find_static_busybox() == str(path)
