"""Remembers owners that cannot be given where there is but one id: as an attribute of the file, `user.lapstrake.owner`.

    step ── chown ──► kernel ── notification ──► recorder ── setxattr ──► file
      ◄───────────────── the answer ────────────────┘

The attribute moves with the file when it is renamed, linked and copied up, and goes when it goes. It is of use to the builder
only. Links and special files cannot have it; a path that a step changes meanwhile gives some file of its own the attribute.

Source: man 2 seccomp_unotify; man 5 proc; man 7 xattr, "Extended user attributes".
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat
import struct
from contextlib import suppress
from typing import NoReturn, cast

from runtime import wire
from runtime.beneath import open_beneath
from runtime.ownership import ATTRIBUTE, owner_of
from runtime.single_id import recorded_calls
from runtime.syscalls import Syscalls

_RECEIVE, _SEND, _IS_VALID = 0xC0502100, 0xC0182101, 0x40082102
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
_RESPONSE = struct.Struct("=QqiI")
_LONGEST_PATH = 4096
_PAGE = 4096
_HERE = -100
_NO_FOLLOW, _EMPTY_PATH = 0x100, 0x1000
_UNCHANGED = 0xFFFFFFFF
_DIRECTORY = os.O_PATH | os.O_DIRECTORY
_BROKEN = 70
_CHANNEL = 3


def record(calls: Syscalls, channel: wire.Socket) -> NoReturn:
    """Answer for one step, whose notifications arrive over `channel`, until it has ended; never returns."""
    try:
        calls.die_with_parent()
        own = channel.fileno()
        if own != _CHANNEL:
            os.dup2(own, _CHANNEL, inheritable=False)
            channel.detach()
            channel = wire.from_descriptor(_CHANNEL)
        os.closerange(_CHANNEL + 1, _highest_descriptor())
        ids, descriptors = wire.receive(channel)
        channel.close()
        uid, gid = cast("tuple[int, int]", ids)
        _Recorder(calls, descriptors[0], (uid, gid)).run()
    except (EOFError, OSError):
        os._exit(0)  # the step did not get so far, or is gone
    finally:
        os._exit(_BROKEN)


class _Recorder:
    """Serves one listener; `own` are the ids that the step was started with."""

    def __init__(self, calls: Syscalls, listener: int, own: tuple[int, int]) -> None:
        self._calls = calls
        self._listener = listener
        self._own = own
        self._names = recorded_calls(os.uname().machine)

    def run(self) -> NoReturn:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        while True:
            for _, events in poll.poll():
                if events & select.POLLIN:
                    self._answer()
                else:
                    os._exit(0)

    def _answer(self) -> None:
        received = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(self._listener, _RECEIVE, received, True)  # noqa: FBT003 - takes no keyword
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.EINTR}:
                return  # the caller was killed
            raise
        notification, pid, _, number, _, _, *arguments = _NOTIFICATION.unpack(received)
        try:
            self._serve(notification, pid, self._names[number], arguments)
            code = 0
        except OSError as error:
            code = error.errno or errno.EIO
        with suppress(OSError):
            fcntl.ioctl(self._listener, _SEND, _RESPONSE.pack(notification, 0, -code, 0))

    def _serve(self, notification: int, pid: int, name: str, arguments: list[int]) -> None:
        uid, gid = (value & _UNCHANGED for value in _owner_arguments(name, arguments))
        target = self._open(pid, name, arguments)
        try:
            fcntl.ioctl(self._listener, _IS_VALID, struct.pack("=Q", notification))
            self._give(target, uid, gid)
        finally:
            os.close(target)

    def _open(self, pid: int, name: str, arguments: list[int]) -> int:
        match name:
            case "fchown":
                return os.open(f"/proc/{pid}/fd/{_signed(arguments[0])}", os.O_PATH)
            case "fchownat":
                directory, flags = _signed(arguments[0]), arguments[4]
                path = _text(pid, arguments[1])
                if not path and flags & _EMPTY_PATH and directory != _HERE:
                    return os.open(f"/proc/{pid}/fd/{directory}", os.O_PATH)
                return self._find(pid, directory, path, follow=not flags & _NO_FOLLOW)
            case _:
                path = _text(pid, arguments[0])
                return self._find(pid, _HERE, path, follow=name != "lchown")

    def _find(self, pid: int, directory: int, path: str, *, follow: bool) -> int:
        """Open what a path means to a process: below its own root, links included."""
        if not path:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        flags = os.O_PATH if follow else os.O_PATH | os.O_NOFOLLOW
        root = os.open(f"/proc/{pid}/root", _DIRECTORY)
        try:
            if not path.startswith("/"):
                place = "cwd" if directory == _HERE else f"fd/{directory}"
                path = f"{_within(pid, place)}/{path}"
            return open_beneath(root, path, flags, syscalls=self._calls)
        finally:
            os.close(root)

    def _give(self, target: int, uid: int, gid: int) -> None:
        place = f"/proc/self/fd/{target}"
        mode = os.fstat(target).st_mode
        if self._own[0] and (uid not in {_UNCHANGED, self._own[0]}):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            return
        before = self._own
        with suppress(OSError):
            before = owner_of(os.getxattr(place, ATTRIBUTE)) or before
        owner = (before[0] if uid == _UNCHANGED else uid, before[1] if gid == _UNCHANGED else gid)
        with suppress(OSError):  # a file system that has no attributes
            os.setxattr(place, ATTRIBUTE, b"%d:%d" % owner)
        if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
            # As the kernel does, so that a program never belongs to another owner with the bits of the last.
            kept = 0 if mode & stat.S_IXGRP else stat.S_ISGID
            os.chmod(place, stat.S_IMODE(mode) & ~(stat.S_ISUID | stat.S_ISGID) | mode & kept)


def _highest_descriptor() -> int:
    return max((int(name) for name in os.listdir("/proc/self/fd")), default=256) + 1


def _owner_arguments(name: str, arguments: list[int]) -> list[int]:
    return arguments[2:4] if name == "fchownat" else arguments[1:3]


def _signed(value: int) -> int:
    value &= _UNCHANGED
    return value - (1 << 32) if value >> 31 else value


def _within(pid: int, place: str) -> str:
    """Return where a directory of a process is, as that process would say."""
    root = os.readlink(f"/proc/{pid}/root")
    path = os.readlink(f"/proc/{pid}/{place}")
    return path.removeprefix(root) if root != "/" else path


def _text(pid: int, address: int) -> str:
    """Return the path that stands at an address of a process."""
    memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = b""
        while len(text) < _LONGEST_PATH:
            piece = os.pread(memory, _PAGE - (address + len(text)) % _PAGE, address + len(text))
            end = piece.find(b"\0")
            if end >= 0:
                return os.fsdecode(text + piece[:end])
            if not piece:
                break
            text += piece
    finally:
        os.close(memory)
    raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
