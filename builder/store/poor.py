"""File systems that cannot hold a store: without links, modes or names that differ by case. Tried, when one is made.

Source: mount(8), "fat", "exfat"; symlink(7).
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from builder.errors import StoreError
from builder.store.ours import HEADER

_MODE = 0o641
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


def refuse_poor(directory: str) -> None:
    """Try in a directory what layers need.

    Raises: StoreError: `store.unusable`, with what is lacking. OSError: there is no room, or no right to write.
    """
    first = f"{directory}/{HEADER}{os.getpid()}"
    second = f"{directory}/{HEADER}{os.getpid()}000000000"
    try:
        os.close(os.open(first, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        os.chmod(first, _MODE)
        lacking = ""
        if stat.S_IMODE(os.stat(first).st_mode) != _MODE:
            lacking = "modes of files"
        elif os.path.exists(f"{directory}/{HEADER.upper()}{os.getpid()}"):
            lacking = "names that differ only by case"
        else:
            for make, what in ((os.link, "hard links"), (os.symlink, "symbolic links")):
                with suppress(FileNotFoundError):
                    os.unlink(second)
                try:
                    make(first, second)
                except OSError as error:
                    if error.errno in _NO_ROOM:
                        raise
                    lacking = f"{what}: {os.strerror(error.errno or 0)}"
                    break
    finally:
        for path in (first, second):
            with suppress(OSError):
                os.unlink(path)
    if lacking:
        raise StoreError(
            f"the file system of `{os.path.dirname(directory)}` cannot hold a store",
            code="store.unusable",
            notes=(f"it has no {lacking}",),
            hint="name a directory on another file system with `--root DIR` or LAPSTRAKE_ROOT",
        )
