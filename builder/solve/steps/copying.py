"""The part of a copy that runs behind the launcher: select, observe, write a layer in one pass.

Functions here take and return plain data; host paths in the arguments come from the builder alone.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import msgspec

from builder.errors import BuildError
from builder.graph.modes import SymbolicMode
from builder.layer.entry import Entry, Kind
from builder.layer.place import Attributes, DirectoryForm
from builder.layer.scanned import LayerScan
from builder.layer.times import MADE, noted
from builder.layer.writer import LayerWriter
from builder.solve.steps.destination import Destination, observe
from builder.solve.steps.gathering import gather
from builder.solve.steps.selecting import SourceTree
from builder.source.inline import inline_file
from builder.source.select import open_file
from builder.source.stream import Object, Origin
from runtime.view import mounted

SECOND = 1_000_000_000


class CopyRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A whole copy; `directory` and `tar` say which form is written, at host paths ("" for neither).

    `scratch` is a host directory where archives are unpacked on the way.
    """

    sources: tuple[SourceTree, ...]
    dest: str = "/"
    owner: str | None = None
    mode: int | str | None = None
    lowers: tuple[str, ...] = ()
    directory: str = ""
    tar: str = ""
    entries: str = ""
    scratch: str = ""


class CopyResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a copy did."""

    contents: str
    observations: tuple[tuple[str, str], ...]
    scan: LayerScan
    files: int
    bytes: int


def observed(arguments: object, fds: tuple[int, ...], report: object) -> object:
    """Return what is now found where an earlier copy looked: arguments are `lowers` and `asked`."""
    del fds, report
    request = msgspec.convert(arguments, _ObserveRequest)
    with _view(request.lowers) as root_fd:
        return observe(root_fd, list(request.asked))


class _ObserveRequest(msgspec.Struct, frozen=True):
    lowers: tuple[str, ...]
    asked: tuple[str, ...]


def execute(arguments: object, fds: tuple[int, ...], report: object) -> object:
    """Copy in one pass: a `CopyRequest` in, a `CopyResult` out, both as plain data.

    Raises: ContextError: a source is missing, unreadable or changed meanwhile. BuildError: the image has
        something in the way. LayerError: an archive cannot be unpacked.
    """
    del fds, report
    os.umask(0)
    request = msgspec.convert(arguments, CopyRequest)
    with ExitStack() as stack:
        base = Destination(stack.enter_context(_view(request.lowers)))
        result = _Copy(request, base, stack).run()
    return msgspec.to_builtins(result)


@contextmanager
def _view(lowers: tuple[str, ...]) -> Iterator[int | None]:
    if not lowers:
        yield None
        return
    with mounted(lowers) as root_fd:
        yield root_fd


class _Copy:
    """One copy in progress."""

    def __init__(self, request: CopyRequest, base: Destination, stack: ExitStack) -> None:
        self._request = request
        self._base = base
        mode = request.mode
        self._mode = SymbolicMode(mode) if isinstance(mode, str) else mode
        self._ids = base.owner(request.owner) if request.owner is not None else None
        self._gathered = gather(
            request.sources,
            request.dest,
            base=base,
            ids=self._ids,
            scratch=request.scratch,
            stack=stack,
        )
        self._absent: bytes | None = None
        self._linked: dict[bytes, tuple[int, int]] = {}
        self._implied = False

    def run(self) -> CopyResult:
        """Copy everything and return what was done."""
        if not self._request.tar:
            return self._run(None)
        with open(self._request.tar, "wb") as tar:
            try:
                return self._run(tar.write)
            except BaseException:
                os.unlink(self._request.tar)
                raise

    def _run(self, write: Callable[[bytes], object] | None) -> CopyResult:
        request = self._request
        gathered = self._gathered
        with LayerWriter(request.entries, write=write) as writer:
            if request.directory:
                with DirectoryForm(request.directory) as form:
                    self._write(writer, form)
            else:
                self._write(writer, None)
            writer.implied = self._implied
            scan = writer.close()
        gathered.remember()
        return CopyResult(
            contents=gathered.contents(),
            observations=self._base.observations,
            scan=scan,
            files=gathered.files,
            bytes=gathered.bytes,
        )

    def _write(self, writer: LayerWriter, form: DirectoryForm | None) -> None:
        if form is not None:
            form.set_root(self._base.attributes(b""))
        self._make_parents(self._gathered.target, writer, form)
        for found in self._gathered.objects:
            self._place(found, writer, form)

    def _make_parents(self, target: bytes, writer: LayerWriter, form: DirectoryForm | None) -> None:
        """Make the destination and what is missing above it; set-id and sticky bits are for copies alone."""
        parts = target.split(b"/") if target else []
        uid, gid = self._ids or (0, 0)
        made_at = self._gathered.made_at
        mode = 0o755
        if isinstance(self._mode, int) and not self._gathered.plain:
            mode = self._mode & 0o777
        for count in range(1, len(parts) + 1):
            path = b"/".join(parts[:count])
            if self._exists(path):
                self._imply(path, form)
                continue
            time_made = MADE * SECOND if made_at is None or path != target else made_at
            writer.add(Entry(path, Kind.DIRECTORY, mode, uid, gid, time_made))
            if form is not None:
                form.enter(path, Attributes(mode, uid, gid, time_made))

    def _exists(self, path: bytes, *, replaces: bool = False) -> bool:
        """Tell whether a directory exists below, noting the first absent one: all below it is absent.

        One that `replaces` a file or link hides what could be reached through it.
        """
        if self._absent is not None and path.startswith(self._absent):
            return False
        status = self._base.look(path)
        if status is None or (replaces and not stat.S_ISDIR(status.st_mode)):
            self._absent = path + b"/"
            return False
        if not stat.S_ISDIR(status.st_mode):
            raise BuildError(
                f"`/{os.fsdecode(path)}` is a file in the image, a directory is copied there",
                code="build.copy-failed",
            )
        return True

    def _imply(self, path: bytes, form: DirectoryForm | None) -> None:
        self._implied = True
        if form is not None:
            form.enter(path, self._base.attributes(path))

    def _place(self, found: Object, writer: LayerWriter, form: DirectoryForm | None) -> None:
        mode = found.status.st_mode
        if stat.S_ISDIR(mode):
            # One that exists gets the attributes of the copied one: only the destination keeps its own.
            exists = self._exists(found.path, replaces=found.origin is Origin.ARCHIVE)
            if exists and found.origin is Origin.IMPLIED:
                self._imply(found.path, form)
                return
            entry = self._entry(found, Kind.DIRECTORY)
            writer.add(entry)
            if form is not None:
                form.enter(
                    entry.path,
                    Attributes(entry.mode, entry.uid, entry.gid, entry.mtime, entry.xattrs),
                )
            return
        self._refuse_directory(found)
        if found.first is not None and self._linked.get(found.first) == _inode(found):
            entry = Entry(found.path, Kind.HARDLINK, link=found.first)
            writer.add(entry)
            if form is not None:
                form.make(entry)
            return
        if found.status.st_nlink > 1:
            self._linked[found.path] = _inode(found)
        if stat.S_ISREG(mode):
            self._place_file(found, writer, form)
            return
        entry = self._entry(found, _KINDS[stat.S_IFMT(mode)])
        writer.add(entry)
        if form is not None:
            form.make(entry)

    def _refuse_directory(self, found: Object) -> None:
        path = found.path
        if self._absent is not None and path.startswith(self._absent):
            return
        status = self._base.look(path)
        replaces = found.origin is Origin.ARCHIVE
        if status is not None and stat.S_ISDIR(status.st_mode) and not replaces:
            raise BuildError(
                f"`/{os.fsdecode(path)}` is a directory in the image, a file is copied there",
                code="build.copy-failed",
            )

    def _place_file(self, found: Object, writer: LayerWriter, form: DirectoryForm | None) -> None:
        entry = self._entry(found, Kind.FILE)
        fd = (
            inline_file(found.inline)
            if found.inline is not None
            else open_file(found.dir_fd, found.name)
        )
        try:
            if form is None:
                found.data = writer.add_file(entry, fd).digest
                return
            out = form.create(entry.path, entry.mode)
            found.data = writer.add_file(entry, fd, copy_to=out).digest
            form.finish(out, entry)
        finally:
            os.close(fd)

    def _entry(self, found: Object, kind: Kind) -> Entry:
        status = found.status
        own = (status.st_uid, status.st_gid) if found.owned else (0, 0)
        uid, gid = self._ids or own if found.origin is Origin.TREE else own
        mode = self._mode_of(found)
        link = b""
        if kind is Kind.SYMLINK:
            link, mode = found.digest(), 0o777
        device = status.st_rdev if kind in (Kind.CHARACTER, Kind.BLOCK) else 0
        return Entry(
            found.path,
            kind,
            mode,
            uid,
            gid,
            _time_of(found),
            status.st_size if kind is Kind.FILE else 0,
            link,
            b"",
            os.major(device),
            os.minor(device),
            tuple((os.fsencode(name), value) for name, value in found.xattrs),
        )

    def _mode_of(self, found: Object) -> int:
        """Return the mode that an object gets; those of an archive keep theirs."""
        mode = stat.S_IMODE(found.status.st_mode)
        if self._mode is None or found.origin is not Origin.TREE:
            return mode
        if isinstance(self._mode, int):
            return self._mode
        return self._mode.apply(mode, is_directory=stat.S_ISDIR(found.status.st_mode))


_KINDS = {
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFIFO: Kind.FIFO,
    stat.S_IFCHR: Kind.CHARACTER,
    stat.S_IFBLK: Kind.BLOCK,
}


def _time_of(found: Object) -> int:
    """Return the time that an object gets; what archives say was not read off a clock here."""
    nanoseconds = found.status.st_mtime_ns
    return nanoseconds // SECOND * SECOND if found.origin is Origin.ARCHIVE else noted(nanoseconds)


def _inode(found: Object) -> tuple[int, int]:
    return (found.status.st_dev, found.status.st_ino)
