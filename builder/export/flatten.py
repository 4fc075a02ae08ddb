"""Stacked layers → one tar, or one directory of the caller's; jobs that run behind the launcher."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

import msgspec

from builder.export.destination import refusing, writer
from builder.export.left_out import LeftOut, Named
from builder.export.unmade import unmade
from builder.export.walk import Found, walk
from builder.layer import attributes, owners
from builder.layer.entry import Kind, sort_key
from builder.layer.objects import from_status
from builder.layer.pack import TarWriter, write_fully
from runtime.view import mounted

Reporter = Callable[[object], object]

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE = 1 << 20
_SET_ID = stat.S_ISUID | stat.S_ISGID
_KEPT_MODE = 0o777 | stat.S_ISVTX


class WriteTar(msgspec.Struct, frozen=True, kw_only=True):
    """Write the root file system that `lowers` make, topmost first, as a tar to the first descriptor.

    `dest` is what messages call it, `lists` are the layers' entry lists, the lowest first.
    """

    lowers: tuple[str, ...]
    lists: tuple[str, ...] = ()
    dest: str


class WriteDirectory(msgspec.Struct, frozen=True, kw_only=True):
    """Write the same into `root`, an empty directory that nobody else writes to; all becomes the caller's."""

    lowers: tuple[str, ...]
    lists: tuple[str, ...] = ()
    root: str
    dest: str


def write_tar(arguments: object, fds: tuple[int, ...], report: Reporter) -> object:
    """Do `WriteTar`; owners are those inside, the root directory itself is left out.

    Returns: `digest` and `size` of the tar.
    Raises: ExportError: it cannot be written. LayerError: a name in it cannot be part of an image.
    """
    del report
    request = msgspec.convert(arguments, WriteTar)
    tar = TarWriter(writer(fds[0], request.dest))
    with mounted(request.lowers) as root:
        waiting = unmade(root, request.lists)[::-1]
        for found in walk(root):
            if not found.left:
                while waiting and sort_key(waiting[-1].path) < sort_key(found.path):
                    tar.add_header(waiting.pop())
                _archive(tar, root, found)
        while waiting:
            tar.add_header(waiting.pop())
    digest, size = tar.close()
    return {"digest": digest, "size": size}


def _archive(tar: TarWriter, root: int, found: Found) -> None:
    path, kind = found.path, found.kind
    if kind not in (Kind.FILE, Kind.DIRECTORY):
        link = os.readlink(path, dir_fd=root) if kind is Kind.SYMLINK else found.first
        tar.add_header(from_status(path, kind, found.status, link=link))
        return
    fd = os.open(path, _READ, dir_fd=root)
    try:
        xattrs = attributes.read(fd, attributes.names(fd))
        entry = from_status(path, kind, owners.seen(found.status, fd), xattrs=xattrs)
        if kind is Kind.FILE:
            tar.add_file(entry, fd)
        else:
            tar.add_header(entry)
    finally:
        os.close(fd)


def write_directory(arguments: object, fds: tuple[int, ...], report: Reporter) -> object:
    """Do `WriteDirectory`; devices are left out, and set-id bits and capabilities, which meant another owner.

    Returns: `LeftOut`, as plain data.
    Raises: ExportError: it cannot be written.
    """
    del fds, report
    request = msgspec.convert(arguments, WriteDirectory)
    devices, bits, capabilities = Named(), Named(), Named()
    with mounted(request.lowers) as root, refusing(request.dest):
        for entry in unmade(root, request.lists):
            devices.add(entry.path)
        target = os.open(request.root, _DIRECTORY)
        try:
            for found in walk(root):
                if found.kind in (Kind.CHARACTER, Kind.BLOCK):
                    devices.add(found.path)
                    continue
                _copy(root, target, found)
                if found.kind is Kind.FILE:
                    if found.status.st_mode & _SET_ID:
                        bits.add(found.path)
                    if _is_capable(root, found.path):
                        capabilities.add(found.path)
        finally:
            os.close(target)
    left = LeftOut(devices=devices, set_id=bits, capabilities=capabilities)
    return msgspec.to_builtins(left)


def _is_capable(root: int, path: bytes) -> bool:
    fd = os.open(path, _READ, dir_fd=root)
    try:
        return "security.capability" in attributes.names(fd)
    finally:
        os.close(fd)


def _copy(root: int, target: int, found: Found) -> None:
    path, status = found.path, found.status
    match found.kind:
        case Kind.DIRECTORY if not found.left:
            os.mkdir(path, 0o700, dir_fd=target)
            return
        case Kind.DIRECTORY:
            fd = os.open(path, _DIRECTORY, dir_fd=target)
            _finish(fd, status, readable=0o700)
        case Kind.FILE:
            _copy_file(root, target, found)
        case Kind.HARDLINK:
            os.link(found.first, path, src_dir_fd=target, dst_dir_fd=target, follow_symlinks=False)
        case Kind.SYMLINK:
            os.symlink(os.readlink(path, dir_fd=root), path, dir_fd=target)
            times = (status.st_mtime_ns, status.st_mtime_ns)
            os.utime(path, ns=times, dir_fd=target, follow_symlinks=False)
        case Kind.FIFO:
            os.mkfifo(path, status.st_mode & 0o777, dir_fd=target)
        case _:
            raise AssertionError(f"{found.kind!r} is in no tree")


def _copy_file(root: int, target: int, found: Found) -> None:
    source = os.open(found.path, _READ, dir_fd=root)
    try:
        fd = os.open(found.path, _CREATE, 0o600, dir_fd=target)
        try:
            while data := os.read(source, _PIECE):
                write_fully(fd, data)
        except BaseException:
            os.close(fd)
            raise
        _finish(fd, found.status, readable=0o400)
    finally:
        os.close(source)


def _finish(fd: int, status: os.stat_result, *, readable: int) -> None:
    """Set mode and time, and close; the caller may always read what is theirs."""
    try:
        os.fchmod(fd, status.st_mode & _KEPT_MODE | readable)
        os.utime(fd, ns=(status.st_mtime_ns, status.st_mtime_ns))
    finally:
        os.close(fd)
