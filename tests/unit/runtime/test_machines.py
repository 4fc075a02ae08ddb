"""Programs of other machines are told by their beginnings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.machines import MACHINES, machine_of, needs_loader, pattern, probe


@pytest.mark.parametrize("name", MACHINES)
def test_a_probe_is_a_program_of_its_machine_alone(name: str) -> None:
    program = probe(name)
    assert machine_of(program) == name
    assert not needs_loader(program)
    for other in MACHINES:
        magic, mask = pattern(other)
        same = all((a ^ b) & m == 0 for a, b, m in zip(program, magic, mask, strict=False))
        assert same is (other == name)


def test_what_is_no_program_is_of_no_machine() -> None:
    for head in (b"", b"\x7fELF", b"#!/bin/sh\n" + bytes(60), bytes(64), b"\x7fELF" + b"\xff" * 60):
        assert machine_of(head) is None


def test_a_program_with_a_loader_is_told_from_one_without() -> None:
    interpreter = Path(os.path.realpath("/bin/ls")).read_bytes()
    assert needs_loader(interpreter[:4096])
    # What cannot be told counts as needing one.
    assert needs_loader(interpreter[:64])
    assert needs_loader(b"#!/bin/sh\n")
