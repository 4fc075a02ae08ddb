"""What a root user inside the walls may do: Docker's fourteen capabilities.

Source: linux/capability.h; moby, oci/caps/defaults.go.
"""

from __future__ import annotations

DEFAULT = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_FOWNER": 3,
    "CAP_FSETID": 4,
    "CAP_KILL": 5,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
    "CAP_SETPCAP": 8,
    "CAP_NET_BIND_SERVICE": 10,
    "CAP_NET_RAW": 13,
    "CAP_SYS_CHROOT": 18,
    "CAP_MKNOD": 27,
    "CAP_AUDIT_WRITE": 29,
    "CAP_SETFCAP": 31,
}

DEFAULT_MASK = sum(1 << number for number in DEFAULT.values())
"""0xa80425fb."""

_HIGHEST = 63


def to_drop(last: int = _HIGHEST) -> tuple[int, ...]:
    """Return the capabilities up to `last` that leave the bounding set."""
    return tuple(number for number in range(last + 1) if not DEFAULT_MASK >> number & 1)
