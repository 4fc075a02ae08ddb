"""One file system object of a layer, as data.

An ordered list of entries says everything about a layer except the bytes of its files; every form of the
layer (directory, tar, gzip, zstd) is derived from that list and the data.

Order: by path, compared component by component as bytes, a directory before what it holds; a whiteout
stands where the name it hides would stand, an opaque mark directly after its directory. `sort_key` gives the
order. In a tar stream the whiteouts of a directory come before everything else in it, as the image
specification asks.

A path has one entry, or two when the second is OPAQUE: a whiteout beside an object of the same name says no
more than the object, or, with a directory, than an opaque mark.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

import msgspec

CONTENT_ID_PREFIX = b"lapstrake layer 1\n"


class Kind(IntEnum):
    """What an entry is. The numbers are part of the stored form and of content ids."""

    FILE = 0
    DIRECTORY = 1
    SYMLINK = 2
    HARDLINK = 3
    CHARACTER = 4
    BLOCK = 5
    FIFO = 6
    WHITEOUT = 7
    OPAQUE = 8


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One object; `path` is relative to the root, without leading or trailing slash ("" is the root).

    `mode` holds the permission bits with set-id and sticky (0o7777); `mtime` is in nanoseconds;
    `size` in bytes, of regular files only. `link` is the target of a symlink (verbatim) or the path of a
    hard link's first name (relative to the root). `digest` is the SHA-256 of a file's bytes, raw.
    `xattrs` are sorted pairs of name and value. A WHITEOUT's path is the path that it hides; an OPAQUE's the
    directory whose lower content it hides; both have no other attributes.
    """

    path: bytes
    kind: Kind
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    size: int = 0
    link: bytes = b""
    digest: bytes = b""
    major: int = 0
    minor: int = 0
    xattrs: tuple[tuple[bytes, bytes], ...] = ()


def sort_key(path: bytes) -> bytes:
    """Return what paths are ordered by: components compare whole, parents come first."""
    return path.replace(b"/", b"\0")


def identity(entry: Entry) -> bytes:
    """Return what counts about an entry for cache identity, framed: everything but the mtime.

    A directory's size and a file's inode never count; a hard link counts as a link to its target.
    """
    return _ENCODER.encode(
        (
            entry.path,
            entry.kind,
            entry.mode,
            entry.uid,
            entry.gid,
            entry.link,
            entry.digest,
            entry.major,
            entry.minor,
            entry.xattrs,
        )
    )


def content_id(entries: Iterable[Entry]) -> str:
    """Return the content id of a layer: a digest of its entries without their times.

    Returns: lower-case hex, 64 characters.
    """
    from hashlib import sha256

    digest = sha256(CONTENT_ID_PREFIX)
    update = digest.update
    for entry in entries:
        update(identity(entry))
    return digest.hexdigest()


_ENCODER = msgspec.msgpack.Encoder()
