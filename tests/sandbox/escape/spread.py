"""Runs one step in a mount namespace whose mounts are shared, and prints the mounts that came to be there."""

from __future__ import annotations

import sys
from pathlib import Path

from runtime.launch import Launcher
from runtime.spec import IsolationName
from tests.sandbox.escape import switches
from tests.sandbox.escape.ground import Attack


def main(image: str, ground: str) -> None:
    """Print how many mounts there were before and after, and how the step ended."""
    switches.switch_off_what_is_asked()
    one = Launcher.fork()
    table = Path("/proc/self/mountinfo")
    before = len(table.read_text().splitlines())
    one.open(IsolationName.ROOT)
    code = Attack(one, Path(ground), Path(image)).run("true").code
    print(code, len(table.read_text().splitlines()) - before)
    one.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
