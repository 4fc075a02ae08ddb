"""What counts about the files that a copy selects: digests of listings and of trees.

A listing is the content of one directory after the ignore rules; a tree is a set of listings. Times and
inode numbers never count; owners count where a copy keeps them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator

import msgspec

from builder.oci.sha256 import sha256

_ENCODER = msgspec.msgpack.Encoder()

Item = tuple[str, int, int, int, bytes, tuple[tuple[str, bytes], ...]]
"""Name, mode with file type, uid, gid, then the SHA-256 of a file, the target of a link or the device number
of a device, and the extended attributes that a copy keeps."""


def listing_digest(items: Iterable[Item]) -> bytes:
    """Return the digest of one directory's items, in any order given: 32 bytes."""
    encoded = sorted(
        (os.fsencode(name), mode, uid, gid, data, xattrs)
        for name, mode, uid, gid, data, xattrs in items
    )
    return sha256(_ENCODER.encode(encoded))


def own_item(mode: int, uid: int = 0, gid: int = 0) -> Item:
    """Return what stands in a directory's listing for itself, where the one above does not list it."""
    return ("", mode, uid, gid, b"", ())


def tree_digest(
    listings: Iterable[tuple[str, bytes]], links: Iterable[tuple[str, ...]] = ()
) -> bytes:
    """Return the digest of a tree from the listings of its directories by relative path: 32 bytes.

    `links` are the groups of names, relative to the tree, that are one file.
    """
    named = sorted((os.fsencode(path), digest) for path, digest in listings)
    groups = sorted(sorted(os.fsencode(name) for name in group) for group in links)
    return sha256(_ENCODER.encode((named, groups)))


def kept_listings(
    listings: list[tuple[str, bytes, bool]],
) -> Iterator[tuple[str, bytes]]:
    """Leave out listings that are there only for what lies below them (the third of each) where nothing does.

    That is how directories count that the ignore rules hide, but not all below them. Listings come with
    those of the directories above first.
    """
    needed: set[str] = set()
    for path, digest, only_for_below in reversed(listings):
        if only_for_below and path not in needed:
            continue
        if path:
            needed.add(path.rpartition("/")[0])
        yield path, digest


def contents_digest(tops: Iterable[tuple[str, bytes]]) -> str:
    """Return the digest of a whole selection, in order; a top is ("" or a file's name, digest): hex."""
    named = ((os.fsencode(name), digest) for name, digest in tops)
    return sha256(_ENCODER.encode(["contents/1", *named])).hex()


def kept_mode(mode: int) -> int:
    """Return the part of a mode that counts: type and permissions; those of a link mean nothing."""
    return stat.S_IFLNK if stat.S_ISLNK(mode) else mode
