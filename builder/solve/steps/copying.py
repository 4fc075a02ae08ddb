"""The part of a copy that runs behind the launcher: select, observe, write a layer in one pass.

Functions here take and return plain data; host paths in the arguments come from the builder alone.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

import msgspec

from builder.errors import BuildError
from builder.layer.entry import Entry, Kind
from builder.layer.place import Attributes, DirectoryForm
from builder.layer.scanned import LayerScan
from builder.layer.writer import LayerWriter
from builder.solve.steps.destination import Destination, observe
from builder.solve.steps.selecting import SourceTree, source_tree
from builder.source.inline import inline_digest, inline_file, inline_object
from builder.source.known import KnownFiles
from builder.source.listing import contents_digest
from builder.source.merge import merged
from builder.source.select import open_file
from builder.source.stream import Object, ObjectStream
from builder.source.tops import Top, Tree, resolve
from runtime.view import mounted

SECOND = 1_000_000_000


class CopyRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A whole copy; `directory` and `tar` say which form is written, at host paths ("" for neither)."""

    sources: tuple[SourceTree, ...]
    dest: str = "/"
    owner: str | None = None
    mode: int | None = None
    lowers: tuple[str, ...] = ()
    directory: str = ""
    tar: str = ""
    entries: str = ""


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
        something in the way.
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


_Chosen = tuple[Tree, Top, SourceTree, KnownFiles | None]


class _Copy:
    """One copy in progress."""

    def __init__(self, request: CopyRequest, base: Destination, stack: ExitStack) -> None:
        self._request = request
        self._base = base
        self._stack = stack
        self._streams: list[ObjectStream] = []
        self._tops: list[ObjectStream | tuple[str, bytes]] = []
        self._known: list[KnownFiles] = []
        self._ids = base.owner(request.owner) if request.owner is not None else None
        self._made_at: int | None = None
        self._absent: bytes | None = None
        self._linked: dict[bytes, tuple[int, int]] = {}
        self._implied = False

    def run(self) -> CopyResult:
        """Copy everything and return what was done."""
        if not self._request.tar:
            return self._run(None)
        with open(self._request.tar, "wb") as tar:
            return self._run(tar.write)

    def _run(self, write: Callable[[bytes], object] | None) -> CopyResult:
        request = self._request
        target, objects = self._plan()
        with LayerWriter(request.entries, write=write) as writer:
            if request.directory:
                with DirectoryForm(request.directory) as form:
                    self._write(target, objects, writer, form)
            else:
                self._write(target, objects, writer, None)
            writer.implied = self._implied
            scan = writer.close()
        for known in self._known:
            known.save()
        digests = [each.digest() if isinstance(each, ObjectStream) else each for each in self._tops]
        return CopyResult(
            contents=contents_digest(digests),
            observations=self._base.observations,
            scan=scan,
            files=sum(stream.files for stream in self._streams),
            bytes=sum(stream.bytes for stream in self._streams),
        )

    def _plan(self) -> tuple[bytes, Iterable[Object]]:
        """Resolve sources and destination; return the directory to make and the objects in order."""
        chosen, inline = self._choose()
        if self._request.sources and not chosen and not inline:
            return b"", ()  # patterns that match nothing
        dest = self._base.resolve(self._request.dest)
        status = self._base.look(dest)
        into = (
            self._request.dest.endswith("/")
            or not dest
            or len(chosen) + len(inline) > 1
            or any(top.is_directory for _, top, _, _ in chosen)
            or (status is not None and stat.S_ISDIR(status.st_mode))
        )
        if into and status is not None and not stat.S_ISDIR(status.st_mode):
            raise BuildError(
                f"`/{os.fsdecode(dest)}` is a file in the image, a directory is needed there",
                code="build.copy-failed",
            )
        streams: list[Iterable[Object]] = []
        for tree, top, source, known in chosen:
            goes = dest if top.is_directory or not into else _below(dest, os.fsencode(top.name))
            stream = ObjectStream(tree, top, goes, owners=not source.root, known=known)
            self._streams.append(stream)
            self._tops.append(stream)
            streams.append(stream)
        for name, data in inline:
            goes = _below(dest, os.fsencode(name)) if into else dest
            streams.append([inline_object(goes, data)])
            self._tops.append((name, inline_digest(data)))
        made = dest if into else dest.rpartition(b"/")[0]
        if len(streams) == 1:
            return made, streams[0]
        return made, merged(streams)

    def _choose(self) -> tuple[list[_Chosen], list[tuple[str, bytes]]]:
        chosen: list[_Chosen] = []
        inline: list[tuple[str, bytes]] = []
        for source in self._request.sources:
            if source.inline:
                inline.extend(source.inline)
                continue
            tree, known = self._stack.enter_context(source_tree(source))
            if known is not None:
                self._known.append(known)
            chosen.extend((tree, top, source, known) for top in resolve(tree, source.paths))
        if chosen and not inline and chosen[-1][1].is_directory:
            self._made_at = _modified(*chosen[-1][:2])
        return chosen, inline

    def _write(
        self,
        target: bytes,
        objects: Iterable[Object],
        writer: LayerWriter,
        form: DirectoryForm | None,
    ) -> None:
        if form is not None:
            form.set_root(self._base.attributes(b""))
        self._make_parents(target, writer, form)
        for found in objects:
            self._place(found, writer, form)

    def _make_parents(self, target: bytes, writer: LayerWriter, form: DirectoryForm | None) -> None:
        """Make the destination and what is missing above it; set-id and sticky bits are for copies alone."""
        parts = target.split(b"/") if target else []
        now = int(time.time()) * SECOND
        uid, gid = self._ids or (0, 0)
        mode = 0o755 if self._request.mode is None else self._request.mode & 0o777
        for count in range(1, len(parts) + 1):
            path = b"/".join(parts[:count])
            if self._exists(path):
                self._imply(path, form)
                continue
            time_made = now if self._made_at is None or path != target else self._made_at
            writer.add(Entry(path, Kind.DIRECTORY, mode, uid, gid, time_made))
            if form is not None:
                form.enter(path, Attributes(mode, uid, gid, time_made))

    def _exists(self, path: bytes) -> bool:
        """Tell whether a directory exists below, noting the first absent one: all below it is absent."""
        if self._absent is not None and path.startswith(self._absent):
            return False
        status = self._base.look(path)
        if status is None:
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
            self._exists(found.path)
            entry = self._entry(found, Kind.DIRECTORY)
            writer.add(entry)
            if form is not None:
                form.enter(
                    entry.path,
                    Attributes(entry.mode, entry.uid, entry.gid, entry.mtime, entry.xattrs),
                )
            return
        self._refuse_directory(found.path)
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

    def _refuse_directory(self, path: bytes) -> None:
        if self._absent is not None and path.startswith(self._absent):
            return
        status = self._base.look(path)
        if status is not None and stat.S_ISDIR(status.st_mode):
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
        uid, gid = self._ids or ((status.st_uid, status.st_gid) if found.owned else (0, 0))
        mode = stat.S_IMODE(status.st_mode) if self._request.mode is None else self._request.mode
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
            status.st_mtime_ns // SECOND * SECOND,
            status.st_size if kind is Kind.FILE else 0,
            link,
            b"",
            os.major(device),
            os.minor(device),
            tuple((os.fsencode(name), value) for name, value in found.xattrs),
        )


_KINDS = {
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFIFO: Kind.FIFO,
    stat.S_IFCHR: Kind.CHARACTER,
    stat.S_IFBLK: Kind.BLOCK,
}


def _modified(tree: Tree, top: Top) -> int:
    """Return the time of a selected directory, which the destination takes over where it is made for it."""
    fd = tree.open_directory(top.real)
    try:
        return os.fstat(fd).st_mtime_ns // SECOND * SECOND
    finally:
        os.close(fd)


def _inode(found: Object) -> tuple[int, int]:
    return (found.status.st_dev, found.status.st_ino)


def _below(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name if directory else name
