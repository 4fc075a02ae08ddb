"""`lapstrake prune` after real builds, as root and as an ordinary user."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.product import Product

DOCKERFILE = """\
FROM box AS tools
RUN echo tool > /tool && mkdir -m 0700 /private && chown 5:5 /private
COPY version.txt /version
RUN mkdir /out && cat /tool /version > /out/app

FROM box AS scrap
RUN dd if=/dev/zero of=/scrap bs=1M count=3

FROM box
RUN echo runtime > /runtime
COPY --from=tools /out /app
CMD cat /app/app
"""


@pytest.fixture
def context(product: Product, ours: Path) -> Iterator[Path]:
    """A context with several stages; what was built from it is removed afterwards."""
    (ours / "Dockerfile").write_text(DOCKERFILE)
    (ours / "version.txt").write_text("1\n")
    os.chmod(ours / "version.txt", 0o644)
    os.chmod(ours / "Dockerfile", 0o644)
    yield ours
    product.run("rmi", "-f", "app")
    product.run("prune", "-f")


def disk(product: Product) -> int:
    """Return the bytes of the blocks in the rooms of the store."""
    found = (
        path for room in ("blobs", "entries", "layers") for path in (product.root / room).rglob("*")
    )
    return sum(path.lstat().st_blocks * 512 for path in found)


def test_an_image_that_was_kept_is_still_wholly_cached(product: Product, context: Path) -> None:
    product.run("prune", "-f")  # what other tests of this store left
    product.build(context, "-t", "app")
    product.build(context, "--target", "scrap")
    before = disk(product)
    said = product.run("prune", "-f").stdout.splitlines()
    assert [line.partition(" ")[0] for line in said] == ["Deleted:"] * 3 + ["Total"]
    assert said[1:3] == ["Deleted: 1 cache record", "Deleted: 1 layer"]
    assert before - disk(product) >= 3 << 20
    assert "all 5 steps were cached" in product.build(context, "-t", "app").stderr
    assert product.run("run", "app").stdout == "tool\n1\n"
    assert product.run("prune", "-f").stdout == "Total reclaimed space: 0B\n"


def test_a_build_after_prune_makes_again_what_is_gone(product: Product, context: Path) -> None:
    product.build(context, "-t", "app")
    first = product.inspect("app")["Id"]
    assert product.run("rmi", "app").stdout.splitlines() == [
        "Untagged: app:latest",
        f"Deleted: {first}",
    ]
    product.run("prune", "-f")
    assert "0 of 5 steps were cached" in product.build(context, "-t", "app").stderr
    assert product.run("run", "app").stdout == "tool\n1\n"


def test_what_a_new_version_replaced_goes(product: Product, context: Path) -> None:
    product.build(context, "-t", "app")
    (context / "version.txt").write_text("2\n")
    product.build(context, "-t", "app")
    said = product.run("prune", "-f").stdout
    assert "Deleted: sha256:" in said
    assert "all 5 steps were cached" in product.build(context, "-t", "app").stderr
    (context / "version.txt").write_text("1\n")
    assert "all 5 steps" not in product.build(context, "-t", "app").stderr
    assert product.run("run", "app").stdout == "tool\n1\n"
