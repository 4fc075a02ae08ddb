"""Says in words how a result differs from what a case expects."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conformance import bases
from tests.conformance.case import Case
from tests.conformance.layout import Entry, Image, Tree, apply

DEFAULTS: dict[str, Any] = {"Env": [bases.PATH], "WorkingDir": "/"}
DIAGNOSTIC = re.compile(r"^error\[(?P<code>[\w.-]+)\]: (?P<message>.*)$", re.MULTILINE)
EXCERPT = re.compile(r"^ *\d* \| .*$", re.MULTILINE)  # lines of the Dockerfile, and carets
PLACE = re.compile(r"^ *--> .*:(?P<line>\d+):(?P<column>\d+)$", re.MULTILINE)


@functools.cache
def _base_tree(layer: bytes) -> Tree:
    tree: Tree = {}
    apply(layer, tree)
    return tree


def changes(image: Image, base: bytes) -> tuple[int, Tree, list[str]]:
    """Return the number of layers above the base, what the image has that the base has not, and what it lacks.

    A directory of which only the time differs counts as unchanged: writing into it does that.
    """
    known: Tree = {}
    layers = image.layers
    if layers and layers[0] == base:
        known, layers = _base_tree(base), layers[1:]
    tree = {path: dict(entry) for path, entry in known.items()}
    shared = _restore_hard_links(tree)
    for layer in layers:
        apply(layer, tree)
    described = {path: describe(entry) for path, entry in tree.items()}
    _name_hard_links(tree, described)
    before = {path: describe(entry) for path, entry in known.items()}
    for path, first in shared.items():
        before[path]["hardlink"] = first
    new = {}
    for path, entry in sorted(described.items()):
        old = before.get(path)
        if (
            old is None
            or _without_time(old) != _without_time(entry)
            or old["mtime"] != entry["mtime"]
        ):
            if (
                old is not None
                and entry["type"] == "directory"
                and _without_time(old) == _without_time(entry)
            ):
                continue
            new[path] = entry
    absent = sorted(path for path in before if path not in tree)
    return len(layers), new, [path for path in absent if path.rpartition("/")[0] not in absent]


def _restore_hard_links(tree: Tree) -> dict[str, str]:
    """Make names of one file share one entry again, after copying; return the later names."""
    later = {}
    for path, entry in sorted(tree.items()):
        first = entry.get("group")
        if first is not None and first != path:
            tree[path] = tree[first]
            later[path] = first
    return later


def _name_hard_links(tree: Tree, described: Tree) -> None:
    first: dict[int, str] = {}
    for path, entry in sorted(tree.items()):
        name = first.setdefault(id(entry), path)
        if name != path:
            described[path]["hardlink"] = name


def _without_time(entry: Entry) -> Entry:
    return {key: value for key, value in entry.items() if key != "mtime"}


def describe(entry: Entry) -> Entry:
    """Return an entry as `expect.toml` writes it."""
    found = {key: entry[key] for key in ("type", "mode", "link", "xattrs", "mtime") if key in entry}
    found["owner"] = f"{entry['uid']}:{entry['gid']}"
    if "data" in entry:
        data: bytes = entry["data"]
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = "\0"
        if len(text) <= 400 and "\0" not in text:
            found["text"] = text
        else:
            found["size"] = len(data)
            found["sha256"] = hashlib.sha256(data).hexdigest()
    return found


def settings(document: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of an image as `expect.toml` writes it: without what every image has."""
    found = dict(document.get("config", {}))
    if document.get("author"):
        found["author"] = document["author"]
    for key, value in DEFAULTS.items():
        if found.get(key) == value:
            del found[key]
        elif key not in found:
            found[key] = [] if isinstance(value, list) else ""
    return found


def judge_image(case: Case, image: Image, base: bytes) -> Iterator[str]:
    """Yield each difference between an image and what `case` expects."""
    expected = case.expected
    wanted = expected.get("config", {})
    found = settings(image.document)
    for key in sorted({*wanted, *found}):
        if wanted.get(key) != found.get(key):
            yield f"config {key}: expected {_shown(wanted, key)}, found {_shown(found, key)}"
    layers, tree, absent = changes(image, base)
    if layers != expected["layers"]:
        yield f"layers: expected {expected['layers']}, found {layers}"
    if absent != expected.get("absent", []):
        yield f"absent: expected {expected.get('absent', [])}, found {absent}"
    yield from _judge_tree(expected.get("tree", {}), tree)
    if "history" in expected:
        made = [_history(entry) for entry in image.document["history"]]
        if made != expected["history"]:
            yield f"history: expected {expected['history']}, found {made}"
    if "platform" in expected:
        parts = (image.document.get(key) for key in ("os", "architecture", "variant"))
        platform = "/".join(part for part in parts if part)
        if platform != expected["platform"]:
            yield f"platform: expected {expected['platform']}, found {platform}"


def _history(entry: dict[str, Any]) -> str:
    return ("(empty) " if entry.get("empty_layer") else "") + str(entry.get("created_by", ""))


def _judge_tree(wanted: Tree, found: Tree) -> Iterator[str]:
    for path in sorted({*wanted, *found}):
        if path not in found:
            yield f"{path}: missing"
        elif path not in wanted:
            yield f"{path}: not expected, found {found[path]}"
        else:
            actual = found[path]
            if "mtime" not in wanted[path]:
                actual = _without_time(actual)
            if actual != wanted[path]:
                yield f"{path}: expected {wanted[path]}, found {actual}"


def _shown(table: dict[str, Any], key: str) -> str:
    return repr(table[key]) if key in table else f"the default {DEFAULTS.get(key, '(nothing)')}"


def judge_error(case: Case, stderr: str) -> Iterator[str]:
    """Yield each difference between how a build failed and how `case` expects it to."""
    wanted = case.expected["error"]
    found = refusal(stderr)
    if found is None:
        yield f"expected {wanted['code']}, found no diagnostic:\n{stderr[-2000:]}"
        return
    for key in ("code", "line", "column"):
        allowed = wanted[key] if isinstance(wanted.get(key), list) else [wanted.get(key)]
        if key in wanted and found.get(key) not in allowed:
            yield f"{key}: expected {wanted[key]}, found {found.get(key)}"
    said = EXCERPT.sub("", stderr).lower()
    for word in wanted.get("words", ()):
        if word.lower() not in said:
            yield f"`{word}` is not in the message"


def refusal(stderr: str) -> dict[str, Any] | None:
    """Return code, line and column of the first error in what a build printed."""
    diagnostic = DIAGNOSTIC.search(stderr)
    if diagnostic is None:
        return None
    found: dict[str, Any] = {"code": diagnostic["code"], "message": diagnostic["message"]}
    following = DIAGNOSTIC.search(stderr, diagnostic.end())
    place = PLACE.search(stderr, diagnostic.end(), following.start() if following else len(stderr))
    if place is not None:
        found |= {"line": int(place["line"]), "column": int(place["column"])}
    return found


def json_of(text: str) -> dict[str, Any]:
    """Return the object that `text` is, or an empty one."""
    try:
        return dict(json.loads(text))
    except ValueError:
        return {}


def judge_directory(image: Image, rootfs: Path, *, owners: bool) -> Iterator[str]:
    """Yield each difference between an image and a tree that another program has unpacked."""
    tree = image.tree()
    found: set[str] = set()
    for folder, folders, files in os.walk(rootfs):
        for name in (*folders, *files):
            path = Path(folder, name)
            inside = "/" + str(path.relative_to(rootfs))
            found.add(inside)
            if inside not in tree:
                yield f"umoci has {inside}, which our reader has not"
                continue
            entry, state = tree[inside], path.lstat()
            if entry["type"] == "file" and "data" in entry and path.read_bytes() != entry["data"]:
                yield f"umoci reads other bytes in {inside}"
            if owners and (state.st_uid, state.st_gid) != (entry["uid"], entry["gid"]):
                yield f"umoci gives {inside} to {state.st_uid}:{state.st_gid}"
            mode = f"{stat.S_IMODE(state.st_mode):04o}"
            if owners and "mode" in entry and mode != entry["mode"]:
                yield f"umoci gives {inside} the mode {mode}"
    yield from (f"umoci lacks {path}" for path in sorted(set(tree) - found))
