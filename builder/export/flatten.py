"""Stacked layers → one tar, or one directory of the caller's; jobs that run behind the launcher."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable

import msgspec

from builder.errors import ExportError
from builder.export.destination import refusing, writer
from builder.export.left_out import LeftOut, Named
from builder.export.statements import FileClaim, Subjects
from builder.export.unmade import unmade
from builder.export.walk import Found, walk
from builder.layer import attributes, owners
from builder.layer.entry import Entry, Kind, sort_key
from builder.layer.objects import from_status
from builder.layer.pack import SECOND, TarWriter, write_fully
from runtime.view import mounted

Reporter = Callable[[object], object]

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE = 1 << 20
_SET_ID = stat.S_ISUID | stat.S_ISGID
_KEPT_MODE = 0o777 | stat.S_ISVTX


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    """A root file system: what `lowers` make, topmost first; `lists` are the layers' entry lists, the lowest first.

    It goes to the top, or into the directory `below`, with what is claimed of its files.
    """

    lowers: tuple[str, ...]
    lists: tuple[str, ...] = ()
    below: str = ""
    claims: tuple[FileClaim, ...] = ()


class WriteTar(msgspec.Struct, frozen=True, kw_only=True):
    """Write root file systems as a tar to the first descriptor.

    `dest` is what messages call it. With an `epoch`, in seconds, everything has that time.
    """

    trees: tuple[Tree, ...]
    dest: str
    epoch: int | None = None


class WriteDirectory(msgspec.Struct, frozen=True, kw_only=True):
    """Write the same into `root`, an empty directory that nobody else writes to; all becomes the caller's."""

    trees: tuple[Tree, ...]
    root: str
    dest: str
    epoch: int | None = None


def write_tar(arguments: object, fds: tuple[int, ...], report: Reporter) -> object:
    """Do `WriteTar`; owners are those inside, the root directory itself is left out.

    Returns: `digest` and `size` of the tar.
    Raises: ExportError: it cannot be written. LayerError: a name in it cannot be part of an image.
    """
    del report
    request = msgspec.convert(arguments, WriteTar)
    time = None if request.epoch is None else request.epoch * SECOND
    tar = TarWriter(writer(fds[0], request.dest))
    for tree in request.trees:
        below = _Below(tar, os.fsencode(tree.below), time)
        _archive_tree(below, tree)
        for claim in tree.claims:
            below.add_bytes(claim.name, below.subjects.statement(claim))
    digest, size = tar.close()
    return {"digest": digest, "size": size}


class _Below:
    """Writes entries to a tar, in a directory of it, and with another time if there is one."""

    def __init__(self, tar: TarWriter, directory: bytes, time: int | None) -> None:
        self._tar = tar
        self._directory = directory + b"/" if directory else b""
        self._time = time
        self.subjects = Subjects()
        if directory:
            tar.add_header(Entry(directory, Kind.DIRECTORY, 0o755, mtime=time or 0))

    def _placed(self, entry: Entry) -> Entry:
        if self._time is not None:
            entry = msgspec.structs.replace(entry, mtime=self._time)
        if not self._directory:
            return entry
        link = entry.link
        if entry.kind is Kind.HARDLINK:
            link = self._directory + link
        return msgspec.structs.replace(entry, path=self._directory + entry.path, link=link)

    def add_header(self, entry: Entry) -> None:
        if entry.kind is Kind.HARDLINK:
            self.subjects.link(entry.path, entry.link)
        self._tar.add_header(self._placed(entry))

    def add_file(self, entry: Entry, fd: int) -> None:
        self.subjects.add(entry.path, self._tar.add_file(self._placed(entry), fd))

    def add_bytes(self, name: str, data: bytes) -> None:
        entry = Entry(os.fsencode(name), Kind.FILE, 0o600, mtime=self._time or 0, size=len(data))
        self._tar.add_bytes(self._placed(entry), data)


def _archive_tree(tar: _Below, tree: Tree) -> None:
    with mounted(tree.lowers) as root:
        waiting = unmade(root, tree.lists)[::-1]
        for found in walk(root):
            if not found.left:
                while waiting and sort_key(waiting[-1].path) < sort_key(found.path):
                    tar.add_header(waiting.pop())
                _archive(tar, root, found)
        while waiting:
            tar.add_header(waiting.pop())


def _archive(tar: _Below, root: int, found: Found) -> None:
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
    Raises: ExportError: it cannot be written, or two trees have the same file.
    """
    del fds, report
    request = msgspec.convert(arguments, WriteDirectory)
    time = None if request.epoch is None else request.epoch * SECOND
    left = LeftOut(devices=Named(), set_id=Named(), capabilities=Named())
    with refusing(request.dest):
        for tree in request.trees:
            top = os.path.join(request.root, tree.below)
            if tree.below:
                os.mkdir(top, 0o755)
            target = os.open(top, _DIRECTORY)
            try:
                with mounted(tree.lowers) as root:
                    subjects = _copy_tree(root, target, tree, left, time)
                for claim in tree.claims:
                    _write_claim(target, claim.name, subjects.statement(claim), time)
                if tree.below and time is not None:
                    os.utime(target, ns=(time, time))
            finally:
                os.close(target)
    return msgspec.to_builtins(left)


def _write_claim(target: int, name: str, data: bytes, time: int | None) -> None:
    try:
        fd = os.open(name, _CREATE, 0o600, dir_fd=target)
    except FileExistsError as error:
        raise ExportError(
            f"the image has `{name}` of its own", hint="say `attestation-prefix=PREFIX`"
        ) from error
    try:
        write_fully(fd, data)
        if time is not None:
            os.utime(fd, ns=(time, time))
    finally:
        os.close(fd)


def _copy_tree(root: int, target: int, tree: Tree, left: LeftOut, time: int | None) -> Subjects:
    subjects = Subjects()
    for entry in unmade(root, tree.lists):
        left.devices.add(entry.path)
    for found in walk(root):
        if found.kind in (Kind.CHARACTER, Kind.BLOCK):
            left.devices.add(found.path)
            continue
        try:
            digest = _copy(root, target, found, found.status.st_mtime_ns if time is None else time)
        except FileExistsError as error:
            raise ExportError(
                f"`{os.fsdecode(found.path)}` is in the images of several platforms",
                hint="leave out `platform-split=false`",
            ) from error
        if found.kind is Kind.HARDLINK:
            subjects.link(found.path, found.first)
        if found.kind is Kind.FILE:
            subjects.add(found.path, digest)
            if found.status.st_mode & _SET_ID:
                left.set_id.add(found.path)
            if _is_capable(root, found.path):
                left.capabilities.add(found.path)
    return subjects


def _is_capable(root: int, path: bytes) -> bool:
    fd = os.open(path, _READ, dir_fd=root)
    try:
        return "security.capability" in attributes.names(fd)
    finally:
        os.close(fd)


def _copy(root: int, target: int, found: Found, time: int) -> bytes:
    """Copy one object; return the raw SHA-256 of a file's data, b"" of anything else."""
    path, status = found.path, found.status
    match found.kind:
        case Kind.DIRECTORY if not found.left:
            _make_directory(path, target)
        case Kind.DIRECTORY:
            fd = os.open(path, _DIRECTORY, dir_fd=target)
            _finish(fd, status, time, readable=0o700)
        case Kind.FILE:
            return _copy_file(root, target, found, time)
        case Kind.HARDLINK:
            os.link(found.first, path, src_dir_fd=target, dst_dir_fd=target, follow_symlinks=False)
        case Kind.SYMLINK:
            os.symlink(os.readlink(path, dir_fd=root), path, dir_fd=target)
            os.utime(path, ns=(time, time), dir_fd=target, follow_symlinks=False)
        case Kind.FIFO:
            os.mkfifo(path, status.st_mode & 0o777, dir_fd=target)
        case _:
            raise AssertionError(f"{found.kind!r} is in no tree")
    return b""


def _make_directory(path: bytes, target: int) -> None:
    """Make a directory, or take the one that another tree has there."""
    try:
        os.mkdir(path, 0o700, dir_fd=target)
    except FileExistsError:
        if not stat.S_ISDIR(os.lstat(path, dir_fd=target).st_mode):
            raise


def _copy_file(root: int, target: int, found: Found, time: int) -> bytes:
    digest = hashlib.sha256()
    source = os.open(found.path, _READ, dir_fd=root)
    try:
        fd = os.open(found.path, _CREATE, 0o600, dir_fd=target)
        try:
            while data := os.read(source, _PIECE):
                digest.update(data)
                write_fully(fd, data)
        except BaseException:
            os.close(fd)
            raise
        _finish(fd, found.status, time, readable=0o400)
    finally:
        os.close(source)
    return digest.digest()


def _finish(fd: int, status: os.stat_result, time: int, *, readable: int) -> None:
    """Set mode and time, and close; the caller may always read what is theirs."""
    try:
        os.fchmod(fd, status.st_mode & _KEPT_MODE | readable)
        os.utime(fd, ns=(time, time))
    finally:
        os.close(fd)
