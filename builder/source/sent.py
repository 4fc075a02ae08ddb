"""Contexts that come as archives: unpacked behind the launcher, where nobody is anybody else.

Functions here take and return plain data; host paths in the arguments come from the builder alone.
"""

from __future__ import annotations

import os

import msgspec

from builder.errors import ContextError, LayerError
from builder.layer.apply import apply
from builder.layer.foreign import tidy
from builder.layer.pack import SECOND
from builder.layer.read import Limits, Member, TarReader
from builder.layer.unwrapping import unwrapped

_DEVICES = frozenset(b"34")
_REGULAR = frozenset(b"0\0007")
_MOST_DEVICES = 1000


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """An archive: `head` are bytes of it that were read already, the rest comes from the first descriptor.

    It is unpacked to the host path `root`, which does not exist yet; `root` with `.owners` at its end gets the
    owners of what does not belong to root, by path.
    """

    root: str
    head: bytes = b""


def unpack(arguments: object, fds: tuple[int, ...], report: object) -> object:
    """Unpack a `Sent`, compressed or not; all files belong to whoever builds.

    Returns: `devices`, the paths of those that cannot be made here.
    Raises: ContextError: `context.bad-archive`: it is damaged, hostile, or over a limit.
    """
    del report
    request = msgspec.convert(arguments, Sent)
    os.mkdir(request.root, 0o755)
    owners: dict[str, tuple[int, int]] = {}
    devices: dict[str, None] = {}

    def adjust(member: Member) -> None:
        path = _adjust(member, owners)
        if member.typeflag in _DEVICES and len(devices) < _MOST_DEVICES:
            devices[path] = None

    try:
        apply(
            unwrapped(_Rejoined(request.head, fds[0])),
            request.root,
            lowers=(),
            entries_path=f"{request.root}.entries",
            adjust=adjust,
        )
    except LayerError as error:
        raise ContextError(
            "the archive that is to be the build context cannot be unpacked",
            code="context.bad-archive",
            notes=(_of_it(error.message), *error.notes),
            hint=error.hint,
        ) from error
    with open(f"{request.root}.owners", "wb") as file:
        file.write(msgspec.msgpack.encode(owners))
    return {"devices": [path for path in devices if not os.path.lexists(f"{request.root}/{path}")]}


def newest(arguments: object, fds: tuple[int, ...], report: object) -> object:
    """Find the time of the newest regular file of an archive, the first descriptor, compressed or not.

    Returns: `seconds` since 1970; None for what is no archive, or has no file.
    """
    del arguments, report
    found: int | None = None
    try:
        for member in TarReader(unwrapped(_Rejoined(b"", fds[0])), Limits()).members():
            if member.typeflag in _REGULAR:
                seconds = member.mtime // SECOND
                found = seconds if found is None else max(found, seconds)
    except LayerError:
        return {"seconds": None}
    return {"seconds": found}


def _of_it(message: str) -> str:
    """Return what is said of a layer as it is said of the archive just named."""
    return message.replace("the layer's", "its").replace("the layer", "it")


def _adjust(member: Member, owners: dict[str, tuple[int, int]]) -> str:
    """Give a member of an archive to whoever builds, and note whose it was, if not root's; return its path."""
    tidy(member)
    parts = [part for part in member.name.split(b"/") if part not in (b"", b".")]
    path = b"/".join(parts).decode("utf-8", "replace")
    if member.uid or member.gid:
        owners[path] = (member.uid, member.gid)
    else:
        owners.pop(path, None)
    member.uid = member.gid = 0
    return path


class _Rejoined:
    """A descriptor of which the first bytes have been read."""

    def __init__(self, head: bytes, fd: int) -> None:
        self._head = head
        self._fd = fd

    def read(self, size: int, /) -> bytes:
        if not self._head:
            return os.read(self._fd, size)
        data, self._head = self._head[:size], self._head[size:]
        return data
