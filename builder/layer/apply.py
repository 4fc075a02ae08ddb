"""A layer's tar stream → a directory that an overlay can use, and the layer's entry list.

The directory is filled through descriptors only (`tree`). Attributes of directories are set at the end, when
nothing is made in them any more. Whiteouts become character devices 0:0 and opaque marks
`user.overlay.opaque`, where there is something below to hide; such devices and marks in the stream itself
are dropped.

Source: OCI image-spec, layer.md, "Applying Changesets"; overlayfs.rst.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

import msgspec

from builder.layer import attributes
from builder.layer.entries import EntriesWriter
from builder.layer.entry import Entry, Kind
from builder.layer.objects import KINDS, digest_of, from_status, set_attributes
from builder.layer.order import EntrySorter
from builder.layer.owners import seen_at
from builder.layer.read import Limits, Member, Readable, TarReader
from builder.layer.scan import Report
from builder.layer.scanned import LayerScan
from builder.layer.tree import is_whiteout
from builder.layer.unpack import Unpacking

_REPORT_EVERY = 1 << 23
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def apply(
    stream: Readable,
    root: str,
    *,
    lowers: tuple[str, ...],
    entries_path: str,
    limits: Limits | None = None,
    report: Report | None = None,
    adjust: Callable[[Member], None] | None = None,
    marks: bool = True,
) -> LayerScan:
    """Unpack an uncompressed tar stream into the empty directory `root`, above the chain `lowers`.

    Parents that the stream does not list take their attributes from the chain (topmost first), else they are
    0755 and root's. A hard link to a file of the chain becomes a copy. Device nodes that the kernel refuses
    (in a user namespace) are in the entry list only. `entries_path` appears only when all is done; on failure
    `root` holds what was made so far. `adjust` may change each member, or refuse it. Without `marks`, what the layer
    removes is told by the entry list alone.

    Raises: LayerError: the stream is malformed, hostile, over a limit, or holds ids that do not exist here.
        OSError: the disk is full or broken.
    """
    reader = TarReader(stream, limits or Limits())
    sorter = EntrySorter(entries_path)
    try:
        unpacking = Unpacking(root, lowers, sorter, reader, marks=marks)
        try:
            _fill(unpacking, reader, report, adjust)
            diff_id = reader.finish()
            return _finish(unpacking, entries_path, diff_id, reader.size)
        finally:
            unpacking.close()
    finally:
        sorter.close()


def _fill(
    unpacking: Unpacking,
    reader: TarReader,
    report: Report | None,
    adjust: Callable[[Member], None] | None,
) -> None:
    reported = 0
    add = unpacking.add
    for member in reader.members():
        if adjust is not None:
            adjust(member)
        add(member)
        if report is not None and reader.size - reported > _REPORT_EVERY:
            reported = reader.size
            report(reported)


def _finish(unpacking: Unpacking, entries_path: str, diff_id: str, size: int) -> LayerScan:
    """Set what is left to the end and write the entry list."""
    for path in unpacking.opaque:
        _sweep(unpacking, path)
    depends = unpacking.depends
    data = 0
    writer = EntriesWriter(entries_path)
    try:
        for entry, implied in unpacking.sorter.ordered():
            if entry.kind is Kind.DIRECTORY:
                set_attributes(unpacking.tree.open(entry.path), entry)
                if implied:
                    depends |= entry.path != b"" or _unlike_default(entry)
                    continue
            elif unpacking.first_names:
                entry = _with_first_name(unpacking, entry)
            data += entry.size
            writer.add(entry)
        content_id, count = writer.close()
    finally:
        writer.abort()
    return LayerScan(
        diff_id=diff_id,
        size=size,
        content_id=content_id,
        count=count,
        data=data,
        implied=depends,
    )


def _unlike_default(entry: Entry) -> bool:
    return (entry.mode, entry.uid, entry.gid, entry.xattrs) != (0o755, 0, 0, ())


def _sweep(unpacking: Unpacking, path: bytes) -> None:
    """Remove whiteouts from an opaque directory: overlayfs would show them there."""
    try:
        fd = unpacking.tree.open(path)
    except OSError:
        return  # replaced by something else since
    for name in os.listdir(fd):
        if is_whiteout(os.lstat(name, dir_fd=fd)):
            os.unlink(name, dir_fd=fd)


def _with_first_name(unpacking: Unpacking, entry: Entry) -> Entry:
    """Let the first name of an inode, in order, be the file and the others be links to it."""
    linked = entry.kind is Kind.HARDLINK
    root = entry.link if linked else entry.path
    first = unpacking.first_names.get(root)
    if first is None or entry.kind >= Kind.WHITEOUT:
        return entry
    if first != entry.path:
        return msgspec.structs.replace(
            entry, kind=Kind.HARDLINK, link=first, size=0, digest=b"", major=0, minor=0, xattrs=()
        )
    return _read_back(unpacking, entry) if linked else entry


def _read_back(unpacking: Unpacking, entry: Entry) -> Entry:
    """Return the whole entry of a link whose target comes later in order."""
    above, _, name = entry.path.rpartition(b"/")
    parent = unpacking.tree.open(above)
    status = seen_at(os.lstat(name, dir_fd=parent), parent, name)
    kind = KINDS[stat.S_IFMT(status.st_mode)]
    if kind is not Kind.FILE:
        link = os.readlink(name, dir_fd=parent) if kind is Kind.SYMLINK else b""
        return from_status(entry.path, kind, status, link=link)
    fd = os.open(name, _FILE, dir_fd=parent)
    try:
        xattrs = attributes.read(fd, attributes.names(fd))
        return from_status(entry.path, kind, status, digest=digest_of(fd), xattrs=xattrs)
    finally:
        os.close(fd)
