"""Digest what a copy selects: in the builder for a context, behind the launcher for a state.

Kept apart from the copying itself, which a cached build does not load.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from builder.errors import ContextError
from builder.source.known import KnownFiles
from builder.source.listing import contents_digest
from builder.source.select import Digester
from builder.source.tops import Top, Tree, resolve


class SourceTree(msgspec.Struct, frozen=True, kw_only=True):
    """Where one source's paths are: a context (`root`, `ignore`, `known`) or a state (`lowers`).

    `owners` is a file that says who owns what in a context, "" where root does. `inline` are files from
    here-documents, which have no tree. `exclude`, `parents` and `unpack` are what the instruction asks for;
    archives count by their bytes, whether they are unpacked or not.
    """

    paths: tuple[str, ...] = ()
    root: str = ""
    ignore: str = ""
    ignore_name: str = ".dockerignore"
    known: str = ""
    owners: str = ""
    lowers: tuple[str, ...] = ()
    inline: tuple[tuple[str, bytes], ...] = ()
    exclude: tuple[str, ...] = ()
    parents: bool = False
    unpack: bool = False

    @property
    def owned(self) -> bool:
        """Whether owners are kept."""
        return not self.root or bool(self.owners)


Owners = dict[str, tuple[int, int]]
"""User and group ids by path."""

Chosen = tuple[Tree, Top, KnownFiles | None]
"""One selected object, the tree as it is seen from there, and what is known of that tree's files."""


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
        with chosen(source) as found:
            for tree, top, known in found:
                digester = Digester(tree, owners=source.owned, known=known)
                tops.append(digester.top(top))
                files += digester.files
                size += digester.bytes
            for known in {id(each): each for _, _, each in found}.values():
                if known is not None:
                    known.save()
    return {"contents": contents_digest(tops), "files": files, "bytes": size}


class Sought(msgspec.Struct, frozen=True):
    """Sources that must be there, and for each what else the build reads of the same directory."""

    sources: tuple[SourceTree, ...]
    beside: tuple[tuple[str, ...], ...]


def missing_of(arguments: object, fds: tuple[int, ...], report: object) -> object:
    """Return a refusal for each path of a `Sought` that names nothing.

    A pattern may match nothing beside other things that are read where it looks. One is code, message, notes and hint, as
    plain data.
    """
    del fds, report
    found: list[tuple[str, str, tuple[str, ...], str | None]] = []
    sought = msgspec.convert(arguments, Sought)
    for source, beside in zip(sought.sources, sought.beside, strict=True):
        with _source_tree(source) as (tree, _):
            for path in source.paths:
                others = (*beside, *(each for each in source.paths if each != path))
                try:
                    _look_for(tree, path, source, others)
                except ContextError as error:
                    found.append((error.code, error.message, error.notes, error.hint))
    return found


def _look_for(tree: Tree, path: str, source: SourceTree, others: tuple[str, ...]) -> None:
    if source.exclude or source.parents:
        from builder.source.choice import narrowed

        narrowed(tree, (path,), source.exclude, parents=source.parents)
    else:
        resolve(tree, (path,))
    if not source.parents:
        from builder.source.unmatched import refuse_unmatched

        refuse_unmatched(tree, path, others)


@contextmanager
def chosen(source: SourceTree) -> Iterator[list[Chosen]]:
    """Give what a source selects, in order; its trees end with the block.

    Raises: ContextError: a plain path names nothing, or a pattern is malformed.
    """
    with _source_tree(source) as (tree, known):
        if source.exclude or source.parents:
            from builder.source.choice import narrowed, overlap

            found = narrowed(tree, source.paths, source.exclude, parents=source.parents)
            if overlap([top for _, top in found]):
                known = None
            yield [(seen, top, known) for seen, top in found]
        else:
            yield [(tree, top, known) for top in resolve(tree, source.paths)]


@contextmanager
def _source_tree(source: SourceTree) -> Iterator[tuple[Tree, KnownFiles | None]]:
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
        tree = Tree(root_fd, rules)
        if source.owners:
            with open(source.owners, "rb") as file:
                tree.owners = msgspec.msgpack.decode(file.read(), type=Owners)
        yield tree, known
    finally:
        os.close(root_fd)
