"""The system call filters as the kernel takes them, one file for each machine.

Made from the tables by `make filters` and checked against them by the tests: making one takes longer than starting a step.
"""

from __future__ import annotations

import os

from runtime.errors import Unsupported

PLACE = os.path.dirname(__file__)


def load(machine: str) -> bytes:
    """Return the filter for a machine (as `uname -m` names it).

    Raises: Unsupported: there is none, so that no step may be run here.
    """
    name = f"{machine}.bpf"
    known = sorted(entry for entry in os.listdir(PLACE) if entry.endswith(".bpf"))
    if name not in known:
        machines = ", ".join(entry.removesuffix(".bpf") for entry in known)
        raise Unsupported(
            f"running commands on `{machine}`",
            "there is no system call filter for this kind of machine",
            hint=f"build on one of these: {machines}",
        )
    with open(os.path.join(PLACE, name), "rb") as file:
        return file.read()
