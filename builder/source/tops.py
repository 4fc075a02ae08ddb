"""From the paths and patterns of a COPY to the files and directories that they name.

A path is resolved inside its root, links included; nothing leads out of it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from builder.errors import ContextError
from builder.layer.owners import seen_at
from builder.source.pattern import compile_component, has_wildcard, matches

if TYPE_CHECKING:
    from builder.dockerfile.ignore import IgnoreRules
    from runtime.beneath import Place


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
        self.owners: Mapping[str, tuple[int, int]] | None = None
        """Who owns what, by real path, where the disk does not tell: root owns all others."""

    def seen(self, path: str, status: os.stat_result) -> os.stat_result:
        """Return the status of what is at a real path, with its owner in this tree."""
        if self.owners is None:
            return status if self.is_context else seen_at(status, self.root_fd, path or ".")
        fields = list(status[:10])
        fields[4:6] = self.owners.get(path, (0, 0))
        times = {"st_mtime_ns": status.st_mtime_ns, "st_ctime_ns": status.st_ctime_ns}
        return os.stat_result(fields, {**times, "st_rdev": status.st_rdev})

    def ignored(self, path: str) -> bool:
        """Tell whether the ignore rules hide a path, relative to the root."""
        return self.rules is not None and path != "" and self.rules.match(path).ignored

    def open_directory(self, path: str) -> int:
        """Open a directory for reading; the caller closes it.

        Raises: ContextError: it may not be read. OSError: as `open`.
        """
        try:
            return self.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except PermissionError as error:
            raise _unreadable(path, error) from error

    def open_unless_hidden(self, path: str) -> int | None:
        """Open a directory for reading; None where that is not allowed, but the rules hide it anyway.

        As with BuildKit, nothing is then brought back from it. The caller closes the descriptor.

        Raises: as `open_directory`.
        """
        try:
            return self.open_directory(path)
        except ContextError:
            if self.ignored(path):
                return None
            raise

    def open(self, path: str, flags: int) -> int:
        """Open what a path leads to inside the root; the caller closes it.

        Raises: OSError: as `open` would below such a root.
        """
        fd = _open_plainly(self.root_fd, path, flags)
        if fd is not None:
            return fd
        from runtime.beneath import open_beneath

        return open_beneath(self.root_fd, path or ".", flags)

    def find(self, path: str) -> tuple[int, str]:
        """Return a descriptor (O_PATH) of what a path leads to, for the caller to close, and its real path.

        Raises: OSError: it does not exist, passes what is no directory, or passes too many links.
        """
        fd = _open_plainly(self.root_fd, path, os.O_PATH | os.O_CLOEXEC)
        if fd is not None:
            return fd, path
        place = self._walk(path, follow=True)
        if place.missing:
            os.close(place.descriptor)
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return place.descriptor, "/".join(place.path)

    def holds(self, path: str) -> bool:
        """Tell whether there is something at a path, if only a link that leads nowhere."""
        try:
            place = self._walk(path, follow=False)
        except OSError:
            return False
        os.close(place.descriptor)
        return place.missing == 0

    def near(self, path: str) -> tuple[str, ...]:
        """Return a remark on the name nearest to a path that does not exist, if there is one."""
        from builder.dockerfile.suggest import nearest

        directory, _, name = path.rpartition("/")
        names = [
            each for each in _names(self, directory) if not self.ignored(_join(directory, each))
        ]
        near = nearest(name, names)
        return () if near is None else (f"the nearest name is `{_join(directory, near)}`",)

    def _walk(self, path: str, *, follow: bool) -> Place:
        from runtime.beneath import walk
        from runtime.syscalls import Syscalls

        return walk(Syscalls(), self.root_fd, path, follow=follow)


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

    A pattern may match nothing.

    Raises: ContextError: a plain path names nothing (with the ignore rule that hides it, or near names).
    """
    tops: list[Top] = []
    for path in paths:
        cleaned = clean(path)
        if has_wildcard(cleaned):
            tops.extend(_expand(tree, cleaned))
        else:
            tops.append(_named(tree, cleaned))
    return tops


def hides(rules: IgnoreRules, path: str, entry: os.DirEntry[str]) -> bool:
    """Tell whether rules hide a name and all below it."""
    if not rules.match(path).ignored:
        return False
    return not entry.is_dir(follow_symlinks=False) or rules.prunable(path)


def _named(tree: Tree, path: str) -> Top:
    top = _top(tree, path)
    if top is None:
        raise missing(tree, path)
    return top


def _top(tree: Tree, path: str) -> Top | None:
    found = _found(tree, path)
    if found is None:
        return None
    real, mode = found
    is_directory = stat.S_ISDIR(mode)
    shut = any(_shut(tree, each, is_directory=is_directory) for each in {path, real})
    if shut or stat.S_ISSOCK(mode):
        return None
    return Top(path, real, path.rpartition("/")[2], is_directory)


def _shut(tree: Tree, path: str, *, is_directory: bool) -> bool:
    """Tell whether the ignore rules hide a path, and all below it if it is a directory."""
    rules = tree.rules
    return (
        rules is not None and tree.ignored(path) and not (is_directory and not rules.prunable(path))
    )


def _found(tree: Tree, path: str) -> tuple[str, int] | None:
    """Return where a path leads inside the root, and the mode of what is there; None if nowhere.

    Raises: ContextError: it passes too many links, or a directory that may not be entered.
    """
    try:
        fd, real = tree.find(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        return real, os.fstat(fd).st_mode
    finally:
        os.close(fd)


def _unreadable(path: str, error: OSError) -> ContextError:
    return ContextError(
        f"`{path or '.'}` cannot be opened: {os.strerror(error.errno or 0)}",
        code="context.unreadable",
        hint="let the user who builds read it and enter what is above it, or name it in `.dockerignore`",
    )


def _expand(tree: Tree, pattern: str) -> list[Top]:
    """Return what a pattern selects; what the ignore rules hide is as if it were not there.

    Raises: ContextError: it matches a link that leads nowhere, or looks into a directory that does not exist.
    """
    directory = _literal_directory(pattern)
    if directory and _top(tree, directory) is None:
        raise missing(tree, directory)
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
    tops: list[Top] = []
    for path in sorted(candidates):
        top = _top(tree, path)
        if top is not None:
            tops.append(top)
        elif not tree.ignored(path) and tree.holds(path) and not _is_socket(tree, path):
            raise missing(tree, path)
    return tops


def _literal_directory(pattern: str) -> str:
    """Return the components of a pattern that stand before the first wildcard, unescaped."""
    literal: list[str] = []
    for component in pattern.split("/"):
        if has_wildcard(component):
            break
        literal.append(component)
    return "/".join(literal)


def _is_socket(tree: Tree, path: str) -> bool:
    found = _found(tree, path)
    return found is not None and stat.S_ISSOCK(found[1])


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


def missing(tree: Tree, path: str) -> ContextError:
    """Return what to say of a path that selects nothing: near names, or the ignore rule that hides it."""
    if _is_socket(tree, path):
        return ContextError(
            f"`{path}` is a socket, which no image can hold",
            code="context.unreadable",
            hint="copy the directory that it is in: sockets in directories are left out",
        )
    if not tree.is_context:
        return ContextError(
            f"`/{path}` does not exist there",
            notes=tree.near(path),
            hint="check the path against what that stage or image holds",
        )
    found = _found(tree, path)
    for each in (path, found[0] if found is not None else path):
        rule = tree.rules.match(each).rule if tree.rules is not None else None
        if tree.rules is None or rule is None or not tree.ignored(each):
            continue
        leads = () if each == path else (f"it is a link to `{each}`",)
        return ContextError(
            f"`{path}` is excluded from the build context",
            code="context.ignored-source",
            notes=(*leads, f"line {rule.line} of `{tree.rules.name}` excludes it: `{rule.text}`"),
            hint=f"remove that line, or add `!{each}` after it",
        )
    target = _target(tree, path)
    if target is not None:
        return ContextError(
            f"`{path}` is a link to `{target}`, which does not exist in the build context",
            hint="a link cannot lead out of the context: copy what it points to into it, or mend the link",
        )
    return ContextError(
        f"`{path}` does not exist in the build context",
        notes=tree.near(path),
        hint=_meant(path) or "paths are relative to the context directory, not to the Dockerfile",
    )


def _meant(path: str) -> str | None:
    """Return what to do about a path that is hardly meant as one; dashes may be those of a word processor."""
    if path.startswith(("-", "\u2013", "\u2014", "\u2212")) and path.lstrip("-\u2013\u2014\u2212"):
        if path.startswith("--"):
            return "flags stand before the first source"
        flag = path.lstrip("-\u2013\u2014\u2212")
        return f"if it is meant as a flag, write it with two dashes: `--{flag[:60]}`"
    if path.startswith("#"):
        return "a comment stands on a line of its own"
    return None


def _target(tree: Tree, path: str) -> str | None:
    """Return where a link says that it leads; None if there is no link at a path."""
    directory, _, name = path.rpartition("/")
    try:
        fd = tree.open_directory(directory)
    except OSError:
        return None
    try:
        return os.readlink(name, dir_fd=fd)
    except OSError:
        return None
    finally:
        os.close(fd)
