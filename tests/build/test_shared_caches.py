"""Shared caches on the command line, as root and as an ordinary user, each with two stores."""

from __future__ import annotations

import subprocess
import time
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


def test_a_killed_export_leaves_the_cache_usable(product: Product, ours: Path) -> None:
    """Killed when one more file is in the cache than the time before."""
    if product.person.uid != 0:
        pytest.skip("the program is started without changing users, as root")
    context = ours / "context"
    context.mkdir()
    lines = "".join(f"RUN echo {n} > /file-{n}\n" for n in range(6))
    (context / "Dockerfile").write_text(f"FROM box\n{lines}")
    give = CACHE.format("dest", ours, ",mode=max,required")
    for count in range(1, 12, 2):
        command = product.command("build", "-q", "--no-cache", "--cache-to", give, context)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None and files(ours / "cache") < count:
                time.sleep(0.002)
            process.kill()
    other = another(product, ours)
    take = CACHE.format("src", ours, "")
    built = other.build(context, "--cache-from", take, "--cache-to", give)
    assert "warning" not in built.stderr
    third = Product(product.programs, ours / "third", product.person)
    third.run("load", "-i", ours / "box.tar")
    assert "all 6 steps were cached" in third.build(context, "--cache-from", take).stderr


def files(cache: Path) -> int:
    """Count the finished files of a cache."""
    return len([path for path in cache.rglob("*") if path.is_file() and path.suffix != ".partial"])
