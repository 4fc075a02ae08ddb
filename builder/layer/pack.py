"""A deterministic tar stream, written and hashed in one pass.

ustar headers; PAX records only where ustar cannot say it: long names, ids above 2097151, sizes from 8 GiB,
times before 1970, extended attributes (`SCHILY.xattr.NAME`). Owner names are empty. Times are whole seconds:
a finer time on disk is cut off, so that every form of a layer derives the same stream.

Source: POSIX pax, "ustar Interchange Format"; OCI image-spec, layer.md.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from zlib import adler32

from builder.errors import LayerError
from builder.layer.entry import Entry, Kind

EMPTY_DIGEST = hashlib.sha256().digest()
SECOND = 1_000_000_000

_FLUSH = 1 << 18
_PIECE = 1 << 20
_SMALL_FILE = 1 << 17
_OCTAL_7 = 0o7777777
_OCTAL_11 = 0o77777777777
_TYPES = {
    Kind.FILE: b"0",
    Kind.HARDLINK: b"1",
    Kind.SYMLINK: b"2",
    Kind.CHARACTER: b"3",
    Kind.BLOCK: b"4",
    Kind.DIRECTORY: b"5",
    Kind.FIFO: b"6",
}
_MAGIC = b"ustar\x0000" + bytes(64)


def _tail(typeflag: bytes, link: bytes, major: int, minor: int, prefix: bytes) -> bytes:
    """Return a header from the type flag on: 356 bytes."""
    devices = b"%07o\0%07o\0" % (major, minor)
    return b"".join(
        (typeflag, link.ljust(100, b"\0"), _MAGIC, devices, prefix.ljust(155, b"\0"), bytes(12))
    )


def _sum(data: bytes) -> int:
    """Add bytes; at most 257 at a time, for Adler's first half is the sum modulo 65521."""
    return sum(adler32(data[at : at + 256], 0) & 0xFFFF for at in range(0, len(data), 256))


_SPACES = 8 * 0x20  # the checksum counts its own field as spaces
_PLAIN = {
    typeflag: (tail := _tail(typeflag, b"", 0, 0, b""), _sum(tail) + _SPACES)
    for typeflag in (b"0", b"5", b"x")
}


def _header(
    name: bytes,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    mtime: int,
    typeflag: bytes,
) -> bytes:
    """Return a header block whose name fits and which has no link, device or prefix."""
    tail, tail_sum = _PLAIN[typeflag]
    head = b"%b%07o\0%07o\0%07o\0%011o\0%011o\0" % (
        name.ljust(100, b"\0"),
        mode,
        uid,
        gid,
        size,
        mtime,
    )
    return b"%b%06o\0 %b" % (head, (adler32(head, 0) & 0xFFFF) + tail_sum, tail)


def _pax_record(key: bytes, value: bytes) -> bytes:
    length = len(key) + len(value) + 3
    total = length + len(str(length))
    if len(str(total)) != len(str(length)):
        total = length + len(str(total))
    return b"%d %b=%b\n" % (total, key, value)


def _split(name: bytes) -> tuple[bytes, bytes] | None:
    """Return prefix and name of at most 155 and 100 bytes, or None when there is no such cut."""
    cut = name.rfind(b"/", 0, min(156, len(name) - 1))
    if cut <= 0 or len(name) - cut - 1 > 100:
        return None
    return name[:cut], name[cut + 1 :]


def _full_header(name: bytes, entry: Entry, size: int, link: bytes) -> bytes:
    """Return the blocks for an entry that may need PAX records, a prefix, a link or device numbers."""
    records: list[bytes] = []
    prefix = b""
    uid, gid, mtime = entry.uid, entry.gid, entry.mtime // SECOND
    if len(name) > 100:
        parts = _split(name)
        if parts:
            prefix, name = parts
        else:
            records.append(_pax_record(b"path", name))
    if len(link) > 100:
        records.append(_pax_record(b"linkpath", link))
    if uid > _OCTAL_7:
        records.append(_pax_record(b"uid", b"%d" % uid))
        uid = 0
    if gid > _OCTAL_7:
        records.append(_pax_record(b"gid", b"%d" % gid))
        gid = 0
    if size > _OCTAL_11:
        records.append(_pax_record(b"size", b"%d" % size))
        size = 0
    if not 0 <= mtime <= _OCTAL_11:
        records.append(_pax_record(b"mtime", b"%d" % mtime))
        mtime = 0
    records.extend(_pax_record(b"SCHILY.xattr." + key, value) for key, value in entry.xattrs)
    typeflag = _TYPES[entry.kind]
    tail = _tail(typeflag, link[:100], entry.major, entry.minor, prefix)
    head = b"%b%07o\0%07o\0%07o\0%011o\0%011o\0" % (
        name[:100].ljust(100, b"\0"),
        entry.mode,
        uid,
        gid,
        size,
        mtime,
    )
    block = b"%b%06o\0 %b" % (head, _sum(head) + _sum(tail) + _SPACES, tail)
    if not records:
        return block
    data = b"".join(records)
    extended = _header(b"PaxHeaders.0/entry", 0o644, 0, 0, len(data), 0, b"x")
    return b"".join((extended, data, bytes(-len(data) % 512), block))


def header(entry: Entry) -> bytes:
    """Return the tar blocks that announce `entry`; a file's data and padding follow them.

    Raises: LayerError: a name in its path begins with `.wh.`.
    """
    kind = entry.kind
    name = entry.path
    if b".wh." in name and (name.startswith(b".wh.") or b"/.wh." in name):
        raise _reserved(name)
    size = 0
    link = b""
    if kind is Kind.FILE:
        size = entry.size
    elif kind is Kind.DIRECTORY:
        name = name + b"/" if name else b"./"
    elif kind is Kind.WHITEOUT:
        parent, slash, base = name.rpartition(b"/")
        return _marker(parent + slash + b".wh." + base)
    elif kind is Kind.OPAQUE:
        return _marker(name + b"/.wh..wh..opq" if name else b".wh..wh..opq")
    else:
        link = entry.link
    mtime = entry.mtime
    if (
        len(name) <= 100
        and kind <= Kind.DIRECTORY
        and not entry.xattrs
        and size <= _OCTAL_11
        and 0 <= mtime <= _OCTAL_11 * SECOND
        and entry.uid <= _OCTAL_7
        and entry.gid <= _OCTAL_7
    ):
        typeflag = b"0" if kind is Kind.FILE else b"5"
        return _header(name, entry.mode, entry.uid, entry.gid, size, mtime // SECOND, typeflag)
    return _full_header(name, entry, size, link)


def _marker(name: bytes) -> bytes:
    """Return the header of a whiteout: an empty file without attributes."""
    if len(name) <= 100:
        return _header(name, 0, 0, 0, 0, 0, b"0")
    return _full_header(name, Entry(b"", Kind.FILE), 0, b"")


class TarWriter:
    """Builds a tar stream from entries; `write` gets its bytes in pieces, or None to hash only.

    After `add_header` of a regular file exactly `entry.size` bytes of data follow, by `add_data` and
    `end_data`, or all at once by `add_file` or `add_bytes`.
    """

    def __init__(self, write: Callable[[bytes], object] | None = None) -> None:
        self._write = write
        self._digest = hashlib.sha256()
        self._parts: list[bytes] = []
        self._held = 0
        self._flushed = 0
        self._buffer: bytearray | None = None
        self._data = 0

    @property
    def size(self) -> int:
        """The bytes of the stream so far."""
        return self._flushed + self._held

    def _put(self, data: bytes) -> None:
        self._parts.append(data)
        self._held += len(data)
        if self._held >= _FLUSH:
            self._flush()

    def _flush(self) -> None:
        data = b"".join(self._parts)
        self._parts.clear()
        self._held = 0
        self._emit(data)

    def _emit(self, data: bytes) -> None:
        self._digest.update(data)
        self._flushed += len(data)
        if self._write is not None:
            self._write(data)

    def add_header(self, entry: Entry) -> None:
        """Announce an entry; all but regular files with data are complete with this."""
        self._data = 0
        self._put(header(entry))

    def add_data(self, chunk: bytes) -> None:
        """Add bytes of the file announced last."""
        self._data += len(chunk)
        self._put(chunk)

    def end_data(self) -> None:
        """Pad the file whose data was added."""
        self._put(bytes(-self._data % 512))
        self._data = 0

    def add_bytes(self, entry: Entry, data: bytes) -> None:
        """Add a regular file; `data` is as long as the entry says."""
        self._put(b"".join((header(entry), data, bytes(-len(data) % 512))))

    def add_file(self, entry: Entry, fd: int, *, copy_to: int | None = None) -> bytes:
        """Add a regular file whose bytes are read from `fd`, once; copied to the file `copy_to` if given.

        Returns: the SHA-256 of the file's bytes, raw.
        Raises: LayerError: the file is not as long as the entry says (code `layer.changed`).
        """
        size = entry.size
        if size > _SMALL_FILE:
            self.add_header(entry)
            digest = self._add_large(entry, fd, copy_to)
            self._put(bytes(-size % 512))
            return digest
        data = os.read(fd, size + 1) if size else b""
        if len(data) != size:
            data = _read_fully(fd, data, entry)
        if copy_to is not None and data:
            write_fully(copy_to, data)
        self._put(b"".join((header(entry), data, bytes(-size % 512))))
        return hashlib.sha256(data).digest() if data else EMPTY_DIGEST

    def _add_large(self, entry: Entry, fd: int, copy_to: int | None) -> bytes:
        self._flush()
        if self._buffer is None:
            self._buffer = bytearray(_PIECE)
        view = memoryview(self._buffer)
        digest = hashlib.sha256()
        remaining = entry.size
        while remaining:
            count = os.readv(fd, [view[: min(remaining, _PIECE)]])
            if count == 0:
                raise changed(entry.path)
            piece = view[:count]
            digest.update(piece)
            if copy_to is not None:
                write_fully(copy_to, piece)
            self._digest.update(piece)
            self._flushed += count
            if self._write is not None:
                self._write(bytes(piece))
            remaining -= count
        if os.read(fd, 1):
            raise changed(entry.path)
        return digest.digest()

    def close(self) -> tuple[str, int]:
        """End the stream with two empty blocks.

        Returns: its digest, `sha256:…` (a diff id), and its size in bytes.
        """
        self._put(bytes(1024))
        self._flush()
        return "sha256:" + self._digest.hexdigest(), self._flushed


def changed(path: bytes) -> LayerError:
    """Return the error for a file that is not what its entry says."""
    name = path.decode("utf-8", "backslashreplace")
    return LayerError(f"`{name}` changed while it was read", code="layer.changed")


def _reserved(path: bytes) -> LayerError:
    name = path.decode("utf-8", "backslashreplace")
    return LayerError(
        f"`{name}` cannot be part of an image",
        notes=("in layers, names that begin with `.wh.` mark what was removed",),
        hint="remove or rename it in the step that makes it",
    )


def _read_fully(fd: int, data: bytes, entry: Entry) -> bytes:
    """Complete a short read, as some file systems give them."""
    while len(data) < entry.size:
        more = os.read(fd, entry.size + 1 - len(data))
        if not more:
            break
        data += more
    if len(data) != entry.size:
        raise changed(entry.path)
    return data


def write_fully(fd: int, data: bytes | memoryview) -> None:
    """Write all of `data`, however many calls it takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
