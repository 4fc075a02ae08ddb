"""Hosts that allow less than this machine does, made of it by taking things away."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

from runtime.spec import IsolationName


class Host(NamedTuple):
    """A kind of host: what must precede a command of root's to run it there, and which walls it then gets."""

    name: str
    prefix: tuple[str, ...]
    walls: IsolationName

    def command(self, *words: str | Path) -> list[str]:
        """Return a command as it is run on this host."""
        return [*self.prefix, *map(str, words)]


_DROP = ("setpriv", "--bounding-set=-sys_admin", "--")
_MASK = (
    "mount -t proc proc /proc; mount --bind /dev/null /proc/timer_list; mount --bind /proc/sys /proc/sys;"
    "mount -o remount,bind,ro /proc/sys; mount -t tmpfs -o ro none /sys/firmware;"
)

WITHOUT_MOUNTS = Host("root without CAP_SYS_ADMIN", _DROP, IsolationName.USERNS_ROOT)
MASKED = Host(
    "a container without CAP_SYS_ADMIN that hides parts of /proc and /sys",
    (
        *("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec"),
        f'{_MASK} exec {" ".join(_DROP)} "$@"',
        "-",
    ),
    IsolationName.USERNS_ROOT,
)

ONE_ID = Host("a user who has no other id", (), IsolationName.SINGLE_ID)
"""Root may have itself mapped alone, too."""

DOCKER = Host(
    "a container of Docker's",
    (sys.executable, "-m", "tests.support.docker_profile"),
    IsolationName.CHROOT,
)
"""To be run in the checkout. There, `auto` finds nothing."""


class Ground(NamedTuple):
    """A file system for stores: the shell commands that mount it at `$1`, and how states are kept there.

    `kind` is what `mkfs` and the kernel call it, where it is made in a file; "" where nothing has to be made.
    """

    name: str
    mount: str
    snapshotter: str
    kind: str = ""

    def missing(self) -> str:
        """Return what this machine lacks for it, "" for nothing."""
        if not self.kind:
            return ""
        if shutil.which(f"mkfs.{self.kind}", path=f"{os.defpath}:/usr/sbin:/sbin") is None:
            return f"mkfs.{self.kind} is not installed"
        if self.kind not in Path("/proc/filesystems").read_text().split():
            return f"the kernel has no {self.kind}"
        return ""

    def command(self, place: Path, *words: str | Path) -> list[str]:
        """Return a command as it is run where this is mounted at `place`, with nobody else seeing it."""
        script = f'{self.mount}; shift; exec "$@"'
        return ["unshare", "--mount", "sh", "-ec", script, "-", str(place), *map(str, words)]


ON_OVERLAY = Ground(
    "an overlay",
    'mount -t tmpfs none "$1"; cd "$1"; mkdir l u w m; mount -t overlay -o lowerdir=l,upperdir=u,workdir=w none m;'
    ' mount --move m "$1"; cd - > /dev/null',
    "copying",
)
ON_TMPFS = Ground("a tmpfs", 'mount -t tmpfs none "$1"', "overlay")
WITHOUT_ATTRIBUTES = Ground(
    "a file system without extended attributes", 'mount -t ramfs none "$1"', "copying"
)


def _in_a_file(kind: str, options: str) -> Ground:
    return Ground(
        f"{kind} in a file",
        f'truncate -s 3G "$1.{kind}"; mkfs.{kind} {options} "$1.{kind}" > /dev/null; mount -o loop "$1.{kind}" "$1"; rm "$1.{kind}"',
        "overlay",
        kind,
    )


ON_EXT4 = _in_a_file("ext4", "-q")
ON_XFS = _in_a_file("xfs", "-q")
ON_BTRFS = _in_a_file("btrfs", "-q")
