"""A directory being filled, reached by descriptors only: nothing outside of it can be named.

Parents are opened one component at a time without following links. A link made by the layer itself is
followed by hand, as if the directory were `/`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from builder.errors import LayerError

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_LIMIT = 256
_LINK_LIMIT = 40
NAME_LIMIT = 255
PATH_LIMIT = 4095


class Tree:
    """Directories below `root` by path, with a bounded number of descriptors held open.

    `imply(path, name, parent)` is called to make a parent that is missing; `parent` is the descriptor to
    make it in. Without it, the tree is for `open` and `locate` only.
    """

    def __init__(self, root: str, imply: Callable[[bytes, bytes, int], None] | None = None) -> None:
        self._root = os.open(root, DIRECTORY)
        self._imply = imply or _missing
        self._fds: dict[bytes, int] = {b"": self._root}
        self._parents: dict[bytes, tuple[bytes, int]] = {}

    def close(self) -> None:
        """Close all descriptors."""
        self.forget()
        os.close(self._root)

    def forget(self) -> None:
        """Look everything up again from now on: something was replaced."""
        for path, fd in self._fds.items():
            if path:
                os.close(fd)
        self._fds = {b"": self._root}
        self._parents = {}

    def parent(self, name: bytes) -> tuple[bytes, int]:
        """Return the real path and a descriptor of a directory, made if missing.

        The descriptor is good until the next call.

        Raises: LayerError: a component is `..`, too long, or not a directory.
        """
        found = self._parents.get(name)
        if found is None:
            components = split(name)
            resolved = self._walk(components, create=True)
            assert resolved is not None
            found = (resolved, self.open(resolved))
            if len(self._parents) >= _OPEN_LIMIT:
                self._parents.clear()
            self._parents[name] = found
        return found

    def locate(self, name: bytes) -> tuple[bytes, int] | None:
        """Return the same for a directory that is there, else None."""
        found = self._parents.get(name)
        if found is not None:
            return found
        resolved = self._walk(split(name), create=False)
        return None if resolved is None else (resolved, self.open(resolved))

    def _walk(self, components: list[bytes], *, create: bool) -> bytes | None:
        pending = components[::-1]
        path = b""
        followed = 0
        while pending:
            name = pending.pop()
            if name == b"..":  # only of a link's target
                path = path.rpartition(b"/")[0]
                continue
            child = path + b"/" + name if path else name
            if child in self._fds:
                path = child
                continue
            try:
                self._descend(path, child, name, create=create)
            except FileNotFoundError:
                return None
            except OSError as error:
                if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                    raise
                followed += 1
                target = self._target(path, child, name)
                if target is None or followed > _LINK_LIMIT:
                    raise _no_directory(child) from None
                if target.startswith(b"/"):
                    path = b""
                pending.extend(c for c in target.split(b"/")[::-1] if c not in (b"", b"."))
                continue
            path = child
        return path

    def _descend(self, path: bytes, child: bytes, name: bytes, *, create: bool) -> None:
        parent = self.open(path)
        try:
            fd = os.open(name, DIRECTORY, dir_fd=parent)
        except FileNotFoundError:
            if not create:
                raise
            if len(child) > PATH_LIMIT:
                raise too_long() from None
            self._imply(child, name, parent)
            fd = os.open(name, DIRECTORY, dir_fd=parent)
        if len(self._fds) >= _OPEN_LIMIT:
            self.forget()
        self._fds[child] = fd

    def _target(self, path: bytes, child: bytes, name: bytes) -> bytes | None:
        """Return where a link leads, or None for what is no link; a whiteout gives way to a directory."""
        parent = self.open(path)
        try:
            return os.readlink(name, dir_fd=parent)
        except OSError:
            status = os.lstat(name, dir_fd=parent)
            if is_whiteout(status):
                self._imply(child, name, parent)
                return name
            return None

    def open(self, path: bytes) -> int:
        """Return a descriptor of a directory by its real path; good until the next call."""
        fd = self._fds.get(path)
        if fd is not None:
            return fd
        if len(self._fds) >= _OPEN_LIMIT:
            self.forget()
        missing: list[bytes] = []
        above = path
        while (fd := self._fds.get(above)) is None:
            above, _, name = above.rpartition(b"/")
            missing.append(name)
        passing = -1
        while missing:
            fd = os.open(missing.pop(), DIRECTORY, dir_fd=fd)
            if passing >= 0:
                os.close(passing)
            passing = fd
        self._fds[path] = fd
        return fd


def split(name: bytes) -> list[bytes]:
    """Return the components of a name from a tar stream, which may be absolute or begin with `./`.

    Raises: LayerError: one is `..` or longer than 255 bytes, or the whole is longer than 4095.
    """
    if len(name) > PATH_LIMIT:
        raise too_long()
    components = [component for component in name.split(b"/") if component not in (b"", b".")]
    for component in components:
        if component == b"..":
            raise LayerError(f"the layer holds `{shown(name)}`, which leads out of it")
        if len(component) > NAME_LIMIT:
            raise too_long()
    return components


def is_whiteout(status: os.stat_result) -> bool:
    """Tell whether an object is overlayfs's mark for something removed."""
    return status.st_rdev == 0 and status.st_mode & 0o170000 == 0o020000


def shown(path: bytes) -> str:
    """Return a path as text for a message, cut if long."""
    return path[:200].decode("utf-8", "backslashreplace")


def too_long() -> LayerError:
    """Return the error for a name over the limits of file systems."""
    return LayerError("a name in the layer is longer than 255 bytes, or a path longer than 4095")


def _missing(path: bytes, name: bytes, parent: int) -> None:
    del name, parent
    raise LayerError(f"`{shown(path)}` is missing")


def _no_directory(path: bytes) -> LayerError:
    return LayerError(f"the layer puts something below `{shown(path)}`, which is no directory")
