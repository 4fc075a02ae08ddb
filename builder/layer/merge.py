"""A layer that was unpacked beside a plain tree → the tree as it is with the layer on top.

Nothing is copied: what the layer holds is moved into the tree, on one file system. Both are reached by descriptors
of our own making only; neither is in use by anybody else.
"""

from __future__ import annotations

import os
import stat

from builder.layer import attributes, owners
from builder.layer.compare import check_depth
from builder.layer.entries import read_entries
from builder.layer.entry import Kind
from builder.layer.remove import remove_at
from builder.layer.tree import DIRECTORY, Tree


def merge(layer: str, entries_path: str, tree: str) -> None:
    """Bring the directory `layer` and what its entry list removes into the plain tree `tree`; host paths.

    `layer` was unpacked above `tree`, so that the directories it does not list have the attributes of the tree's.

    Raises: OSError: the disk is full or broken; the tree is of no use then.
    """
    _remove_hidden(entries_path, tree)
    source = os.open(layer, DIRECTORY)
    try:
        target = os.open(tree, DIRECTORY)
        try:
            _merge_directory(source, target)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _remove_hidden(entries_path: str, tree: str) -> None:
    places = Tree(tree)
    try:
        for entry in read_entries(entries_path):
            if entry.kind is Kind.OPAQUE:
                found = places.locate(entry.path)
                names = [] if found is None else os.listdir(found[1])
            elif entry.kind is Kind.WHITEOUT:
                above, _, name = entry.path.rpartition(b"/")
                found = places.locate(above)
                names = [os.fsdecode(name)]
            else:
                continue
            if found is None:
                continue
            parent = os.dup(found[1])
            places.forget()
            for hidden in names:
                remove_at(parent, os.fsencode(hidden))
            os.close(parent)
    finally:
        places.close()


def _merge_directory(source: int, target: int, depth: int = 0) -> None:
    """Move everything in a directory into another, and give that the attributes of the first."""
    check_depth(depth)
    status = os.fstat(source)
    with os.scandir(source) as found:
        items = [(os.fsencode(item.name), item.is_dir(follow_symlinks=False)) for item in found]
    for name, directory in items:
        if directory and _is_directory(name, target):
            below, into = (os.open(name, DIRECTORY, dir_fd=place) for place in (source, target))
            try:
                _merge_directory(below, into, depth + 1)
            finally:
                os.close(below)
                os.close(into)
            continue
        if directory or _is_directory(name, target):
            remove_at(target, name)
        os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
    copy_attributes(source, target, status)


def _is_directory(name: bytes, parent: int) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode)
    except FileNotFoundError:
        return False


def copy_attributes(source: int, target: int, status: os.stat_result | None = None) -> None:
    """Give a directory or file all that is to be known of another: owner, mode, attributes, times.

    `status` is what `fstat` said of it before its time was changed.
    """
    status = owners.seen(status or os.fstat(source), source)
    owners.give(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    wanted = attributes.read(source, attributes.names(source))
    there = attributes.names(target)
    kept = {os.fsdecode(name) for name, _ in wanted}
    for present in there:
        if attributes.belongs(present) and present not in kept:
            os.removexattr(target, present)
    attributes.write(target, wanted)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
