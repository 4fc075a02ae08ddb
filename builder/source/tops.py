"""From the paths and patterns of a COPY to the files and directories that they name.

A path is resolved inside its root, links included; nothing leads out of it.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import msgspec

from builder.errors import ContextError
from builder.source.pattern import compile_component, has_wildcard, matches

if TYPE_CHECKING:
    from builder.dockerfile.ignore import IgnoreRules


class Top(msgspec.Struct, frozen=True):
    """One selected object: `path` as named, cleaned, relative to the root; `real` where links lead.

    `name` is the last component as named, which a file takes with it into a directory.
    """

    path: str
    real: str
    name: str
    is_directory: bool


class Tree:
    """A root directory to select from: a context, perhaps with ignore rules, or the view of a state."""

    def __init__(
        self, root_fd: int, rules: IgnoreRules | None = None, *, is_context: bool = True
    ) -> None:
        self.root_fd = root_fd
        self.rules = rules
        self.is_context = is_context

    def ignored(self, path: str) -> bool:
        """Tell whether the ignore rules hide a path, relative to the root."""
        return self.rules is not None and path != "" and self.rules.match(path).ignored

    def open_directory(self, path: str) -> int:
        """Open a directory for reading; the caller closes it."""
        return self.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def open(self, path: str, flags: int) -> int:
        """Open what a path leads to inside the root; the caller closes it.

        Raises: OSError: as `open` would below such a root.
        """
        fd = _open_plainly(self.root_fd, path, flags)
        if fd is not None:
            return fd
        from runtime.beneath import open_beneath

        return open_beneath(self.root_fd, path or ".", flags)


def _open_plainly(root_fd: int, path: str, flags: int) -> int | None:
    """Open a path that is no link and passes none, one name at a time; None where it may be otherwise.

    This is the usual case, and needs no system call that Python lacks.
    """
    parts = path.split("/") if path else []
    fd = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root_fd)
    try:
        for part in parts[:-1]:
            above = fd
            fd = os.open(
                part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above
            )
            os.close(above)
        last = parts[-1] if parts else "."
        opened = os.open(last, flags | os.O_NOFOLLOW, dir_fd=fd)
    except OSError:
        return None
    finally:
        os.close(fd)
    if flags & os.O_PATH and stat.S_ISLNK(os.fstat(opened).st_mode):
        os.close(opened)
        return None
    return opened


def clean(path: str) -> str:
    """Return a source path relative to the root, without `.`, `..` or doubled slashes; "" is the root."""
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if kept:
                kept.pop()
        elif part not in ("", "."):
            kept.append(part)
    return "/".join(kept)


def resolve(tree: Tree, paths: tuple[str, ...]) -> list[Top]:
    """Return what the paths and patterns of one source select, in order; patterns give theirs sorted.

    Raises: ContextError: a plain path names nothing (with the ignore rule that hides it, or near names), or
        nothing at all is selected.
    """
    tops: list[Top] = []
    for path in paths:
        cleaned = clean(path)
        if has_wildcard(cleaned):
            tops.extend(_expand(tree, cleaned))
        else:
            tops.append(_named(tree, cleaned))
    return tops


def _named(tree: Tree, path: str) -> Top:
    top = _top(tree, path)
    if top is None:
        raise _missing(tree, path)
    return top


def _top(tree: Tree, path: str) -> Top | None:
    if tree.ignored(path) and not _re_included_below(tree, path):
        return None
    try:
        fd = tree.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ContextError(f"`{path}` cannot be opened: {os.strerror(error.errno or 0)}") from error
    try:
        is_directory = stat.S_ISDIR(os.fstat(fd).st_mode)
        real = _real_path(tree, fd, path)
    finally:
        os.close(fd)
    if real != path and tree.ignored(real) and not is_directory:
        return None
    return Top(path, real, path.rpartition("/")[2], is_directory)


def _re_included_below(tree: Tree, path: str) -> bool:
    rules = tree.rules
    return rules is not None and not rules.prunable(path)


def _real_path(tree: Tree, fd: int, path: str) -> str:
    """Return where a path leads, relative to the root; of use for the ignore rules of a context only."""
    if tree.rules is None:
        return path
    root = os.readlink(f"/proc/self/fd/{tree.root_fd}")
    real = os.readlink(f"/proc/self/fd/{fd}")
    prefix = root.rstrip("/") + "/"
    return real[len(prefix) :] if real.startswith(prefix) else ""


def _expand(tree: Tree, pattern: str) -> list[Top]:
    candidates = [""]
    for component in pattern.split("/"):
        if has_wildcard(component):
            tokens = compile_component(component)
            candidates = [
                _join(directory, name)
                for directory in candidates
                for name in _names(tree, directory)
                if matches(tokens, name)
            ]
        else:
            candidates = [_join(directory, component) for directory in candidates]
    found = (_top(tree, path) for path in sorted(candidates))
    return [top for top in found if top is not None]


def _join(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name


def _names(tree: Tree, directory: str) -> list[str]:
    try:
        fd = tree.open_directory(directory)
    except OSError:
        return []
    try:
        return os.listdir(fd)
    finally:
        os.close(fd)


def _missing(tree: Tree, path: str) -> ContextError:
    if not tree.is_context:
        return ContextError(
            f"`/{path}` does not exist there",
            notes=_near(tree, path),
            hint="check the path against what that stage or image holds",
        )
    rule = tree.rules.match(path).rule if tree.rules is not None and tree.ignored(path) else None
    if tree.rules is not None and rule is not None:
        return ContextError(
            f"`{path}` is excluded from the build context",
            code="context.ignored-source",
            notes=(f"line {rule.line} of `{tree.rules.name}` excludes it: `{rule.text}`",),
            hint=f"remove that line, or add `!{path}` after it",
        )
    return ContextError(
        f"`{path}` does not exist in the build context",
        notes=_near(tree, path),
        hint="paths are relative to the context directory, not to the Dockerfile",
    )


def _near(tree: Tree, path: str) -> tuple[str, ...]:
    from builder.dockerfile.suggest import nearest

    directory, _, name = path.rpartition("/")
    names = [each for each in _names(tree, directory) if not tree.ignored(_join(directory, each))]
    near = nearest(name, names)
    if near is None:
        return ()
    return (f"the nearest name is `{_join(directory, near)}`",)
