"""What a copy with `--exclude` or `--parents` selects: directories, each with rules of its own.

`--parents` copies from the root of the source, or from what stands before `/./`, the paths and patterns that
it names, with the directories above them; links on the way are not followed.

Source: Dockerfile reference, "COPY --parents", "COPY --exclude".
"""

from __future__ import annotations

import os
from itertools import pairwise

from builder.errors import ContextError
from builder.source.narrowing import Narrowed
from builder.source.pattern import has_wildcard
from builder.source.tops import Top, Tree, clean, missing, resolve

PIVOT = "/./"


def narrowed(
    tree: Tree, paths: tuple[str, ...], exclude: tuple[str, ...], *, parents: bool
) -> list[tuple[Tree, Top]]:
    """Return what paths and patterns select, each with the tree as it is to be seen from there.

    Raises: ContextError: a plain path names nothing, or a pattern is malformed.
    """
    if parents:
        return [
            (_seen(tree, top, exclude, include), top)
            for top, include in _from_pivots(tree, paths, exclude).values()
        ]
    return [
        (_seen(tree, top, exclude, None) if top.is_directory else tree, top)
        for top in resolve(tree, paths)
    ]


def overlap(tops: list[Top]) -> bool:
    """Tell whether one directory lies in another, or occurs twice: what is known of it would be mixed up."""
    directories = sorted(f"{top.real}/" if top.real else "" for top in tops if top.is_directory)
    return any(below.startswith(above) for above, below in pairwise(directories))


def _seen(tree: Tree, top: Top, exclude: tuple[str, ...], include: tuple[str, ...] | None) -> Tree:
    rules = Narrowed(tree.rules, top.real, exclude=exclude, include=include)
    seen = Tree(tree.root_fd, rules, is_context=tree.is_context)
    seen.owners = tree.owners
    return seen


def _from_pivots(
    tree: Tree, paths: tuple[str, ...], exclude: tuple[str, ...]
) -> dict[str, tuple[Top, tuple[str, ...]]]:
    """Return the directories that are copied from, by where they really are, with the patterns for each."""
    found: dict[str, tuple[Top, tuple[str, ...]]] = {}
    for path in paths:
        pivot, divided, pattern = path.partition(PIVOT)
        if not divided:
            pivot, pattern = "", path
        pattern = clean(pattern)
        for top in resolve(tree, (pivot,)):
            if not top.is_directory:
                raise missing(tree, clean(path))
            if not has_wildcard(pivot) and not has_wildcard(pattern):
                _require(tree, top, pattern, clean(path))
                _refuse_excluded(top, exclude, pattern, clean(path))
            known = found[top.real][1] if top.real in found else ()
            found[top.real] = (top, (*known, pattern or "**"))
    return found


def _require(tree: Tree, top: Top, pattern: str, named: str) -> None:
    """Refuse a plain path that names nothing, or passes a link."""
    real = "/".join(part for part in (top.real, pattern) if part)
    directory, _, name = real.rpartition("/")
    try:
        parent = _open_unlinked(tree.root_fd, directory)
    except OSError:
        raise missing(tree, named) from None
    try:
        os.stat(name or ".", dir_fd=parent, follow_symlinks=False)
    except OSError:
        raise missing(tree, named) from None
    finally:
        os.close(parent)
    if tree.ignored(real) and (tree.rules is None or tree.rules.prunable(real)):
        raise missing(tree, named)


def _refuse_excluded(top: Top, exclude: tuple[str, ...], pattern: str, named: str) -> None:
    """Refuse a plain path of which `--exclude` leaves nothing; a pattern may select nothing."""
    rules = Narrowed(None, top.real, exclude=exclude)
    real = "/".join(part for part in (top.real, pattern) if part)
    if rules.match(real).ignored and rules.prunable(real):
        raise ContextError(
            f"`--exclude` leaves nothing of `{named}`",
            code="context.ignored-source",
            hint="name it in one of the two alone",
        )


def _open_unlinked(root_fd: int, path: str) -> int:
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(".", flags, dir_fd=root_fd)
    for part in path.split("/") if path else ():
        above = fd
        try:
            fd = os.open(part, flags, dir_fd=above)
        finally:
            os.close(above)
    return fd
