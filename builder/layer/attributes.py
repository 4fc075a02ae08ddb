"""Extended attributes: which belong to a layer, which are overlayfs's own.

Kept: `user.*`, file capabilities and POSIX access lists. Dropped: overlayfs's marks, whoever wrote them, what we note ourselves, and
labels that belong to a host (`security.selinux`, `security.ima`, other `trusted.*`).

Source: overlayfs.rst, "User xattr", "Nesting overlayfs mounts"; threats of `trusted.overlay.*` in layers.
"""

from __future__ import annotations

import errno
import os

from builder.errors import LayerError

OPAQUE = "user.overlay.opaque"
ORIGIN = "user.overlay.origin"

_OVERLAY = ("user.overlay.", "trusted.overlay.")
_KEPT = frozenset(
    {"security.capability", "system.posix_acl_access", "system.posix_acl_default"},
)
_NOT_HERE = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM})

Attributes = tuple[tuple[bytes, bytes], ...]


def belongs(name: str) -> bool:
    """Tell whether an attribute is part of a layer. A name with `=` has no form in a tar stream."""
    if name.startswith("user."):
        return not name.startswith(("user.overlay.", "user.lapstrake.")) and "=" not in name
    return name in _KEPT


def is_overlay_mark(name: str) -> bool:
    """Tell whether an attribute is, or once was, overlayfs's own."""
    return name.startswith(_OVERLAY)


def names(fd: int) -> list[str]:
    """Return the names of all attributes of `fd`; none where the file system has no such thing."""
    try:
        return os.listxattr(fd)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        return []


def read(fd: int, present: list[str]) -> Attributes:
    """Return those of `present` on `fd` that belong to a layer, sorted."""
    return tuple(
        (os.fsencode(name), os.getxattr(fd, name)) for name in sorted(present) if belongs(name)
    )


def write(fd: int, attributes: Attributes) -> None:
    """Set attributes on `fd`; where the file system or user cannot hold one, it is left out.

    Raises: LayerError: the value is too large, or means nothing to the kernel.
    """
    for name, value in attributes:
        try:
            os.setxattr(fd, name, value)
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise LayerError(
                    f"the attribute `{os.fsdecode(name)}` of {len(value)} bytes cannot be kept here",
                    notes=(f"the kernel says: {error.strerror}",),
                ) from error


def strip_marks(fd: int, present: list[str], *, keep_opaque: bool = False) -> None:
    """Remove overlayfs's marks from `fd`, so that no later mount obeys them."""
    for name in present:
        if name.startswith(_OVERLAY) and not (keep_opaque and name == OPAQUE):
            try:
                os.removexattr(fd, name)
            except OSError as error:
                # trusted.* needs a capability of the first user namespace; mounts of ours do not read it.
                if error.errno not in _NOT_HERE:
                    raise
