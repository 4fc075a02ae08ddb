"""Whether overlayfs can write on a store's own file system: tried with a real stack, behind the walls.

Source: Linux, Documentation/filesystems/overlayfs.rst, "upper and lower", "whiteouts and opaque directories".
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

import msgspec

from builder.layer import attributes
from builder.layer.remove import remove_tree
from runtime.errors import SandboxError
from runtime.view import writable

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class TryOverlay(msgspec.Struct, frozen=True, kw_only=True):
    """Try it below `directory`, a host path that does not exist."""

    directory: str


def try_overlay(
    arguments: object, fds: tuple[int, ...], report: Callable[[object], object]
) -> object:
    """Do `TryOverlay`.

    Returns: `refused`, why it cannot be used, "" if it can.
    """
    del fds, report
    place = msgspec.convert(arguments, TryOverlay).directory
    try:
        _stack(place)
    except OSError as error:
        return {"refused": error.strerror or str(error)}
    except SandboxError as error:
        return {"refused": error.message}
    finally:
        remove_tree(place)
    return {"refused": ""}


def _stack(place: str) -> None:
    lower, upper, work = (f"{place}/{name}" for name in ("lower", "upper", "work"))
    for path in (place, lower, upper, work, f"{lower}/d", f"{lower}/d/a"):
        os.mkdir(path)
    with open(f"{lower}/file", "wb"):
        pass
    # Layers that are unpacked hold such marks without the help of overlayfs.
    os.mknod(f"{lower}/whiteout", stat.S_IFCHR)
    os.setxattr(f"{lower}/d/a", attributes.OPAQUE, b"y")
    with writable((lower,), upper, work) as root:
        os.unlink("file", dir_fd=root)
        os.rmdir("d/a", dir_fd=root)
        os.rmdir("d", dir_fd=root)
        os.mkdir("d", dir_fd=root)
    if os.getxattr(f"{upper}/d", attributes.OPAQUE) != b"y":
        raise OSError("no mark was left of a directory that hides another")
    if not stat.S_ISCHR(os.lstat(f"{upper}/file").st_mode):
        raise OSError("no mark was left of a file that was removed")
