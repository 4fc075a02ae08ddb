"""A layer that somebody else made, before it is believed: its tar is read, nothing of it is written.

Source: as `builder.layer.entry`, whose content id is computed again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import msgspec

from builder.errors import StoreError
from builder.layer.compress import Compression, decompressor
from builder.layer.entries import read_entries, write_entries
from builder.layer.entry import Entry, Kind, content_id
from builder.layer.objects import entry_of
from builder.layer.order import EntrySorter
from builder.layer.pack import SECOND
from builder.layer.read import Limits, Member, TarReader
from builder.layer.times import Counted, counted
from builder.store.layers import Layer

_KINDS = {
    0x30: Kind.FILE,
    0x00: Kind.FILE,
    0x37: Kind.FILE,
    0x31: Kind.HARDLINK,
    0x32: Kind.SYMLINK,
    0x33: Kind.CHARACTER,
    0x34: Kind.BLOCK,
    0x35: Kind.DIRECTORY,
    0x36: Kind.FIFO,
}
_MARK = b".wh."
_OPAQUE = b".wh..wh..opq"


def check_layer(
    layer: Layer,
    times: Counted | None,
    path: str,
    compression: str,
    *,
    scratch: str,
    entries_path: str = "",
) -> None:
    """Check that a blob is the layer that it is said to be; host paths, `scratch` for what does not fit into memory.

    Layers that were pulled go by their diff id alone; others must have the contents that states are identified by.
    `times` are those that count: see `builder.layer.times`. The entry list of a layer that was built is written to
    `entries_path`, if that is given, with marks at the times that do not.

    Raises: StoreError: `store.digest-mismatch`. LayerError: it is no tar, or larger than was said.
    """
    built = layer.content_id != layer.diff_id.partition(":")[2]
    limits = Limits(size=layer.size, entries=layer.entries) if built else Limits()
    with open(path, "rb", buffering=0) as file:
        reader = TarReader(decompressor(file, Compression(compression)), limits)
        sorter = EntrySorter(scratch)
        try:
            if built:
                for member in reader.members():
                    sorter.add(_entry(member, reader))
            same = reader.finish() == layer.diff_id
            if same and built:
                contents = _Contents()
                passing = contents.passing(entry for entry, _ in sorter.ordered())
                if entries_path:
                    found, _ = write_entries(entries_path, _marked(passing, times))
                else:
                    found = content_id(passing)
                if times is not None:
                    found = times.content_id(found, contents.times)
                same = (
                    contents.count == layer.entries
                    and reader.size == layer.size
                    and found == layer.content_id
                )
        finally:
            sorter.close()
    if not same:
        raise StoreError(
            f"what was shared as layer {layer.diff_id[:19]}… is another one",
            code="store.digest-mismatch",
        )


def _marked(entries: Iterable[Entry], times: Counted | None) -> Iterator[Entry]:
    """Yield the entries of a layer with marks at those times that do not count."""
    if times is None:
        yield from entries
        return
    also, number = frozenset(times.also), 0
    for entry in entries:
        if entry.kind >= Kind.WHITEOUT:
            yield entry
            continue
        seconds = entry.mtime // SECOND
        own = seconds > times.before or (seconds == times.before and number not in also)
        number += 1
        yield msgspec.structs.replace(entry, mtime=seconds * SECOND + own)


class _Contents:
    """What passed of a layer's entries: how many, and their times."""

    def __init__(self) -> None:
        self.count = 0
        self.times: list[tuple[bytes, int]] = []
        self.nanoseconds: list[int] = []

    def passing(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        for entry in entries:
            self.count += 1
            if entry.kind < Kind.WHITEOUT:
                self.times.append((entry.path, entry.mtime // SECOND))
                self.nanoseconds.append(entry.mtime)
            yield entry


def _entry(member: Member, reader: TarReader) -> Entry:
    """Return the entry that a member of our own making stands for; another's gets another content id."""
    path = member.name.removeprefix(b"./").rstrip(b"/")
    above, slash, name = path.rpartition(b"/")
    if name == _OPAQUE:
        return Entry(above, Kind.OPAQUE)
    if name.startswith(_MARK):
        return Entry(above + slash + name.removeprefix(_MARK), Kind.WHITEOUT)
    kind = _KINDS[member.typeflag]
    if kind is Kind.FILE:
        digest = hashlib.sha256()
        for piece in reader.data():
            digest.update(piece)
        return entry_of(path, kind, member, size=member.size, digest=digest.digest())
    entry = entry_of(path, kind, member)
    if kind is Kind.HARDLINK:
        return Entry(
            path, kind, member.mode, member.uid, member.gid, member.mtime, link=member.link
        )
    return entry


def counted_times(layer: Layer, entries_path: str) -> Counted | None:
    """Return which times count for the content id of a layer, from its entry list; None if none do.

    Raises: StoreError: the list is gone, or was not written by the step that made the layer.
    """
    contents = _Contents()
    try:
        plain = content_id(contents.passing(read_entries(entries_path)))
    except OSError as error:
        raise StoreError("the entry list of a layer is gone") from error
    if plain == layer.content_id:
        return None
    times = counted(contents.nanoseconds)
    if times.content_id(plain, contents.times) != layer.content_id:
        raise StoreError("the entry list of a layer is another one's")
    return times
