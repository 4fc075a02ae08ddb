"""A layer as eStargz: a gzip blob of which each file can be read alone, with a table of contents at its end.

    gzip( landmark, headers … ) gzip( data of a file, headers … ) …     the layer's tar, with one entry more
    gzip( stargz.index.json, a tar of its own )                         what is where, with digests
    51 bytes                                                            an empty gzip member that says where that begins

All of it together is one gzip stream like any other, whose tar has ended when the table begins: readers that know nothing of
it see the layer, and the landmark. The diff id is that of the whole stream, hence another than the layer's.

Source: stargz-snapshotter, docs/estargz.md; RFC 1952, "Extra field"; BuildKit writes the table behind the tar's end too.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import zlib
from base64 import b64encode
from collections.abc import Callable

import msgspec

from builder.errors import LayerError
from builder.layer.entry import Entry, Kind
from builder.layer.jobs import Reporter, translated
from builder.layer.pack import SECOND, TarWriter, header
from builder.layer.read import Limits, Member, TarReader
from builder.layer.writer import remove_if_there, writing

TABLE = b"stargz.index.json"
LANDMARK = b".no.prefetch.landmark"
_PREFETCH = b".prefetch.landmark"
_LANDMARK_DATA = b"\x0f"
_CHUNK = 4 << 20
"""Bytes of a file that can be read alone."""
FOOTER = 51
_LEVEL = 6
_REPORT_EVERY = 1 << 23
_TABLE_LIMIT = 64 << 20
_TYPES = {
    0x00: "reg",
    0x30: "reg",
    0x37: "reg",
    0x31: "hardlink",
    0x32: "symlink",
    0x33: "char",
    0x34: "block",
    0x35: "dir",
    0x36: "fifo",
}


class SeekableLayer(msgspec.Struct, frozen=True, kw_only=True):
    """Write a layer as eStargz to `path`, from its plain tar at the host path `tar`, whose digest is `expected`."""

    tar: str
    path: str
    expected: str
    level: int | None = None


class TableEntry(msgspec.Struct, kw_only=True, rename="camel", omit_defaults=True):
    """A line of the table of contents: an entry of the tar, or a further piece of a file."""

    name: str
    type: str
    size: int = 0
    modtime: str = ""
    link_name: str = ""
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    offset: int = 0
    dev_major: int = 0
    dev_minor: int = 0
    xattrs: dict[str, str] = {}
    digest: str = ""
    chunk_offset: int = 0
    chunk_size: int = 0
    chunk_digest: str = ""


class Table(msgspec.Struct, kw_only=True):
    """The table of contents."""

    version: int
    entries: list[TableEntry]


def seekable_layer(arguments: object, fds: tuple[int, ...], report: Reporter) -> object:
    """Do `SeekableLayer`; the blob appears under its path only when it is complete.

    Returns: `diff_id` and `size` of the stream, `digest` and `compressed_size` of the blob, `table`, the digest of the
        table of contents.
    Raises: LayerError: the tar is malformed, not the expected one, or has a name that eStargz needs itself.
        StoreError: the disk is full.
    """
    del fds
    request = msgspec.convert(arguments, SeekableLayer)
    unfinished = request.path + ".partial"
    try:
        with translated(), writing(unfinished) as write:
            writer = _Writer(write, _LEVEL if request.level is None else request.level)
            _convert(request, writer, report)
            table = writer.close()
        os.rename(unfinished, request.path)
    finally:
        remove_if_there(unfinished)
    return {
        "diff_id": "sha256:" + writer.plain.hexdigest(),
        "size": writer.plain_size,
        "digest": "sha256:" + writer.digest.hexdigest(),
        "compressed_size": writer.size,
        "table": table,
    }


def _convert(request: SeekableLayer, writer: _Writer, report: Reporter) -> None:
    reported = 0
    with open(request.tar, "rb", buffering=0) as file, open(request.tar, "rb") as raw:
        reader = TarReader(file, Limits())
        end = os.fstat(raw.fileno()).st_size
        has_landmark = False
        at = 0
        for number, member in enumerate(reader.members()):
            name = member.name.removeprefix(b"./").strip(b"/")
            if name == TABLE:
                raise LayerError(
                    f"a layer with a file `/{TABLE.decode()}` cannot be made into eStargz",
                    hint="use another compression, or remove the file",
                )
            if number == 0 and name not in (LANDMARK, _PREFETCH):
                writer.add_landmark()
                has_landmark = True
            elif has_landmark and name in (LANDMARK, _PREFETCH):
                raise LayerError(
                    f"a layer with a file `/{name.decode()}` cannot be made into eStargz",
                    hint="use another compression, or remove the file",
                )
            start = reader.position
            _copy(raw, start - at, writer.put)
            at = start + writer.add(member, raw)
            if at - reported > _REPORT_EVERY:
                reported = at
                report(at)
        diff_id = reader.finish()
        if diff_id != request.expected:
            raise LayerError(
                f"a layer comes out as {diff_id[:19]}…, but is known as {request.expected:.19}…",
                code="layer.changed",
            )
        if not writer.begun:
            writer.add_landmark()
        _copy(raw, end - at, writer.put)


def _copy(file: object, count: int, put: Callable[[bytes], object]) -> None:
    read = file.read  # type: ignore[attr-defined]  # a buffered file
    while count > 0:
        data = read(min(count, 1 << 20))
        if not data:
            raise LayerError("the layer's tar stream is cut off")
        count -= len(data)
        put(data)


class _Writer:
    """Writes gzip members, and remembers what is in them."""

    def __init__(self, write: Callable[[bytes], object], level: int) -> None:
        self._write = write
        self._level = level
        self._deflate: zlib._Compress | None = None
        self._entries: list[TableEntry] = []
        self.plain = hashlib.sha256()
        self.plain_size = 0
        self.digest = hashlib.sha256()
        self.size = 0

    @property
    def begun(self) -> bool:
        """Whether there is an entry."""
        return bool(self._entries)

    def _emit(self, data: bytes) -> None:
        if data:
            self.digest.update(data)
            self.size += len(data)
            self._write(data)

    def put(self, data: bytes) -> None:
        """Write bytes of the tar into the member that is open."""
        if self._deflate is None:
            self._deflate = zlib.compressobj(self._level, zlib.DEFLATED, 31)
        self.plain.update(data)
        self.plain_size += len(data)
        self._emit(self._deflate.compress(data))

    def _end_member(self) -> None:
        if self._deflate is not None:
            self._emit(self._deflate.flush())
            self._deflate = None

    def add_landmark(self) -> None:
        """Say that nothing is to be fetched ahead."""
        entry = Entry(LANDMARK, Kind.FILE, 0o644, size=len(_LANDMARK_DATA))
        self.put(header(entry))
        digest = "sha256:" + hashlib.sha256(_LANDMARK_DATA).hexdigest()
        self._end_member()
        self._entries.append(
            TableEntry(
                name=LANDMARK.decode(),
                type="reg",
                size=len(_LANDMARK_DATA),
                mode=0o644,
                uid=0,
                gid=0,
                offset=self.size,
                digest=digest,
                chunk_digest=digest,
            )
        )
        self.put(_LANDMARK_DATA + bytes(511))

    def add(self, member: Member, file: object) -> int:
        """List a member, and write its data out of the file, which is there; its header has been written.

        Returns: how many bytes were taken from the file.
        """
        entry = _entry(member)
        self._entries.append(entry)
        if entry.type != "reg":
            return 0
        whole = hashlib.sha256()
        for offset in range(0, member.size, _CHUNK):
            size = min(_CHUNK, member.size - offset)
            piece = entry
            if offset:
                piece = TableEntry(name=entry.name, type="chunk", chunk_offset=offset)
                self._entries.append(piece)
            if offset + size < member.size:
                piece.chunk_size = size
            self._end_member()
            piece.offset = self.size
            digest = hashlib.sha256()

            def take(data: bytes, digest: hashlib._Hash = digest) -> None:
                digest.update(data)
                whole.update(data)
                self.put(data)

            _copy(file, size, take)
            piece.chunk_digest = "sha256:" + digest.hexdigest()
        entry.digest = "sha256:" + whole.hexdigest()
        return member.size

    def close(self) -> str:
        """Write the table and the footer.

        Returns: the digest of the table.
        """
        self._end_member()
        table = msgspec.json.encode(Table(version=1, entries=self._entries))
        at = self.size
        tar = TarWriter(self.put)
        tar.add_bytes(Entry(TABLE, Kind.FILE, 0o444, size=len(table)), table)
        tar.close()
        self._end_member()
        self._emit(_footer(at))
        return "sha256:" + hashlib.sha256(table).hexdigest()


def _entry(member: Member) -> TableEntry:
    kind = _TYPES[member.typeflag]
    seconds = (member.mtime + SECOND // 2) // SECOND
    moment = datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC) if seconds else None
    return TableEntry(
        name=member.name.decode("utf-8", "replace"),
        type=kind,
        size=member.size if kind == "reg" else 0,
        modtime="" if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        link_name=member.link.decode("utf-8", "replace"),
        mode=member.mode,
        uid=member.uid,
        gid=member.gid,
        dev_major=member.major,
        dev_minor=member.minor,
        xattrs={
            name.decode("utf-8", "replace"): b64encode(value).decode()
            for name, value in member.xattrs
        },
    )


def _footer(at: int) -> bytes:
    """Return an empty gzip member whose extra field says where the table begins."""
    field = b"%016xSTARGZ" % at
    extra = b"SG" + len(field).to_bytes(2, "little") + field
    head = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff" + len(extra).to_bytes(2, "little")
    return head + extra + b"\x01\0\0\xff\xff" + bytes(8)


def table_of(path: str) -> tuple[str, bytes] | None:
    """Return the digest of a blob's table of contents, and the table; None where a blob has none that is whole."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size < FOOTER:
            return None
        file.seek(size - FOOTER)
        footer = file.read(FOOTER)
        try:
            at = int(footer[16:32], 16)
        except ValueError:
            return None
        if footer != _footer(at) or not 0 <= size - FOOTER - at <= _TABLE_LIMIT:
            return None
        file.seek(at)
        packed = file.read(size - FOOTER - at)
    try:
        unpack = zlib.decompressobj(31)
        data = unpack.decompress(packed, _TABLE_LIMIT)
    except zlib.error:
        return None
    length = _length(data[:512])
    table = data[512 : 512 + length]
    if len(table) < length or not data.startswith(TABLE + b"\0"):
        return None
    return "sha256:" + hashlib.sha256(table).hexdigest(), table


def _length(block: bytes) -> int:
    try:
        return int(block[124:136].strip(b" \0") or b"0", 8)
    except ValueError:
        return 0
