"""Shared caches on the command line, as root and as an ordinary user, each with two stores."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.build.test_as_root_and_without import DOCKERFILE
from tests.support.product import Product

CACHE = "type=local,{}={}/cache{}"


def another(product: Product, ours: Path) -> Product:
    """The product with another store of the same user, that has the same base."""
    other = Product(product.programs, ours / "store", product.person, product.prefix)
    product.run("save", "-o", ours / "box.tar", "box")
    other.run("load", "-i", ours / "box.tar")
    return other


@pytest.mark.parametrize("mode", ["min", "max"])
def test_another_store_executes_nothing_and_has_the_same_image(
    product: Product, ours: Path, mode: str
) -> None:
    context = ours / "context"
    (context / "d").mkdir(parents=True)
    (context / "d" / "file").write_text("file\n")
    (context / "Dockerfile").write_text(DOCKERFILE)
    give = CACHE.format("dest", ours, f",mode={mode},required")
    take = CACHE.format("src", ours, "")
    product.build(context, "--cache-to", give, "-t", "shared", "--no-cache")
    other = another(product, ours)
    built = other.build(context, "--cache-from", take, "-t", "shared")
    assert "warning" not in built.stderr
    assert "all 12 steps were cached" in built.stderr
    assert other.inspect("shared")["Id"] == product.inspect("shared")["Id"]
    assert other.run("run", "--rm", "shared", "cat", "/owned/file").stdout == "file\n"


@pytest.mark.parametrize(
    ("flag", "word", "said"),
    [
        ("--cache-from", "type=gha", "type=gha` is not available in this version"),
        ("--cache-from", "type=local", "lacks a place"),
        ("--cache-from", "type=local,dest=x", "`dest` is not known"),
        ("--cache-from", "type=inline", "read by the name of the image"),
        ("--cache-from", "type=registry,ref=a@sha256:" + "0" * 64, "names a digest"),
        ("--cache-to", "type=locl,dest=x", "did you mean `local`"),
        ("--cache-to", "ref=x", "lacks a type"),
        ("--cache-to", "type=local,dest=x,mode=all", "mode=min or mode=max"),
        ("--cache-to", "type=local,dest=x,ref=y", "`ref` does not go with type=local"),
        ("--cache-to", "type=local,dest=x,compression=lzma", "use gzip, zstd or uncompressed"),
        ("--cache-to", "type=registry,ref=x,oci-mediatypes=false", "is not available"),
        ("--cache-to", "type=local,dest=x,required=maybe", "neither true nor false"),
        ("--cache-to", "type=local,dest=x,max-mount-size=much", "is no size"),
    ],
)
def test_words_that_cannot_be_meant_are_refused_by_name(
    product: Product, ours: Path, flag: str, word: str, said: str
) -> None:
    done = product.run("build", flag, word, ours, code=125)
    assert said in done.stderr


def test_cache_mounts_go_along_with_owners_and_modes(product: Product, ours: Path) -> None:
    context = ours / "context"
    context.mkdir()
    mount = "RUN --mount=type=cache,id=shared-between-stores,target=/c"
    (context / "Dockerfile").write_text(
        f"FROM box\n{mount} echo a > /c/a && chown 3:4 /c/a && chmod 4750 /c/a && mkdir -m 1777 /c/d\n"
    )
    give = CACHE.format("dest", ours, ",mounts=shared-between-stores,required")
    product.build(context, "--no-cache", "--cache-to", give)
    other = another(product, ours)
    (context / "Dockerfile").write_text(f"FROM box\n{mount} stat -c '%n %a %u %g' /c/a /c/d\n")
    take = CACHE.format("src", ours, ",mounts=all")
    built = other.build(context, "--cache-from", take)
    assert "/c/a 4750 3 4" in built.stderr
    assert "/c/d 1777 0 0" in built.stderr


def test_a_user_with_one_id_takes_what_root_of_a_namespace_made(
    product: Product, ours: Path
) -> None:
    if product.person.uid == 0:
        pytest.skip("root has all ids")
    context = ours / "context"
    (context / "d").mkdir(parents=True)
    (context / "d" / "file").write_text("file\n")
    (context / "Dockerfile").write_text(DOCKERFILE)
    product.build(context, "--no-cache", "-t", "one", "--cache-to", CACHE.format("dest", ours, ""))
    other = another(product, ours)
    single = Product(
        other.programs, other.root, other.person, ("env", "LAPSTRAKE_ISOLATION=single-id")
    )
    built = single.build(context, "-t", "one", "--cache-from", CACHE.format("src", ours, ""))
    assert "all 12 steps were cached" in built.stderr
    assert single.inspect("one")["Id"] == product.inspect("one")["Id"]
