"""Tar streams made by hand, so that they can be wrong in every way; and what came of one."""

from __future__ import annotations

import io
import os
from pathlib import Path

from builder.layer.apply import apply
from builder.layer.entries import read_entries
from builder.layer.entry import Entry, Kind
from builder.layer.read import Limits
from builder.layer.scanned import LayerScan

END = bytes(1024)


def block(
    name: bytes,
    *,
    kind: bytes = b"0",
    size: int | bytes = 0,
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
    mtime: int = 0,
    link: bytes = b"",
    major: int = 0,
    minor: int = 0,
    prefix: bytes = b"",
) -> bytes:
    field = size if isinstance(size, bytes) else b"%011o\0" % size
    head = b"".join(
        (
            name.ljust(100, b"\0"),
            b"%07o\0%07o\0%07o\0" % (mode, uid, gid),
            field,
            b"%011o\0" % mtime,
            b" " * 8,
            kind,
            link.ljust(100, b"\0"),
            b"ustar\x0000" + bytes(64),
            b"%07o\0%07o\0" % (major, minor),
            prefix.ljust(155, b"\0"),
            bytes(12),
        )
    )
    assert len(head) == 512
    return head[:148] + b"%06o\0 " % sum(head) + head[156:]


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def file(name: bytes, data: bytes = b"", **more: int) -> bytes:
    return block(name, size=len(data), **more) + padded(data)


def directory(name: bytes, mode: int = 0o755, **more: int) -> bytes:
    return block(name, kind=b"5", mode=mode, **more)


def symlink(name: bytes, target: bytes) -> bytes:
    return block(name, kind=b"2", link=target, mode=0o777)


def hardlink(name: bytes, target: bytes) -> bytes:
    return block(name, kind=b"1", link=target)


def record(key: bytes, value: bytes) -> bytes:
    size = len(key) + len(value) + 3
    while len(b"%d" % size) + len(key) + len(value) + 3 != size:
        size = len(b"%d" % size) + len(key) + len(value) + 3
    return b"%d %b=%b\n" % (size, key, value)


def pax(*records: tuple[bytes, bytes]) -> bytes:
    data = b"".join(record(key, value) for key, value in records)
    return block(b"PaxHeaders/x", kind=b"x", size=len(data)) + padded(data)


class Result:
    """A layer unpacked in a directory of its own, with a watched file next to it."""

    def __init__(
        self,
        place: Path,
        data: bytes,
        *,
        lowers: tuple[Path, ...] = (),
        limits: Limits | None = None,
    ) -> None:
        self.root = place / "root"
        self.root.mkdir(parents=True)
        entries = place / "entries"
        self.scan: LayerScan = apply(
            io.BytesIO(data),
            str(self.root),
            lowers=tuple(map(str, lowers)),
            entries_path=str(entries),
            limits=limits,
        )
        self.entries = list(read_entries(str(entries)))

    def listing(self) -> list[tuple[bytes, Kind]]:
        return [(entry.path, entry.kind) for entry in self.entries]

    def entry(self, path: bytes) -> Entry:
        (found,) = [e for e in self.entries if e.path == path and e.kind is not Kind.OPAQUE]
        return found

    def names(self) -> set[str]:
        found = set()
        for top, directories, files in os.walk(self.root):
            found |= {
                os.path.relpath(os.path.join(top, name), self.root) for name in directories + files
            }
        return found


def everything_below(place: Path) -> dict[str, tuple[int, bytes]]:
    """Return what is where, to tell whether anything changed."""
    found: dict[str, tuple[int, bytes]] = {}
    for top, directories, files in os.walk(place):
        for name in directories + files:
            path = Path(top, name)
            status = path.lstat()
            data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            found[str(path)] = (status.st_mode, data)
            assert status.st_nlink == 1 or path.is_dir()
    return found
