"""What is done to plain trees behind the launcher, as functions of plain data; see `builder.layer.jobs`."""

from __future__ import annotations

import os
from contextlib import suppress

import msgspec

from builder.layer.compare import compare, record
from builder.layer.duplicate import duplicate
from builder.layer.jobs import ApplyLayer, Reporter, apply_layer, translated
from builder.layer.merge import merge
from builder.layer.owners import noted
from builder.layer.remove import remove_tree


class Stack(msgspec.Struct, frozen=True, kw_only=True):
    """Put the layer in `blob`, or the first descriptor, on top of the plain tree `tree`, by way of `beside`; host paths."""

    blob: str | None
    compression: str
    tree: str
    beside: str
    entries_path: str


class Duplicate(msgspec.Struct, frozen=True, kw_only=True):
    """Copy a plain tree into an empty directory; host paths."""

    source: str
    target: str


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Write down in `listing` what is in a plain tree; host paths."""

    root: str
    listing: str


class Compare(msgspec.Struct, frozen=True, kw_only=True):
    """Write what changed in a plain tree as a tar; `moved` is a list of inodes and `user` says who
    the step ran as, and need not exist; host paths.
    """

    root: str
    listing: str
    entries_path: str
    tar: str
    moved: str
    user: str = ""
    since: int = 0


def stack_layer(arguments: object, fds: tuple[int, ...], report: Reporter) -> object:
    """Do `Stack`.

    Returns: a `LayerScan` as a dictionary.
    Raises: LayerError: the blob is malformed or hostile. StoreError: the disk is full.
    """
    request = msgspec.convert(arguments, Stack)
    empty = not os.listdir(request.tree)
    root = request.tree if empty else request.beside
    with translated():
        if not empty:
            os.mkdir(root, 0o755)
        found = apply_layer(
            msgspec.to_builtins(
                ApplyLayer(
                    root=root,
                    entries_path=request.entries_path,
                    lowers=() if empty else (request.tree,),
                    blob=request.blob,
                    compression=request.compression,
                    marks=False,
                )
            ),
            fds,
            report,
        )
        if not empty:
            merge(root, request.entries_path, request.tree)
            remove_tree(root)
    return found


def duplicate_tree(arguments: object, fds: tuple[int, ...], report: Reporter) -> object:
    """Do `Duplicate`."""
    del fds, report
    request = msgspec.convert(arguments, Duplicate)
    with translated():
        duplicate(request.source, request.target)
    return {}


def record_tree(arguments: object, fds: tuple[int, ...], report: Reporter) -> object:
    """Do `Record`.

    Returns: `count`, how many objects there are.
    """
    del fds, report
    request = msgspec.convert(arguments, Record)
    with translated():
        return {"count": record(request.root, request.listing)}


def compare_tree(arguments: object, fds: tuple[int, ...], report: Reporter) -> object:
    """Do `Compare`.

    Returns: a `LayerScan` as a dictionary.
    Raises: LayerError: something there cannot be part of an image. StoreError: the disk is full.
    """
    del fds
    request = msgspec.convert(arguments, Compare)
    moved: frozenset[int] = frozenset()
    with suppress(FileNotFoundError), open(request.moved, encoding="ascii") as file:
        moved = frozenset(map(int, file.read().split()))
    with translated():
        scan = compare(
            request.root,
            request.listing,
            entries_path=request.entries_path,
            tar=request.tar,
            since=request.since,
            moved=moved,
            user=noted(request.user),
            report=report,
        )
    return msgspec.to_builtins(scan)
