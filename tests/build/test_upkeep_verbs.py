"""`df`, `store check`, `system reset` and their other names, as root and as an ordinary user."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.busybox_base import find_busybox, write_busybox_base
from tests.support.product import Product
from tests.support.unprivileged import public_directory

DOCKERFILE = """\
FROM box
RUN --mount=type=cache,target=/c echo kept > /c/file
RUN mkdir -m 0700 /private && chown 5:5 /private && dd if=/dev/zero of=/private/big bs=1M count=2
"""


@pytest.fixture
def alone(product: Product) -> Iterator[Product]:
    """The product with a store of this test's own, in which something has been built."""
    busybox = find_busybox()
    assert busybox is not None
    with public_directory("lapstrake-upkeep-", owner=product.person) as ground:
        own = Product(product.programs, ground / "store", product.person)
        box = write_busybox_base(ground / "box.tar", busybox)
        os.chmod(box, 0o644)
        own.run("import", box, "box")
        (ground / "context").mkdir()
        (ground / "context/Dockerfile").write_text(DOCKERFILE)
        os.chmod(ground / "context", 0o755)
        own.run("build", "-t", "app", ground / "context")
        yield own


def test_the_disk_is_measured_by_either_name(alone: Product) -> None:
    found = json.loads(alone.run("df", "--json").stdout)
    sizes = [path.lstat() for path in (alone.root, *alone.root.rglob("*"))]
    on_disk = sum({each.st_ino: each.st_blocks * 512 for each in sizes}.values())
    own = 100_000  # what an open index and the command itself take meanwhile
    assert on_disk <= found["bytes"] < on_disk + own
    assert [each["id"] for each in found["cache_mounts"]] == ["/c"]
    assert max(each["bytes"] for each in found["steps"]) > 2 << 20
    assert {each["project"] for each in found["projects"]} == {str(alone.root.parent / "context")}
    lines = alone.run("system", "df", "-v").stdout.splitlines()
    assert lines[0].split() == ["TYPE", "TOTAL", "SIZE", "RECLAIMABLE"]
    assert any(line.startswith("app:latest ") for line in lines)


def test_a_whole_store_is_checked_and_a_damaged_one_is_mended(alone: Product) -> None:
    assert alone.run("store", "check").stdout.endswith(": all is well\n")
    (big,) = alone.root.rglob("big")
    big.write_bytes(b"other")
    said = alone.run("store", "check", code=1).stdout
    assert "its layer" in said
    document = json.loads(alone.run("store", "check", "--json", code=1).stdout)
    assert [each["kind"] for each in document["problems"]] == [
        "directory",
        "layer",
        "record",
        "image",
    ]
    alone.run("store", "check", "--repair")
    assert alone.run("store", "check").stdout.endswith(": all is well\n")
    done = alone.run("build", "-t", "app", alone.root.parent / "context")
    assert "1 of 2 steps" in done.stderr


def test_reset_removes_everything_whoever_owns_it_but_what_others_put_there(alone: Product) -> None:
    assert "this is not a terminal" in alone.run("system", "reset", code=125).stderr
    assert alone.run("images").stdout.count("\n") == 3
    (alone.root / "note").write_text("somebody's")
    assert alone.run("system", "reset", "-f").stdout.startswith(f"Removed {alone.root}\n")
    assert os.listdir(alone.root) == ["note"]
    (alone.root / "note").unlink()
    assert alone.run("images").stdout.count("\n") == 1
    alone.run("system", "reset", "-f")
    assert not alone.root.exists()


def test_what_nobody_uses_is_pruned_by_either_name(alone: Product) -> None:
    context = Path(alone.root.parent / "context")
    (context / "Dockerfile").write_text("FROM box\nLABEL keep=yes\nRUN echo other > /other\n")
    alone.run("build", context)
    said = alone.run("system", "prune", "--dry-run", "--filter", "label!=keep").stdout
    assert said == "Space that would be reclaimed: 0B\n"
    said = alone.run("prune", "-f", "--filter", "label=keep=yes").stdout
    assert said.startswith("Deleted: sha256:")
    assert "cache" not in said
    said = alone.run("prune", "--dry-run", "--cache-mounts").stdout
    assert said.startswith("Would be deleted: 1 cache mount\n")
    said = alone.run("system", "prune", "-f", "--filter", "until=24h").stdout
    assert said == "Total reclaimed space: 0B\n"
    said = alone.run("prune", "-f", "--filter", "type=exec.cachemount").stdout
    assert said.startswith("Deleted: 1 cache mount\n")
    said = alone.run("prune", "-f").stdout
    assert said.startswith("Deleted: 1 cache record\nDeleted: 1 layer\n")
    assert "all 2 steps" in alone.run("build", "-t", "app", _first(context)).stderr


def _first(context: Path) -> Path:
    (context / "Dockerfile").write_text(DOCKERFILE)
    return context


@pytest.mark.parametrize("damage", ["index", "header"])
def test_reset_removes_a_store_that_cannot_be_opened(alone: Product, damage: str) -> None:
    root = Path(alone.root)
    if damage == "index":
        for path in root.glob("index.db*"):
            path.unlink()
        (root / "index.db").write_bytes(b"this is no index")
    else:
        (root / "store.json").unlink()
    assert alone.run("images", code=1).stderr.startswith("error[store.")
    assert alone.run("system", "reset", "-f").stdout.startswith(f"Removed {alone.root}\n")
    assert not root.exists()


def test_reset_removes_nothing_that_was_never_a_store(alone: Product) -> None:
    other = Path(alone.root).parent / "other"
    other.mkdir()
    for name in ("lock", "index.db"):
        (other / name).write_text("somebody's")
    os.chown(other, alone.person.uid, alone.person.gid)
    said = alone.run("--root", other, "system", "reset", "-f", code=1)
    assert said.stderr.startswith("error[store.")
    assert {(other / name).read_text() for name in ("lock", "index.db")} == {"somebody's"}
