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
from builder.layer.times import MADE
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


class Below(msgspec.Struct, frozen=True, kw_only=True):
    """A layer that the same build made below another: its entry list, and which of its times say nothing; see `ClampLayer`."""

    entries_path: str
    passing: int | None = None
    marks: bool = False


class ClampLayer(WriteBlob, frozen=True, kw_only=True):
    """Write the blob of a layer without times after `epoch`, in seconds, from a blob or from a directory form.

    Times that were read off a clock become `epoch` even if they are earlier: the entry list marks them, if it is one
    that `marks`. All times after `passing`, in seconds, are of this kind, and those that a path has from one of the layers
    `below`, bottom first, in which they were: a command may have given it another owner. `clamped` is where the entry list goes, if there is
    one: `entries_path`.
    """

    epoch: int
    passing: int | None = None
    marks: bool = False
    below: tuple[Below, ...] = ()
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
    clamp = _Clamp(request)

    def produce(write: Callable[[bytes], object]) -> tuple[str, int]:
        if request.blob is not None:
            return _clamp_stream(request.blob, clamp, write, report)
        from builder.layer.materialise import pack_directory

        assert request.root is not None
        assert request.entries_path is not None
        return pack_directory(
            request.entries_path,
            request.root,
            write,
            report=report,
            adjust=clamp.entry,
        )

    written = write_blob(request, produce)
    count = -1
    if clamp.listed is not None:
        with translated():
            _, count = write_entries(request.clamped, map(clamp.entry, read_entries(clamp.listed)))
    return {**written, "count": count}


class _Clamp:
    """Changes entries as a `ClampLayer` asks; those of a stream are told from the entry list, which has the marks."""

    def __init__(self, request: ClampLayer) -> None:
        self._epoch = request.epoch
        self._passing = request.epoch if request.passing is None else request.passing
        self._marks = request.marks
        self._marked: frozenset[bytes] = frozenset()
        self._spent = _spent(request.below)
        path = request.entries_path
        self.listed = path if path is not None and os.path.exists(path) else None
        if self._marks and request.blob is not None and self.listed is not None:
            self._marked = frozenset(
                [each.path for each in read_entries(self.listed) if each.mtime % SECOND]
            )

    def entry(self, entry: Entry) -> Entry:
        """Return the entry with the time that it is to have."""
        if entry.kind >= Kind.WHITEOUT:
            return entry
        seconds, rest = divmod(entry.mtime, SECOND)
        marked = (
            seconds == MADE
            or (self._marks and rest > 0)
            or entry.path in self._marked
            or self._spent.get(entry.path) == seconds
        )
        if seconds <= min(self._epoch, self._passing) and not marked:
            return msgspec.structs.replace(entry, mtime=seconds * SECOND) if rest else entry
        return msgspec.structs.replace(entry, mtime=self._epoch * SECOND)


def _spent(below: tuple[Below, ...]) -> dict[bytes, int]:
    """Return the paths whose times in layers below say nothing, with these times in seconds."""
    found: dict[bytes, int] = {}
    for layer in below:
        if not os.path.exists(layer.entries_path):
            continue
        for entry in read_entries(layer.entries_path):
            seconds, rest = divmod(entry.mtime, SECOND)
            late = layer.passing is not None and seconds > layer.passing
            if (
                late
                or seconds == MADE
                or (layer.marks and rest)
                or found.get(entry.path) == seconds
            ):
                found[entry.path] = seconds
            else:
                found.pop(entry.path, None)
    return found


def _clamp_stream(
    path: str, clamp: _Clamp, write: Callable[[bytes], object], report: Reporter
) -> tuple[str, int]:
    tar = TarWriter(write)
    reported = 0
    with open(path, "rb", buffering=0) as file:
        reader = TarReader(uncompressed(file, "auto"), Limits())
        for member in reader.members():
            entry = _entry(member)
            if entry is None:
                continue
            tar.add_header(clamp.entry(entry))
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
