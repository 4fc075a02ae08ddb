"""A fresh file system: ext4 in a file, mounted by a loop device, so that every run starts alike. Needs root."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def fresh_disk(place: Path, *, size: int) -> Iterator[Path]:
    """Make and mount a file system of `size` bytes; yield its root; unmount and remove it."""
    image, mounted = place / "disk.img", place / "disk"
    mounted.mkdir(exist_ok=True)
    with image.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    _quietly("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
    _quietly("mount", "-o", "loop", image, mounted)
    try:
        os.sync()
        yield mounted
    finally:
        _quietly("umount", mounted)
        image.unlink()


def _quietly(*argv: str | Path) -> None:
    subprocess.run(argv, check=True, capture_output=True, stdin=subprocess.DEVNULL)
