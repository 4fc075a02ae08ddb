"""A layer with no time later than a given one: all else in it stays, and so does the order of its entries.

Source: SOURCE_DATE_EPOCH specification, "Setting the variable", on clamping; BuildKit, docs/build-repro.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import msgspec

from builder.layer.entries import read_entries, write_entries
from builder.layer.entry import Entry, Kind
from builder.layer.jobs import Reporter, WriteBlob, translated, uncompressed, write_blob
from builder.layer.marks import OPAQUE, hidden_by
from builder.layer.objects import entry_of
from builder.layer.pack import SECOND, TarWriter
from builder.layer.read import Limits, Member, TarReader
from builder.layer.tree import split

_KINDS = {
    0x00: Kind.FILE,
    0x30: Kind.FILE,
    0x37: Kind.FILE,
    0x31: Kind.HARDLINK,
    0x32: Kind.SYMLINK,
    0x33: Kind.CHARACTER,
    0x34: Kind.BLOCK,
    0x35: Kind.DIRECTORY,
    0x36: Kind.FIFO,
}
_REPORT_EVERY = 1 << 23


class ClampLayer(WriteBlob, frozen=True, kw_only=True):
    """Write the blob of a layer without times after `epoch`, in seconds, from a blob or from a directory form.

    `clamped` is where the entry list goes, if there is one: `entries_path`.
    """

    epoch: int
    clamped: str
    entries_path: str | None = None
    root: str | None = None
    blob: str | None = None


def clamp_layer(arguments: object, fds: tuple[int, ...], report: Reporter) -> object:
    """Do `ClampLayer`.

    Returns: as `jobs.write_blob`, and `count` of the entries, -1 without a list.
    Raises: LayerError: the layer is not what was recorded, or malformed. StoreError: the disk is full.
    """
    del fds
    request = msgspec.convert(arguments, ClampLayer)
    count = -1

    def produce(write: Callable[[bytes], object]) -> tuple[str, int]:
        if request.blob is not None:
            return _clamp_stream(request.blob, request.epoch, write, report)
        from builder.layer.materialise import pack_directory

        assert request.root is not None
        assert request.entries_path is not None
        return pack_directory(
            request.entries_path,
            request.root,
            write,
            report=report,
            adjust=lambda entry: clamped(entry, request.epoch),
        )

    written = write_blob(request, produce)
    if request.entries_path is not None and os.path.exists(request.entries_path):
        with translated():
            entries = (clamped(each, request.epoch) for each in read_entries(request.entries_path))
            _, count = write_entries(request.clamped, entries)
    return {**written, "count": count}


def clamped(entry: Entry, epoch: int) -> Entry:
    """Return an entry whose time is not after `epoch`, in seconds."""
    if entry.mtime // SECOND <= epoch:
        return entry
    return msgspec.structs.replace(entry, mtime=epoch * SECOND)


def _clamp_stream(
    path: str, epoch: int, write: Callable[[bytes], object], report: Reporter
) -> tuple[str, int]:
    tar = TarWriter(write)
    reported = 0
    with open(path, "rb", buffering=0) as file:
        reader = TarReader(uncompressed(file, "auto"), Limits())
        for member in reader.members():
            entry = _entry(member)
            if entry is None:
                continue
            tar.add_header(clamped(entry, epoch))
            if entry.kind is Kind.FILE:
                for piece in reader.data():
                    tar.add_data(piece)
                tar.end_data()
            if reader.size - reported > _REPORT_EVERY:
                reported = reader.size
                report(reported)
        reader.finish()
    return tar.close()


def _entry(member: Member) -> Entry | None:
    """Return the entry of a member of a layer; None of one that another tool kept for itself."""
    components = split(member.name)
    hidden = hidden_by(components)
    above = components[:-1]
    if hidden == b"":
        return None
    if hidden == OPAQUE:
        return Entry(b"/".join(above), Kind.OPAQUE)
    if hidden is not None:
        return Entry(b"/".join((*above, hidden)), Kind.WHITEOUT)
    kind = _KINDS[member.typeflag]
    size = member.size if kind is Kind.FILE else 0
    entry = entry_of(b"/".join(components), kind, member, size=size)
    if kind is not Kind.HARDLINK:
        return entry
    return msgspec.structs.replace(entry, link=b"/".join(split(member.link)))
