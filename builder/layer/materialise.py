"""An entry list and the directory form it describes → the layer's tar stream again, or a verdict."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from heapq import merge

from builder.errors import LayerError
from builder.layer import attributes, owners
from builder.layer.entries import read_entries
from builder.layer.entry import Entry, Kind, sort_key
from builder.layer.objects import KINDS, digest_of
from builder.layer.pack import SECOND, TarWriter, changed
from builder.layer.scan import Report
from builder.layer.tree import Tree, is_whiteout, shown

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_REPORT_EVERY = 1 << 23


def pack_directory(
    entries_path: str,
    root: str,
    write: Callable[[bytes], object] | None = None,
    *,
    report: Report | None = None,
    adjust: Callable[[Entry], Entry] = lambda entry: entry,
) -> tuple[str, int]:
    """Write the tar stream of the layer whose directory form is `root`; every file is verified on the way.

    `adjust` may change what is said of an entry, but for its path, kind and data.

    Returns: the diff id and the size in bytes.
    Raises: LayerError: a file is missing or is not what the entry list says (code `layer.changed`).
    """
    tar = TarWriter(write)
    tree = Tree(root)
    reported = 0
    try:
        for entry in _in_tar_order(entries_path):
            if entry.kind is not Kind.FILE:
                tar.add_header(adjust(entry))
                continue
            fd = _open(tree, entry)
            try:
                if tar.add_file(adjust(entry), fd) != entry.digest:
                    raise changed(entry.path)
            finally:
                os.close(fd)
            if report is not None and tar.size - reported > _REPORT_EVERY:
                reported = tar.size
                report(reported)
        return tar.close()
    finally:
        tree.close()


def _open(tree: Tree, entry: Entry) -> int:
    above, _, name = entry.path.rpartition(b"/")
    try:
        fd = os.open(name, _FILE, dir_fd=tree.open(above))
    except OSError as error:
        raise changed(entry.path) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise changed(entry.path)
    return fd


def _in_tar_order(entries_path: str) -> Iterator[Entry]:
    """Yield the entries with the whiteouts of each directory before everything else in it."""
    hidden = [entry for entry in read_entries(entries_path) if entry.kind is Kind.WHITEOUT]
    if not hidden:
        yield from read_entries(entries_path)
        return
    hidden.sort(key=tar_key)
    rest = (entry for entry in read_entries(entries_path) if entry.kind is not Kind.WHITEOUT)
    yield from merge(hidden, rest, key=tar_key)


def tar_key(entry: Entry) -> tuple[bytes, bytes]:
    """Return what entries are ordered by in a tar stream."""
    if entry.kind is Kind.WHITEOUT:
        above, _, name = entry.path.rpartition(b"/")
        # After the directory and its opaque mark, before any name in it: none begins with a zero byte.
        return sort_key(above) + b"\0", name
    if entry.kind is Kind.OPAQUE:
        return sort_key(entry.path) + b"\0", b""
    return sort_key(entry.path), b""


def verify_directory(
    entries_path: str, root: str, *, report: Report | None = None
) -> tuple[int, int]:
    """Compare a directory form with its entry list, reading every file.

    Devices that a user namespace cannot hold may be missing. What is there beside the entries is not noticed.

    Returns: the numbers of entries and of bytes read.
    Raises: LayerError: something differs (code `layer.changed`). StoreError: the list is damaged.
    """
    tree = Tree(root)
    count = size = reported = 0
    try:
        for entry in read_entries(entries_path):
            _verify(tree, entry)
            count += 1
            size += entry.size
            if report is not None and size - reported > _REPORT_EVERY:
                reported = size
                report(reported)
    finally:
        tree.close()
    return count, size


def _verify(tree: Tree, entry: Entry) -> None:
    above, _, name = entry.path.rpartition(b"/")
    try:
        parent = tree.open(above)
        status = os.lstat(name or b".", dir_fd=parent)
        status = owners.seen_at(status, parent, name or b".")
        same = _agrees(tree, entry, status)
    except (OSError, LayerError) as error:
        if entry.kind in (Kind.CHARACTER, Kind.BLOCK) and isinstance(error, FileNotFoundError):
            return
        raise _differs(entry.path) from error
    if not same:
        raise _differs(entry.path)


def _agrees(tree: Tree, entry: Entry, status: os.stat_result) -> bool:
    kind = entry.kind
    if kind is Kind.WHITEOUT:
        return is_whiteout(status)
    if kind is Kind.OPAQUE:
        return os.getxattr(tree.open(entry.path), attributes.OPAQUE) == b"y"
    if kind is Kind.HARDLINK:
        above, _, name = entry.link.rpartition(b"/")
        return os.path.samestat(os.lstat(name, dir_fd=tree.open(above)), status)
    if (
        KINDS.get(stat.S_IFMT(status.st_mode)) is not kind
        or status.st_mode & 0o7777 != entry.mode
        or not _same_owner(status, entry)
        or status.st_mtime_ns // SECOND != entry.mtime // SECOND
    ):
        return False
    match kind:
        case Kind.FILE:
            if status.st_size != entry.size:
                return False
            fd = _open(tree, entry)
            try:
                kept = attributes.read(fd, attributes.names(fd))
                return kept == entry.xattrs and digest_of(fd) == entry.digest
            finally:
                os.close(fd)
        case Kind.SYMLINK:
            above, _, name = entry.path.rpartition(b"/")
            return os.readlink(name, dir_fd=tree.open(above)) == entry.link
        case Kind.CHARACTER | Kind.BLOCK:
            return status.st_rdev == os.makedev(entry.major, entry.minor)
        case _:
            return True


def _same_owner(status: os.stat_result, entry: Entry) -> bool:
    """Compare owners, as far as they can be remembered."""
    same = (status.st_uid, status.st_gid) == (entry.uid, entry.gid)
    return same or (owners.recorded() and entry.kind not in (Kind.FILE, Kind.DIRECTORY))


def _differs(path: bytes) -> LayerError:
    return LayerError(
        f"`{shown(path)}` on disk is not what was recorded of its layer", code="layer.changed"
    )
