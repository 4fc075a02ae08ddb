"""What a copy takes, and where to: sources and destination resolved, all objects as one ordered stream."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from builder.errors import BuildError
from builder.layer.times import noted
from builder.solve.steps.destination import Destination
from builder.solve.steps.selecting import SourceTree, chosen
from builder.source.inline import inline_digest, inline_object
from builder.source.known import KnownFiles
from builder.source.listing import contents_digest
from builder.source.merge import merged
from builder.source.stream import Object, ObjectStream
from builder.source.tops import Top, Tree

if TYPE_CHECKING:
    from builder.solve.steps.unpacking import ArchiveStream


_Chosen = tuple[Tree, Top, SourceTree, KnownFiles | None]


class Gathered:
    """The objects of a copy in order, each going to its path, and the directory `target` to make for them.

    `made_at` is the time of that directory if it is made, None where no source has one; `plain` tells that it gets no mode of
    the instruction's. Digests and counts are valid after the objects have been taken.
    """

    def __init__(self) -> None:
        self.target = b""
        self.objects: Iterable[Object] = ()
        self.made_at: int | None = None
        self.plain = False
        self.known: dict[int, KnownFiles] = {}
        self.streams: list[ObjectStream | ArchiveStream] = []
        self.tops: list[ObjectStream | ArchiveStream | tuple[str, bytes]] = []

    @property
    def files(self) -> int:
        """How many files were taken."""
        return sum(stream.files for stream in self.streams)

    @property
    def bytes(self) -> int:
        """How many bytes they have."""
        return sum(stream.bytes for stream in self.streams)

    def contents(self) -> str:
        """Return the digest of the whole selection, as `selecting.select` does."""
        return contents_digest(
            each if isinstance(each, tuple) else each.digest() for each in self.tops
        )

    def remember(self) -> None:
        """Save what was learned about files of contexts."""
        for known in self.known.values():
            known.save()


def gather(
    sources: tuple[SourceTree, ...],
    dest: str,
    *,
    base: Destination,
    ids: tuple[int, int] | None,
    scratch: str,
    stack: ExitStack,
) -> Gathered:
    """Resolve sources and destination, unpack archives into `scratch`; trees stay open until `stack` ends.

    Raises: ContextError: a source is missing. BuildError: the image has a file where a directory is needed.
        LayerError: an archive cannot be unpacked.
    """
    gathered = Gathered()
    found, inline = _choose(sources, gathered, stack)
    if sources and not found and not inline:
        return gathered  # patterns that match nothing
    archives = {index for index, each in enumerate(found) if _is_archive(each)}
    gathered.plain = 0 in archives
    resolved = base.resolve(dest)
    into = not resolved or dest.endswith("/") or _is_directory(base, resolved)
    if into:
        _refuse_file(base, resolved)
    streams: list[Iterable[Object]] = []
    for index, each in enumerate(found):
        # One by one: several files for a name overwrite each other, until something makes it a directory.
        if not into and (index in archives or each[1].is_directory):
            _refuse_file(base, resolved, written=bool(streams))
            into = True
        stream = (
            _unpacked(each, resolved, base, ids, scratch, stack)
            if index in archives
            else _stream(each, resolved, into=into)
        )
        gathered.streams.append(stream)
        gathered.tops.append(stream)
        streams.append(stream)
    for name, data in inline:
        goes = _below(resolved, os.fsencode(name)) if into else resolved
        streams.append([inline_object(goes, data)])
        gathered.tops.append((name, inline_digest(data)))
    gathered.target = resolved if into else resolved.rpartition(b"/")[0]
    gathered.objects = streams[0] if len(streams) == 1 else merged(streams)
    return gathered


def _choose(
    sources: tuple[SourceTree, ...], gathered: Gathered, stack: ExitStack
) -> tuple[list[_Chosen], list[tuple[str, bytes]]]:
    found: list[_Chosen] = []
    inline: list[tuple[str, bytes]] = []
    for source in sources:
        if source.inline:
            inline.extend(source.inline)
            continue
        for tree, top, known in stack.enter_context(chosen(source)):
            if known is not None:
                gathered.known[id(known)] = known
            found.append((tree, top, source, known))
    if found and not inline and found[-1][1].is_directory:
        gathered.made_at = _modified(*found[-1][:2])
    return found, inline


def _is_directory(base: Destination, path: bytes) -> bool:
    status = base.look(path)
    return status is not None and stat.S_ISDIR(status.st_mode)


def _refuse_file(base: Destination, path: bytes, *, written: bool = False) -> None:
    """Refuse a file where a directory is needed: the image's, or what an earlier source has `written` there."""
    if written:
        raise BuildError(
            f"two sources give `/{os.fsdecode(path)}`: one a file, one a directory",
            code="build.copy-failed",
        )
    status = base.look(path)
    if status is not None and not stat.S_ISDIR(status.st_mode):
        raise BuildError(
            f"`/{os.fsdecode(path)}` is a file in the image, a directory is needed there",
            code="build.copy-failed",
        )


def _is_archive(each: _Chosen) -> bool:
    """Tell whether a selected file is to be unpacked."""
    tree, top, source, _ = each
    if not source.unpack or top.is_directory:
        return False
    from builder.solve.steps.unpacking import is_archive

    return is_archive(tree, top)


def _stream(each: _Chosen, target: bytes, *, into: bool) -> ObjectStream:
    tree, top, source, known = each
    goes = target if top.is_directory or not into else _below(target, os.fsencode(top.name))
    return ObjectStream(tree, top, goes, owners=source.owned, known=known)


def _unpacked(
    each: _Chosen,
    target: bytes,
    base: Destination,
    ids: tuple[int, int] | None,
    scratch: str,
    stack: ExitStack,
) -> ArchiveStream:
    from builder.solve.steps.unpacking import ArchiveStream

    tree, top, _, known = each
    stream = ArchiveStream(tree, top, target, base=base, scratch=scratch, ids=ids, known=known)
    stack.callback(stream.discard)
    stream.unpack()
    return stream


def _modified(tree: Tree, top: Top) -> int:
    """Return the time of a selected directory, which the destination takes over where it is made for it."""
    fd = tree.open_directory(top.real)
    try:
        return noted(os.fstat(fd).st_mtime_ns)
    finally:
        os.close(fd)


def _below(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name if directory else name
