"""Brings up the loopback interface of a network namespace of one's own.

Source: man 7 netdevice.
"""

from __future__ import annotations

_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_IFF_UP = 0x1


def bring_up_loopback() -> None:
    """Set `lo` up; afterwards 127.0.0.1 and ::1 answer."""
    import fcntl
    import struct
    from _socket import AF_INET, SOCK_DGRAM, socket

    with_flags = struct.Struct("16sh14x")
    interface = socket(AF_INET, SOCK_DGRAM, 0)
    try:
        answer = fcntl.ioctl(interface, _SIOCGIFFLAGS, with_flags.pack(b"lo", 0))
        _, flags = with_flags.unpack(answer)
        fcntl.ioctl(interface, _SIOCSIFFLAGS, with_flags.pack(b"lo", flags | _IFF_UP))
    finally:
        interface.close()
