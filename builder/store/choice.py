"""Which way of keeping states goes with which walls, and which of them this store's file system allows.

| walls                                          | first       | else      |
|------------------------------------------------|-------------|-----------|
| `root`, `userns-root`, `rootless`, `single-id` | overlay     | copying   |
| `chroot`                                       | copying     |           |

Overlay is tried once for each store, kind of walls and kernel, and what came out is remembered in the store.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import cast

from builder.store.jobs import Jobs
from runtime.spec import IsolationName

OVERLAY, COPYING = "overlay", "copying"

WITHOUT_MOUNTS = frozenset({IsolationName.CHROOT})

Recall = Callable[[str], str | None]
Remember = Callable[[str, str], None]


def choose(jobs: Jobs, directory: str, recall: Recall, remember: Remember) -> str:
    """Return `overlay` or `copying`; `directory` is a host path in the store that does not exist.

    Raises: LapstrakeError: no walls can be had.
    """
    walls = jobs.open()
    if walls in WITHOUT_MOUNTS:
        return COPYING
    key = f"{walls.value} {os.uname().release}"
    known = recall(key)
    if known not in {OVERLAY, COPYING}:
        found = jobs.call("builder.store.trial:try_overlay", {"directory": directory})
        refused = cast("dict[str, str]", found)["refused"]
        known = COPYING if refused else OVERLAY
        remember(key, known)
    return known
