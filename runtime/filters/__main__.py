"""Writes the files of this package: `make filters`."""

from __future__ import annotations

import os

from runtime.filters import PLACE
from runtime.seccomp import CONVENTIONS, program

for machine in CONVENTIONS:
    made = program(machine)
    assert made is not None
    with open(os.path.join(PLACE, f"{machine}.bpf"), "wb") as file:
        file.write(made)
