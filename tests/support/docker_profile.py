"""Runs a command as root of an ordinary Docker container has it: fourteen capabilities, and the default filter.

    python -m tests.support.docker_profile COMMAND [ARGUMENT]…

The filter is the product's own, which has the meaning of Docker's.
"""

from __future__ import annotations

import os
import sys

from runtime import capabilities, filters
from runtime.features import last_capability
from runtime.syscalls import Syscalls


def main(words: list[str]) -> None:
    """Become the command."""
    calls = Syscalls()
    for capability in capabilities.to_drop(last_capability()):
        calls.drop_bounding(capability)
    program = filters.load(os.uname().machine)
    assert program is not None
    calls.load_filter(program)
    calls.set_capabilities(capabilities.DEFAULT_MASK)
    os.execvp(words[0], words)


if __name__ == "__main__":
    main(sys.argv[1:])
