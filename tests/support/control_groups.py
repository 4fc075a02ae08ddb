"""The control groups of launchers on this machine, those of other tests too."""

from __future__ import annotations

import os
import time

from runtime.cgroups import PREFIX


def groups() -> set[str]:
    """Return the groups that there are now."""
    return {
        f"{folder}/{name}"
        for folder, names, _ in os.walk("/sys/fs/cgroup")
        for name in names
        if name.startswith(PREFIX) and len(name) == len(PREFIX) + 16
    }


def nothing_left_of_groups(before: set[str], seconds: float = 5.0) -> None:
    """Check that there are no more than before; those of others may come and go meanwhile."""
    more = groups() - before
    end = time.monotonic() + seconds
    while more := more & groups():
        assert time.monotonic() < end, f"left: {sorted(more)}"
        time.sleep(0.02)
