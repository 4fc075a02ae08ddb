"""What a build context holds, name by name, and which ignore line decided: for people, not for copies."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from builder.errors import ContextError

if TYPE_CHECKING:
    from builder.dockerfile.ignore import IgnoreRules, Rule

_DEEPEST = 1000


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """A name in a context, relative to its root; `size` in bytes, 0 for what is no regular file.

    `rule` is the line that decided, None where none matched. A directory that is not `sent` is not looked
    into, unless something below it is brought back; one that is `sent` stands for nothing but itself.
    """

    path: str
    kind: str
    size: int
    sent: bool
    rule: Rule | None = None


def contents(root: str, rules: IgnoreRules | None) -> Iterator[Content]:
    """Return what a directory of the host holds, directories before what is in them, sorted in each.

    Links are not followed. Only the names on the way down are held.

    Raises: ContextError: a directory cannot be read, or lies deeper than a thousand others.
    """
    waiting = [iter(_names(root, ""))]
    directories = [""]
    while waiting:
        entry = next(waiting[-1], None)
        if entry is None:
            waiting.pop()
            directories.pop()
            continue
        name, status = entry
        path = f"{directories[-1]}/{name}" if directories[-1] else name
        found = content(path, status, rules)
        yield found
        below = found.sent or (rules is not None and not rules.prunable(path))
        if found.kind == "directory" and below:
            if len(waiting) > _DEEPEST:
                raise ContextError(f"`{path[:200]}` lies too deep", code="context.unreadable")
            waiting.append(iter(_names(root, path, hidden=not found.sent)))
            directories.append(path)


def content(path: str, status: os.stat_result | None, rules: IgnoreRules | None) -> Content:
    """Return what stands at a path, `missing` without a status; rules are asked anyway."""
    verdict = rules.match(path) if rules is not None else None
    regular = status is not None and stat.S_ISREG(status.st_mode)
    return Content(
        path=path,
        kind=_kind(status.st_mode) if status is not None else "missing",
        size=status.st_size if status is not None and regular else 0,
        sent=verdict is None or not verdict.ignored,
        rule=verdict.rule if verdict is not None else None,
    )


def _names(root: str, path: str, *, hidden: bool = False) -> list[tuple[str, os.stat_result]]:
    """Return the names in a directory, sorted, with their attributes; sockets are part of no context."""
    try:
        with os.scandir(f"{root}/{path}" if path else root) as entries:
            found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    except FileNotFoundError:
        return []  # it has gone since it was named
    except OSError as error:
        if hidden and isinstance(error, PermissionError):
            return []  # a build passes it by, too
        raise ContextError(
            f"`{path or root}` cannot be read: {error.strerror}",
            code="context.unreadable",
            hint="make it readable, or exclude it in `.dockerignore`",
        ) from error
    return sorted(
        [each for each in found if not stat.S_ISSOCK(each[1].st_mode)], key=lambda each: each[0]
    )


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "directory"
    if stat.S_ISLNK(mode):
        return "link"
    return "file" if stat.S_ISREG(mode) else "special"
