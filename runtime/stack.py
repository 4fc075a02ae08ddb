"""Stacks directories into one: an overlay, or a bind mount where there is only one and nothing to write.

The options are those that work as root and in a user namespace alike, with one dialect of whiteouts (`user.` attributes), and
`volatile`: nothing is forced to the disk when the stack goes away, whoever keeps the upper directory does that.

Source: Linux, Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

import os

from runtime.errors import SetupFailed
from runtime.syscalls import ATTR_NODEV, ATTR_READ_ONLY, Syscalls

MOST_LAYERS = 500
"""What the kernel stacks at most."""

_LONGEST = 255
"""Bytes of one mount option."""

_DIRECTORY = os.O_PATH | os.O_DIRECTORY
_OPTIONS: tuple[tuple[str, str | None], ...] = (
    ("userxattr", None),
    ("redirect_dir", "nofollow"),
    ("metacopy", "off"),
    ("index", "off"),
)


def overlay(
    calls: Syscalls,
    lowers: tuple[str, ...],
    *,
    upper: str | None = None,
    work: str | None = None,
    one_by_one: bool = True,
    scratch: int = -1,
    name: str = "",
) -> int:
    """Stack `lowers`, host paths, the topmost first, below `upper`; an `upper` alone is itself what is shown.

    `scratch` is an attached directory of one's own; a directory `name` is made in it where the kernel does not take
    layers one by one.

    Returns: a descriptor of the root of the mount, which is attached nowhere.
    Raises: SetupFailed: there are more layers than the kernel stacks. OSError: the kernel refused.
    """
    if len(lowers) > MOST_LAYERS:
        raise SetupFailed(
            f"stack {len(lowers)} layers",
            f"the kernel takes at most {MOST_LAYERS}",
            hint="merge stages or join RUN instructions, so that the image has fewer layers",
        )
    if upper is None and len(lowers) == 1:
        return _bind(calls, lowers[0], ATTR_READ_ONLY | ATTR_NODEV)
    if upper is not None and not lowers:
        return _bind(calls, upper, ATTR_NODEV)
    if not one_by_one:
        name = name or ("writable" if upper else "read-only")
        return _overlay_in_one_text(calls, lowers, upper, work, (scratch, name))
    held: list[int] = []
    try:
        options = [("lowerdir+", _short(calls, path, held)) for path in lowers]
        writable: tuple[tuple[str, str | None], ...] = ()
        if upper is not None and work is not None:
            writable = (
                ("upperdir", _short(calls, upper, held)),
                ("workdir", _short(calls, work, held)),
                ("volatile", None),
            )
        return calls.new_mount("overlay", (*options, *writable, *_OPTIONS), attributes=ATTR_NODEV)
    finally:
        for descriptor in held:
            calls.close(descriptor)


def _bind(calls: Syscalls, path: str, attributes: int) -> int:
    directory = calls.open(path, _DIRECTORY)
    try:
        mount = calls.clone_tree(directory)
    finally:
        calls.close(directory)
    calls.restrict(mount, attributes)
    return mount


def _short(calls: Syscalls, path: str, held: list[int]) -> str:
    if len(os.fsencode(path)) <= _LONGEST:
        return path
    held.append(calls.open(path, _DIRECTORY))
    return f"/proc/self/fd/{held[-1]}"


def _overlay_in_one_text(
    calls: Syscalls,
    lowers: tuple[str, ...],
    upper: str | None,
    work: str | None,
    links: tuple[int, str],
) -> int:
    """Stack by the old call, whose option text is limited to one page: by links with short names.

    The names of layers then contain nothing that the option text would read as a separator either.
    """
    scratch, name = links
    calls.make_directory(name, scratch, 0o700)
    place = calls.open(name, _DIRECTORY | os.O_NOFOLLOW, directory=scratch)
    calls.make_directory("m", place, 0o700)
    for number, path in enumerate(lowers):
        calls.make_link(path, str(number), place)
    data = "lowerdir=" + ":".join(str(number) for number in range(len(lowers)))
    if upper is not None and work is not None:
        calls.make_link(upper, "u", place)
        calls.make_link(work, "w", place)
        data += ",upperdir=u,workdir=w,volatile"
    data += "".join(f",{key}={value}" if value else f",{key}" for key, value in _OPTIONS)
    calls.change_directory(place)
    calls.mount("overlay", "m", "overlay", data)
    mounted = calls.open("m", _DIRECTORY, directory=place)
    result = calls.clone_tree(mounted)
    calls.close(mounted)
    calls.detach("m", place)
    calls.close(place)
    return result
