"""The file system that an archive of an image comes to, read without any of our code, and how two differ.

python -m tests.support.trees ONE.tar OTHER.tar
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"


class Node(NamedTuple):
    """One object of a tree; what is compared, times apart."""

    kind: str
    mode: int
    uid: int
    gid: int
    target: str
    digest: str
    attributes: tuple[tuple[str, str], ...]


Tree = Mapping[str, Node]
"""Paths without a leading slash, each with what is there."""


def image_tree(archive: Path) -> Tree:
    """Return the tree that the layers of an archive, as `docker load` reads it, come to."""
    tree: dict[str, Node] = {}
    with tarfile.open(archive) as image:
        manifest = image.extractfile("manifest.json")
        assert manifest is not None
        (only,) = json.load(manifest)
        for name in only["Layers"]:
            with tarfile.open(fileobj=image.extractfile(name)) as layer:
                _apply(layer, tree)
    return tree


def differences(before: Tree, after: Tree) -> list[str]:
    """Say what differs, a line for each path; nothing is said of equal trees."""
    said = [f"gone: {path}" for path in sorted(before.keys() - after.keys())]
    said += [f"new: {path}" for path in sorted(after.keys() - before.keys())]
    for path in sorted(before.keys() & after.keys()):
        for name, old, new in zip(Node._fields, before[path], after[path], strict=True):
            if old != new:
                said.append(f"{path}: {name} {old!r} became {new!r}")
    return said


def _apply(layer: tarfile.TarFile, tree: dict[str, Node]) -> None:
    added: set[str] = set()
    for member in layer:
        path = posixpath.normpath(member.name).lstrip("/")
        directory, name = posixpath.split(path)
        if name == OPAQUE:
            _remove_below(tree, directory, keep=added)
        elif name.startswith(WHITEOUT):
            removed = posixpath.join(directory, name.removeprefix(WHITEOUT))
            tree.pop(removed, None)
            _remove_below(tree, removed, keep=added)
        else:
            if not member.isdir():
                _remove_below(tree, path, keep=added)
            tree[path] = _node(layer, member, tree)
            added.add(path)


def _remove_below(tree: dict[str, Node], directory: str, *, keep: set[str]) -> None:
    for path in [path for path in tree if path.startswith(f"{directory}/") and path not in keep]:
        del tree[path]


def _node(layer: tarfile.TarFile, member: tarfile.TarInfo, tree: Tree) -> Node:
    if member.islnk():
        # A further name of what is there already: the two are equal in all that is compared.
        return tree[posixpath.normpath(member.linkname).lstrip("/")]
    digest = ""
    if member.isreg():
        content = layer.extractfile(member)
        assert content is not None
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    attributes = sorted(
        (name, value) for name, value in member.pax_headers.items() if "xattr" in name
    )
    return Node(
        kind=member.type.decode(),
        mode=member.mode,
        uid=member.uid,
        gid=member.gid,
        target=member.linkname,
        digest=digest,
        attributes=tuple(attributes),
    )


if __name__ == "__main__":
    found = differences(*(image_tree(Path(name)) for name in sys.argv[1:3]))
    print("\n".join(found), end="\n" if found else "")
    sys.exit(1 if found else 0)
