"""Plain trees: what changed in one is found, and a layer laid on one gives what was there."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.errors import LayerError
from builder.layer.compare import DEEPEST, compare, record
from builder.layer.duplicate import duplicate
from builder.layer.entries import read_entries
from builder.layer.entry import Kind
from builder.layer.plain import stack_layer

Change = Callable[[Path], object]


def grown(root: Path) -> Path:
    """Make a tree with something of everything."""
    (root / "d/e").mkdir(parents=True)
    (root / "d/f").write_text("one")
    (root / "d/e/g").write_text("two")
    (root / "a").write_text("1234")
    os.link(root / "a", root / "b")
    (root / "l").symlink_to("a")
    os.mkfifo(root / "p")
    (root / "d").chmod(0o2750)
    os.utime(root / "d", (1_000_000_000, 1_000_000_000))
    return root


def replace_keeping_times(root: Path) -> None:
    status = (root / "d/f").stat()
    (root / "d/f").write_text("two")
    os.utime(root / "d/f", ns=(status.st_atime_ns, status.st_mtime_ns))


def change_kinds(root: Path) -> None:
    (root / "l").unlink()
    (root / "l").mkdir()
    (root / "l/x").write_text("x")
    (root / "d/e/g").unlink()
    (root / "d/e").rmdir()
    (root / "d/e").write_text("was a directory")


def make_again(root: Path) -> None:
    (root / "d/e/g").unlink()
    (root / "d/e").rmdir()
    (root / "d/e").mkdir()
    (root / "d/e/new").write_text("new")


CHANGES: list[Change] = [
    lambda root: None,
    lambda root: (root / "new").write_text("new"),
    lambda root: (root / "d/f").unlink(),
    lambda root: (root / "d/f").chmod(0o600),
    lambda root: (root / "d/e").chmod(0o700),
    lambda root: (root / "d").rename(root / "moved"),
    lambda root: os.link(root / "b", root / "c"),
    lambda root: (root / "a").write_text("5678"),
    lambda root: (root / "l").rename(root / "d/l"),
    replace_keeping_times,
    change_kinds,
    make_again,
]


def seen(root: Path) -> dict[str, tuple[object, ...]]:
    """Return all that a layer says of a tree; the names that share a file are told by the first of them."""
    found: dict[str, tuple[object, ...]] = {}
    first: dict[int, str] = {}
    for path in sorted(root.rglob("*")):
        status, name = path.lstat(), str(path.relative_to(root))
        content = path.read_text() if stat.S_ISREG(status.st_mode) else ""
        target = os.readlink(path) if path.is_symlink() else ""
        same = first.setdefault(status.st_ino, name)
        found[name] = (status.st_mode, int(status.st_mtime), content, target, same)
    return found


def layer_of(tmp_path: Path, change: Change, **options: object) -> tuple[Path, Path]:
    """Change a tree; return where it is, and where the tar of the layer is."""
    tree = tmp_path / "tree"
    tree.mkdir()
    grown(tree)
    duplicate(str(tree), str(made(tmp_path / "before")))
    record(str(tree), str(tmp_path / "listing"))
    change(tree)
    entries, tar = tmp_path / "entries", tmp_path / "layer.tar"
    compare(str(tree), str(tmp_path / "listing"), entries_path=str(entries), tar=str(tar))
    return tree, tar


def made(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.parametrize("change", CHANGES)
def test_the_layer_of_a_change_laid_on_what_was_gives_what_is(
    tmp_path: Path, change: Change
) -> None:
    tree, tar = layer_of(tmp_path, change)
    before = tmp_path / "before"
    request = {
        "blob": str(tar),
        "compression": "none",
        "tree": str(before),
        "beside": str(tmp_path / "beside"),
        "entries_path": str(tmp_path / "again"),
    }
    stack_layer(request, (), lambda report: None)
    assert seen(before) == seen(tree)
    assert not (tmp_path / "beside").exists()


def test_nothing_changed_gives_an_empty_layer(tmp_path: Path) -> None:
    layer_of(tmp_path, lambda root: (root / "a").read_text())
    assert list(read_entries(str(tmp_path / "entries"))) == []


def test_a_change_that_hides_behind_its_old_time_is_found(tmp_path: Path) -> None:
    layer_of(tmp_path, replace_keeping_times)
    assert [entry.path for entry in read_entries(str(tmp_path / "entries"))] == [b"d/f"]


def test_names_that_share_a_file_share_it_in_the_layer(tmp_path: Path) -> None:
    layer_of(tmp_path, lambda root: (root / "a").write_text("5678"))
    found = [(entry.path, entry.kind) for entry in read_entries(str(tmp_path / "entries"))]
    assert found == [(b"a", Kind.FILE), (b"b", Kind.HARDLINK)]


def test_what_was_out_of_reach_meanwhile_is_not_a_change(tmp_path: Path) -> None:
    tree = made(tmp_path / "tree")
    (tree / "f").write_text("f")
    record(str(tree), str(tmp_path / "listing"))
    (tree / "f").rename(tmp_path / "f")
    (tmp_path / "f").rename(tree / "f")
    moved = frozenset({(tree / "f").stat().st_ino})
    times = (tree.stat().st_atime_ns, tree.stat().st_mtime_ns)
    os.utime(tree, ns=times)
    entries, tar = str(tmp_path / "entries"), str(tmp_path / "tar")
    listing = str(tmp_path / "listing")
    scan = compare(str(tree), listing, entries_path=entries, tar=tar, moved=moved)
    assert scan.count == 0
    scan = compare(str(tree), listing, entries_path=entries, tar=tar)
    assert scan.count == 1


def test_a_tree_that_is_too_deep_is_refused(tmp_path: Path) -> None:
    tree = made(tmp_path / "tree")
    path = tree / "/".join("d" * (DEEPEST + 2))
    path.mkdir(parents=True)
    with pytest.raises(LayerError, match="nested") as caught:
        record(str(tree), str(tmp_path / "listing"))
    assert caught.value.code == "layer.too-large"


def test_a_copy_has_all_that_is_to_be_known_of_a_tree(tmp_path: Path) -> None:
    tree, copy = grown(made(tmp_path / "tree")), made(tmp_path / "copy")
    os.setxattr(tree / "a", "user.mark", b"kept")
    os.utime(tree / "d/e", (5, 5))
    duplicate(str(tree), str(copy))
    assert seen(copy) == seen(tree)
    assert os.getxattr(copy / "b", "user.mark") == b"kept"
