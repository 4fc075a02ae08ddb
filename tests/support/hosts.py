"""Hosts that allow less than this machine does, made of it by taking things away."""

from __future__ import annotations

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
