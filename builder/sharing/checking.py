"""A layer that somebody else made, before it is believed: its tar is read, nothing of it is written.

Source: as `builder.layer.entry`, whose content id is computed again.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterator

from builder.errors import StoreError
from builder.layer.compress import Compression, decompressor
from builder.layer.entry import Entry, Kind, content_id
from builder.layer.objects import entry_of
from builder.layer.order import EntrySorter
from builder.layer.pack import SECOND
from builder.layer.read import Limits, Member, TarReader
from builder.layer.times import timed
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
_MOMENTS = 64
"""How many moments at which a step may have begun are tried."""

_MARK = b".wh."
_OPAQUE = b".wh..wh..opq"


def check_layer(layer: Layer, path: str, compression: str, *, scratch: str, began: float) -> None:
    """Check that a blob is the layer that it is said to be; host paths, `scratch` for what does not fit into memory.

    Layers that were pulled go by their diff id alone; others must have the contents that states are identified by.
    `began` is about when the step that made it began, in seconds since the epoch: see `builder.layer.times`.

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
                plain = content_id(contents.passing(sorter))
                same = (
                    contents.count == layer.entries
                    and reader.size == layer.size
                    and (plain == layer.content_id or contents.agree(plain, layer, began))
                )
        finally:
            sorter.close()
    if not same:
        raise StoreError(
            f"what was shared as layer {layer.diff_id[:19]}… is another one",
            code="store.digest-mismatch",
        )


class _Contents:
    """What passed of a layer's entries: how many, and their times."""

    def __init__(self) -> None:
        self.count = 0
        self._times: list[tuple[bytes, int]] = []

    def passing(self, sorter: EntrySorter) -> Iterator[Entry]:
        for entry, _ in sorter.ordered():
            self.count += 1
            if entry.kind < Kind.WHITEOUT:
                self._times.append((entry.path, entry.mtime // SECOND))
            yield entry

    def agree(self, plain: str, layer: Layer, began: float) -> bool:
        """Tell whether the content id is that of a step that began at some time near `began`.

        A tar has whole seconds only, so that the moment is not known; it is looked for among the times there are.
        """
        moments = sorted({seconds for _, seconds in self._times})
        at = bisect_left(moments, began)
        near = sorted(range(len(moments) + 1), key=lambda index: abs(index - at))
        for index in near[:_MOMENTS]:
            last = moments[index - 1] if index else -1
            counted = [pair for pair in self._times if index and pair[1] <= last]
            if timed(plain, counted) == layer.content_id:
                return True
        return False


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
