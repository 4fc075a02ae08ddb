"""Why one path is part of a build context or not: for people, not for copies."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from builder.source.contents import Content, content
from builder.source.tops import Tree

if TYPE_CHECKING:
    from builder.dockerfile.ignore import IgnoreRules, Rule


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What stands at a path, and what decides about it.

    `content` has the path as it was named; its `kind` is `missing` where there is nothing. `leads_to` is where
    a copy finds it when links are on the way, None when there are none. `matched` is what the rule that decides
    matches: the path, where it leads, or a directory above; "" where no rule does. `brings_back` is a rule that
    may bring back something below what is excluded. `near` are remarks on names that may have been meant.
    """

    content: Content
    leads_to: str | None = None
    matched: str = ""
    brings_back: Rule | None = None
    near: tuple[str, ...] = ()


def explain(root: str, path: str, rules: IgnoreRules | None) -> Explanation:
    """Explain a cleaned path relative to the context `root`; "" is the context itself."""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _explained(Tree(fd, rules), path)
    finally:
        os.close(fd)


def _explained(tree: Tree, path: str) -> Explanation:
    status = _status(tree, path)
    found = content(path, status, tree.rules)
    real = _leads_to(tree, path)
    decided = path
    if real is not None and found.sent and tree.ignored(real):
        decided = real
        rule = tree.rules.match(real).rule if tree.rules is not None else None
        found = msgspec.structs.replace(found, sent=False, rule=rule)
    brings_back = None
    if tree.rules is not None and not found.sent and _is_directory(tree, path):
        brings_back = tree.rules.bringing_back(decided)
    return Explanation(
        content=found,
        leads_to=real,
        matched=_matched(tree.rules, decided, found.rule),
        brings_back=brings_back,
        near=tree.near(path) if status is None else (),
    )


def _status(tree: Tree, path: str) -> os.stat_result | None:
    """Return the status of what stands at a path, of a link itself; None if nothing does."""
    directory, _, name = path.rpartition("/")
    try:
        fd, _ = tree.find(directory)
    except OSError:
        return None
    try:
        return os.stat(name or ".", dir_fd=fd, follow_symlinks=False)
    except OSError:
        return None
    finally:
        os.close(fd)


def _leads_to(tree: Tree, path: str) -> str | None:
    try:
        fd, real = tree.find(path)
    except OSError:
        return None
    os.close(fd)
    return real if real != path else None


def _is_directory(tree: Tree, path: str) -> bool:
    try:
        os.close(tree.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _matched(rules: IgnoreRules | None, path: str, rule: Rule | None) -> str:
    """Return the topmost part of a path about which a rule decides already."""
    if rules is None or rule is None:
        return ""
    parts = path.split("/")
    above = ("/".join(parts[:count]) for count in range(1, len(parts)))
    return next((each for each in above if rules.match(each).rule is rule), path)
