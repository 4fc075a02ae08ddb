"""A tar stream read in one pass, hashed on the way; every byte of it is hostile.

Understood: ustar, old tar, PAX records, GNU long names and base-256 numbers. Refused by name: sparse files,
multi-volume archives, unknown types. Global PAX records are ignored, as other image tools do.

Source: POSIX pax; GNU tar manual, "Basic Tar Format"; Go archive/tar, which defines what images hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Protocol
from zlib import adler32

import msgspec

from builder.errors import LayerError
from builder.layer.pack import SECOND, write_fully

_CHUNK = 1 << 18
_HEADER_LIMIT = 1 << 20
_NUMBER_LIMIT = 1 << 62
_ID_LIMIT = (1 << 32) - 2
_TIME_LIMIT = (1 << 33) * SECOND
_ZERO = bytes(512)
_SPACES = 8 * 0x20
_XATTR = b"SCHILY.xattr."
_REGULAR = frozenset(b"0\0007")
_LINKS = frozenset(b"12")
_KNOWN = frozenset(b"0123456\0007")


class Readable(Protocol):
    """Gives up to so many bytes, and b"" only at the end."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a layer may ask for: bytes of the whole uncompressed stream, and entries."""

    size: int = 256 << 30
    entries: int = 10_000_000


class Member(msgspec.Struct):
    """One header of the stream, PAX and GNU records already merged in; `typeflag` as in tar."""

    name: bytes
    typeflag: int
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int
    link: bytes
    major: int
    minor: int
    xattrs: list[tuple[bytes, bytes]]


class TarReader:
    """Yields the members of a stream; the data of each is taken by `copy_data` or `data`, or skipped.

    After the last member, `finish` reads what is left, so that `diff_id` and `size` cover the whole stream.
    """

    def __init__(self, stream: Readable, limits: Limits) -> None:
        self._stream = stream
        self._limits = limits
        self._digest = hashlib.sha256()
        self._chunk = b""
        self._at = 0
        self._unread = 0
        self._padding = 0
        self._owners: dict[bytes, tuple[int, int, int]] = {}
        self.size = 0

    @property
    def position(self) -> int:
        """How many bytes of the stream have been taken."""
        return self.size - (len(self._chunk) - self._at)

    def _more(self) -> bool:
        """Take the next chunk of the stream, behind what is left of the last."""
        chunk = self._stream.read(_CHUNK)
        if not chunk:
            return False
        self.size += len(chunk)
        if self.size > self._limits.size:
            raise LayerError(
                f"the layer is larger than {self._limits.size} bytes when unpacked",
                code="layer.too-large",
            )
        self._digest.update(chunk)
        self._chunk = self._chunk[self._at :] + chunk if self._at < len(self._chunk) else chunk
        self._at = 0
        return True

    def _take(self, count: int) -> bytes:
        """Return exactly `count` bytes, of at most about a megabyte."""
        while len(self._chunk) - self._at < count:
            if not self._more():
                raise _truncated()
        start = self._at
        self._at += count
        return self._chunk[start : self._at]

    def _skip(self, count: int) -> None:
        while count > (left := len(self._chunk) - self._at):
            count -= left
            self._at = len(self._chunk)
            if not self._more():
                raise _truncated()
        self._at += count

    def members(self) -> Iterator[Member]:
        """Yield one member after the other, up to the end mark or the end of the stream.

        Raises: LayerError: the stream is no tar, is cut off, or asks for more than the limits.
        """
        count = 0
        while True:
            self._skip(self._unread + self._padding)
            self._unread = self._padding = 0
            member = self._member()
            if member is None:
                return
            count += 1
            if count > self._limits.entries:
                raise LayerError(
                    f"the layer has more than {self._limits.entries} entries",
                    code="layer.too-large",
                )
            yield member

    def begins(self) -> bool:
        """Tell whether a header comes next, which is taken.

        Raises: LayerError: there is something else, or the stream is cut off.
        """
        return self._block() is not None

    def _member(self) -> Member | None:
        records: dict[bytes, bytes] = {}
        extended = 0
        while True:
            block = self._block()
            if block is None:
                if extended:
                    raise _truncated()
                return None
            typeflag = block[156]
            if typeflag not in b"xgLK":
                break
            size = _number(block[124:136])
            extended += size
            if extended > _HEADER_LIMIT:
                raise LayerError(
                    "a header of the layer is larger than 1 MiB", code="layer.too-large"
                )
            data = self._take(size + -size % 512)[:size]
            extended += 1  # an endless row of empty ones ends as well
            if typeflag == 0x78:
                _parse_pax(data, records)
            elif typeflag == 0x4C:
                records[b"path"] = data.partition(b"\0")[0]
            elif typeflag == 0x4B:
                records[b"linkpath"] = data.partition(b"\0")[0]
        return self._merge(block, records)

    def _block(self) -> bytes | None:
        """Return the next header block, its checksum verified, or None at the end mark."""
        start = self._at
        end = start + 512
        if end <= len(self._chunk):
            self._at = end
            block = self._chunk[start:end]
        else:
            if start == len(self._chunk) and not self._more():
                return None
            block = self._take(512)
        total = (adler32(block[:256], 0) & 0xFFFF) + (adler32(block[256:], 0) & 0xFFFF)
        field = block[148:156]
        total += _SPACES - sum(field)
        try:
            given = int(field.strip(b" \0") or b"-1", 8)
        except ValueError:
            given = -1
        if given != total:
            if block == _ZERO:
                return None
            # Old writers added the bytes as signed numbers.
            if given < 0 or given != total - 256 * sum(byte > 127 for byte in block):
                raise LayerError(
                    "the layer is not a valid tar stream: a header's checksum is wrong"
                )
        return block

    def _merge(self, block: bytes, records: dict[bytes, bytes]) -> Member:
        typeflag = block[156]
        if typeflag not in _KNOWN:
            raise _unsupported(typeflag)
        name = block[:100].partition(b"\0")[0]
        owner = block[100:124]
        known = self._owners.get(owner)
        if known is None:
            known = (_number(owner[:8]), _number(owner[8:16]), _number(owner[16:24]))
            if len(self._owners) < 4096:
                self._owners[owner] = known
        mode, uid, gid = known
        size = _number(block[124:136])
        mtime = _bounded(_number(block[136:148], signed=True) * SECOND)
        link = block[157:257].partition(b"\0")[0] if typeflag in _LINKS else b""
        major = minor = 0
        if block[257:263] == b"ustar\0" and block[345]:
            name = block[345:500].partition(b"\0")[0] + b"/" + name
        if typeflag in b"34":
            major, minor = _number(block[329:337]), _number(block[337:345])
        xattrs: list[tuple[bytes, bytes]] = []
        if records:
            name = records.get(b"path") or name
            link = (records.get(b"linkpath") or link) if typeflag in _LINKS else b""
            uid = _decimal(records.get(b"uid"), uid)
            gid = _decimal(records.get(b"gid"), gid)
            size = _decimal(records.get(b"size"), size)
            if b"mtime" in records:
                mtime = _time(records[b"mtime"], mtime)
            xattrs = [
                (key[len(_XATTR) :], value)
                for key, value in records.items()
                if key.startswith(_XATTR)
            ]
        if typeflag in _REGULAR and name.endswith(b"/"):
            typeflag = 0x35  # how tar wrote directories before they had a type
        if uid > _ID_LIMIT or gid > _ID_LIMIT:
            raise LayerError(f"an entry of the layer belongs to {uid}:{gid}, which no user can be")
        # Only regular files have data; what others state as their size is no promise that any follows.
        if typeflag in _REGULAR:
            self._unread = size
            self._padding = -size % 512
        if size > self._limits.size:
            raise LayerError(f"an entry of the layer claims {size} bytes", code="layer.too-large")
        return Member(
            name, typeflag, mode & 0o7777, uid, gid, mtime, size, link, major, minor, xattrs
        )

    def copy_data(self, fd: int) -> bytes:
        """Write the current member's data to the file `fd`.

        Returns: the SHA-256 of the data, raw.
        """
        size = self._unread
        start = self._at
        if size <= len(self._chunk) - start:
            self._at = start + size
            self._unread = 0
            data = self._chunk[start : start + size]
            write_fully(fd, data)
            return hashlib.sha256(data).digest()
        digest = hashlib.sha256()
        while self._unread:
            if self._at == len(self._chunk) and not self._more():
                raise _truncated()
            piece = self._chunk[self._at : self._at + self._unread]
            self._at += len(piece)
            self._unread -= len(piece)
            digest.update(piece)
            write_fully(fd, piece)
        return digest.digest()

    def data(self) -> Iterator[bytes]:
        """Yield the current member's data in pieces; what is not taken before the next member is skipped.

        Raises: LayerError: the stream is cut off.
        """
        while self._unread:
            if self._at == len(self._chunk) and not self._more():
                raise _truncated()
            piece = self._chunk[self._at : self._at + self._unread]
            self._at += len(piece)
            self._unread -= len(piece)
            yield piece

    def finish(self) -> str:
        """Read what follows the end mark, for it counts for the digest, and return the diff id."""
        self._at = len(self._chunk)
        while self._more():
            self._at = len(self._chunk)
        return "sha256:" + self._digest.hexdigest()


def begins_tar(stream: Readable) -> bool:
    """Tell whether a stream begins with the header of a tar's member; damaged ones do not."""
    try:
        return TarReader(stream, Limits()).begins()
    except LayerError:
        return False


def _number(field: bytes, *, signed: bool = False) -> int:
    """Parse a number field: octal text, or base-256 with the top bit set."""
    if field[0] & 0x80:
        number = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        if field[0] & 0x40:
            number -= 1 << (8 * len(field) - 1)
    else:
        text = field.strip(b" \0").partition(b"\0")[0]
        if not text:
            return 0
        try:
            number = int(text, 8)
        except ValueError:
            raise _bad_number(field) from None
    if (number < 0 and not signed) or abs(number) > _NUMBER_LIMIT:
        raise _bad_number(field)
    return number


def _decimal(text: bytes | None, default: int) -> int:
    if not text:
        return default
    if not text.isdigit() or len(text) > 19:
        raise _bad_number(text)
    return int(text)


def _time(text: bytes, default: int) -> int:
    """Parse PAX seconds with a fraction into nanoseconds."""
    if not text:
        return default
    negative = text.startswith(b"-")
    whole, _, fraction = text.removeprefix(b"-").partition(b".")
    if not (whole or b"0").isdigit() or not (fraction or b"0").isdigit() or len(whole) > 12:
        raise _bad_number(text)
    time = int(whole or b"0") * SECOND + int(fraction[:9].ljust(9, b"0"))
    return _bounded(-time if negative else time)


def _bounded(time: int) -> int:
    """Return the nearest time that 64 bits of nanoseconds can hold (up to the year 2262)."""
    return max(-_TIME_LIMIT, min(time, _TIME_LIMIT))


def _parse_pax(data: bytes, records: dict[bytes, bytes]) -> None:
    """Add the records of a PAX header to `records`; an empty value takes a key away."""
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 9)
        length = data[at:space] if space > 0 else b""
        end = at + int(length) if length.isdigit() else 0
        if end > len(data) or end <= space + 1 or data[end - 1] != 0x0A:
            raise LayerError("the layer is not a valid tar stream: a PAX record is malformed")
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals or not key:
            raise LayerError("the layer is not a valid tar stream: a PAX record has no name")
        if key.startswith(b"GNU.sparse."):
            raise LayerError(
                "the layer holds sparse files",
                notes=("the OCI image specification advises against them",),
                hint="make the archive without `--sparse`",
            )
        if b"\0" in key or (b"\0" in value and not key.startswith(_XATTR)):
            raise LayerError("the layer is not a valid tar stream: a PAX record holds a zero byte")
        records[key] = value
        at = end


def _truncated() -> LayerError:
    return LayerError("the layer's tar stream is cut off")


def _bad_number(field: bytes) -> LayerError:
    shown = field[:24].decode("ascii", "backslashreplace")
    return LayerError(f"the layer is not a valid tar stream: `{shown}` is no number")


def _unsupported(typeflag: int) -> LayerError:
    if typeflag == 0x53:
        return LayerError(
            "the layer holds sparse files",
            notes=("the OCI image specification advises against them",),
            hint="make the archive without `--sparse`",
        )
    return LayerError(f"the layer holds an entry of the unknown type `{chr(typeflag)!a}`")
