"""The devices and links that a command finds in `/dev`."""

from __future__ import annotations

DEVICES = (
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
)
# Source: moby/buildkit, util/entitlements/security/security_linux.go.
MORE_DEVICES = (
    "kmsg",
    "cuse",
    "fuse",
    "kvm",
    "net/tun",
    "loop-control",
    *(f"loop{number}" for number in range(8)),
)
"""What a command is shown besides that may do everything, as far as the host has it."""
DEVICE_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
)
