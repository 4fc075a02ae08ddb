"""What must be the same after an attack as before it, and the program that attacks."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

Fingerprint = dict[str, tuple[object, ...]]
_PROGRAM = Path(__file__).parents[1] / "sandbox/escape/programs/attack.c"


def fingerprint(directory: Path) -> Fingerprint:
    """Return names, kinds, modes, owners, times, link counts, attributes and bytes of all that is in a directory."""
    found: Fingerprint = {}
    for path in (directory, *directory.rglob("*")):
        status = path.lstat()
        content: object = None
        if stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(status.st_mode):
            content = os.readlink(path)
        found[str(path)] = (
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_nlink,
            status.st_mtime_ns,
            status.st_ctime_ns,
            tuple(os.listxattr(path, follow_symlinks=False)),
            content,
        )
    return found


def make_victim(place: Path) -> Path:
    """Make a directory with a bit of everything."""
    place.mkdir(mode=0o755, parents=True)
    (place / "passwd").write_text("evil:x:0:0::/evil:/bin/sh\n")
    (place / "group").write_text("evil:x:0:\n")
    (place / "resolv.conf").write_text("of the host\n")
    (place / "program").write_text("#!/bin/sh\n")
    (place / "program").chmod(0o4755)
    (place / "link").symlink_to("passwd")
    os.link(place / "passwd", place / "second")
    os.mkfifo(place / "fifo")
    (place / "below").mkdir()
    (place / "below/file").write_text("x")
    return place


def compile_attack(target: Path) -> Path:
    """Compile the program of all attacks, which needs nothing of an image; skip where there is no compiler."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc is not installed (packages gcc and libc6-dev)")
    subprocess.run([compiler, "-static", "-O1", "-o", target, _PROGRAM], check=True)
    return target
