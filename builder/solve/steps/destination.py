"""Where a copy goes: the destination resolved inside the image, and what was observed on the way."""

from __future__ import annotations

import os
import stat

from builder.errors import BuildError
from builder.layer.owners import seen_at
from builder.layer.place import Attributes
from builder.source.owner import owner_ids

MAX_LINKS = 40
"""Links followed in one path, as in the kernel."""


class Destination:
    """The file system that a copy writes above: `root_fd` is a read-only view of it, None if it is empty.

    Everything asked of it is remembered as an observation: the same copy is reused above any other state of
    which the same would be observed.
    """

    def __init__(self, root_fd: int | None) -> None:
        self._root_fd = root_fd
        self._seen: dict[str, str] = {}

    @property
    def observations(self) -> tuple[tuple[str, str], ...]:
        """What was observed: pairs of path and finding, sorted."""
        return tuple(sorted(self._seen.items()))

    def look(self, path: bytes) -> os.stat_result | None:
        """Return the status of a path without following a link at its end, or None; noted."""
        status = self._status(path)
        self._seen["/" + spelled(path)] = self._finding(path, status)
        return status

    def _status(self, path: bytes) -> os.stat_result | None:
        if self._root_fd is None:
            return None
        try:
            return os.stat(path or b".", dir_fd=self._root_fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _finding(self, path: bytes, status: os.stat_result | None) -> str:
        if status is None:
            return "absent"
        if stat.S_ISDIR(status.st_mode):
            return "directory"
        if stat.S_ISLNK(status.st_mode):
            return "link " + spelled(self._readlink(path))
        return "file"

    def _readlink(self, path: bytes) -> bytes:
        return os.readlink(path, dir_fd=self._root_fd)

    def attributes(self, path: bytes) -> Attributes:
        """Return the attributes of a directory that exists; they are those of its implied parent entry."""
        status = self._status(path)
        if status is None or self._root_fd is None:
            return Attributes(0o755)
        return Attributes.of(seen_at(status, self._root_fd, path or b"."))

    def owner(self, owner: str) -> tuple[int, int]:
        """Return the ids that `user[:group]` names here; noted.

        Raises: BuildError: no such name.
        """
        ids = owner_ids(self._root_fd, owner)
        self._seen[f"owner {owner}"] = f"{ids[0]}:{ids[1]}"
        return ids

    def resolve(self, path: str, beneath: bytes = b"") -> bytes:
        """Follow the links of an absolute path inside the image; what does not exist stays as named.

        With `beneath`, a path without links, that directory is the root of `path` and of all links on the way.

        Returns: the path relative to the root, without links.
        Raises: BuildError: `build.copy-failed`: too many links, or a file where a directory must be.
        """
        pending = [part for part in os.fsencode(path).split(b"/") if part not in (b"", b".")]
        pending.reverse()
        above = [beneath] if beneath else []
        current: list[bytes] = []
        links = 0
        while pending:
            part = pending.pop()
            if part == b"..":
                del current[-1:]
                continue
            full = b"/".join([*above, *current, part])
            status = self.look(full)
            if status is not None and stat.S_ISLNK(status.st_mode):
                links += 1
                if links > MAX_LINKS:
                    raise BuildError(
                        f"`{path}` passes too many links in the image", code="build.copy-failed"
                    )
                target = self._readlink(full)
                if target.startswith(b"/"):
                    current.clear()
                parts = [each for each in target.split(b"/") if each not in (b"", b".")]
                pending.extend(reversed(parts))
                continue
            if status is not None and pending and not stat.S_ISDIR(status.st_mode):
                raise BuildError(
                    f"`/{os.fsdecode(full)}` is not a directory in the image",
                    code="build.copy-failed",
                    notes=(f"the destination is `{path}`",),
                )
            current.append(part)
        return b"/".join([*above, *current])


def spelled(path: bytes) -> str:
    r"""Write a path as text, reversibly: bytes that are not UTF-8 as `\xNN`, a backslash doubled."""
    return path.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def unspelled(text: str) -> bytes:
    """Return the path that was spelled."""
    pieces = text.encode().split(b"\\\\")
    return b"\\".join(_with_bytes(piece) for piece in pieces)


def _with_bytes(piece: bytes) -> bytes:
    first, *rest = piece.split(b"\\x")
    return first + b"".join(bytes((int(each[:2], 16),)) + each[2:] for each in rest)


def observe(root_fd: int | None, asked: list[str]) -> list[str]:
    """Return what is found at paths and for owners that an earlier copy observed, in the same words."""
    destination = Destination(root_fd)
    for each in asked:
        if each.startswith("owner "):
            try:
                destination.owner(each.removeprefix("owner "))
            except BuildError:
                return []
        else:
            destination.look(unspelled(each[1:]))
    found = dict(destination.observations)
    return [found[each] for each in asked]
