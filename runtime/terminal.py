"""A pseudo-terminal of the sandbox's own: its names and numbers exist nowhere else.

Source: man 7 pty, man 2 ioctl_tty.
"""

from __future__ import annotations

import os

_POWER = os.uname().machine.startswith("ppc")
_TIOCSPTLCK = 0x80045431 if _POWER else 0x40045431
_TIOCGPTPEER = 0x20005441 if _POWER else 0x5441
_TIOCSCTTY = 0x540E


def open_terminal() -> tuple[int, int]:
    """Open the two ends of a new terminal, which becomes the controlling one of this session.

    Returns: the descriptors of the side that a person sits at, and of the program's side.
    """
    import fcntl

    master = os.open("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(master, _TIOCSPTLCK, bytes(4))
    # The kernel opens the other side itself, so that no path of the root file system is involved.
    slave = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(slave, _TIOCSCTTY, 0)
    return master, slave
