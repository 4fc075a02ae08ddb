"""A root file system of busybox for tests."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

BUSYBOX = Path("/bin/busybox")
_APPLETS = (
    "sh",
    "grep",
    "true",
    "false",
    "cat",
    "echo",
    "ls",
    "id",
    "env",
    "mknod",
    "chmod",
    "chown",
    "rm",
    "mkdir",
    "touch",
    "ln",
    "mv",
    "sleep",
    "stat",
    "ps",
    "tty",
    "mount",
    "umount",
    "dd",
    "wc",
    "find",
    "hostname",
    "ip",
    "test",
    "head",
    "tail",
    "sort",
    "readlink",
    "kill",
    "pwd",
    "unshare",
    "stty",
)


def make_rootfs(directory: Path, *, complete: bool = True) -> Path:
    """Fill `directory` with busybox; `complete` adds /proc, /sys, /dev, /etc/resolv.conf and accounts."""
    (directory / "bin").mkdir(parents=True)
    shutil.copy(BUSYBOX, directory / "bin/busybox")
    for name in _APPLETS:
        os.symlink("busybox", directory / "bin" / name)
    (directory / "tmp").mkdir()
    (directory / "tmp").chmod(0o1777)
    (directory / "etc").mkdir()
    (directory / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nbig:x:4294967296:0::/:/bin/sh\n"
    )
    (directory / "etc/group").write_text(
        "root:x:0:\nann:x:1000:\nstaff:x:50:ann\nwheel:x:10:ann,root\n"
    )
    if complete:
        for name in ("proc", "sys", "dev", "root", "home/ann"):
            (directory / name).mkdir(parents=True)
        for name in ("resolv.conf", "hosts", "hostname"):
            (directory / "etc" / name).write_text("")
    return directory
