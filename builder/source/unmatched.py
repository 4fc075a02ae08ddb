"""Patterns that match nothing: fine beside other files, a mistake where nothing of the directory is read at all.

Source: BuildKit's behaviour: of a context it only has the directories of which something is read.
"""

from __future__ import annotations

from builder.errors import ContextError
from builder.source.pattern import has_wildcard
from builder.source.tops import Tree, clean, resolve


def refuse_unmatched(tree: Tree, path: str, others: tuple[str, ...]) -> None:
    """Refuse a pattern that matches nothing in a directory of which none of the `others` reads anything either.

    Raises: ContextError: so it is, or the directory does not exist.
    """
    pattern = clean(path)
    directory, _, name = pattern.rpartition("/")
    if not has_wildcard(name) or not directory or has_wildcard(directory):
        return
    (looked,) = resolve(tree, (directory,))
    if (
        not looked.is_directory
        or resolve(tree, (pattern,))
        or any(_reads(tree, other, looked.real) for other in others)
    ):
        return
    raise ContextError(
        f"nothing matches `{pattern}`",
        notes=(f"no other source is in `{directory}`, so nothing of it is read at all",),
        hint="check the pattern, and whether what it should match has been made",
    )


def _reads(tree: Tree, path: str, directory: str) -> bool:
    """Tell whether a source takes a directory, given by its real path, or something in it."""
    try:
        tops = resolve(tree, (path,))
    except ContextError:
        return False
    return any(
        top.real.startswith(f"{directory}/")
        or (top.is_directory and (not top.real or f"{directory}/".startswith(f"{top.real}/")))
        for top in tops
    )
