"""Digest what a copy selects: in the builder for a context, behind the launcher for a state.

Kept apart from the copying itself, which a cached build does not load.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from builder.source.known import KnownFiles
from builder.source.listing import contents_digest
from builder.source.select import Digester
from builder.source.tops import Tree, resolve


class SourceTree(msgspec.Struct, frozen=True, kw_only=True):
    """Where one source's paths are: a context (`root`, `ignore`, `known`) or a state (`lowers`).

    `inline` are files from here-documents, which have no tree.
    """

    paths: tuple[str, ...] = ()
    root: str = ""
    ignore: str = ""
    ignore_name: str = ".dockerignore"
    known: str = ""
    lowers: tuple[str, ...] = ()
    inline: tuple[tuple[str, bytes], ...] = ()


class Selection(msgspec.Struct, frozen=True):
    """What a copy takes its files from, in order."""

    sources: tuple[SourceTree, ...]


def select(arguments: object, fds: tuple[int, ...], report: object) -> object:
    """Digest what a `Selection` selects, reading only what is not known: returns contents, files, bytes."""
    del fds, report
    tops: list[tuple[str, bytes]] = []
    files = size = 0
    for source in msgspec.convert(arguments, Selection).sources:
        if source.inline:
            from builder.source.inline import inline_digest

            tops.extend((name, inline_digest(data)) for name, data in source.inline)
            continue
        with source_tree(source) as (tree, known):
            digester = Digester(tree, owners=not source.root, known=known)
            tops.extend(digester.top(top) for top in resolve(tree, source.paths))
            files += digester.files
            size += digester.bytes
            if known is not None:
                known.save()
    return {"contents": contents_digest(tops), "files": files, "bytes": size}


@contextmanager
def source_tree(source: SourceTree) -> Iterator[tuple[Tree, KnownFiles | None]]:
    """Open the tree of a source, and what is known of a context's files; both end with the block."""
    if not source.root:
        from runtime.view import mounted

        with mounted(source.lowers) as root_fd:
            yield Tree(root_fd, is_context=False), None
        return
    rules = None
    if source.ignore:
        from builder.dockerfile.ignore import IgnoreRules

        rules = IgnoreRules.parse(source.ignore, source.ignore_name)
    known = KnownFiles(source.known, rules.identity if rules else "") if source.known else None
    root_fd = os.open(source.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield Tree(root_fd, rules), known
    finally:
        os.close(root_fd)
