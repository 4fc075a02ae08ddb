"""`lapstrake debug` and `build --on-fail`, as they are typed, as root and as an ordinary user."""

from __future__ import annotations

import os
import pty
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.build.test_run_verb import Somebody, started
from tests.support.product import Product

DOCKERFILE = """FROM box
WORKDIR /work
RUN echo one > one
RUN --mount=type=cache,target=/cache echo $$ > /cache/it; mkdir -m 0 closed; chown 7:8 closed; exit 3
"""


@pytest.fixture
def failing(ours: Path) -> Path:
    """A context whose last step fails."""
    (ours / "Dockerfile").write_text(DOCKERFILE)
    return ours


@pytest.fixture
def terminal() -> Iterator[tuple[Somebody, int]]:
    """Somebody, and the descriptor of the terminal at which they sit."""
    outer, inner = pty.openpty()
    yield Somebody(outer), inner
    os.close(outer)
    os.close(inner)


@pytest.mark.parametrize("isolation", ["auto", "single-id"])
def test_what_a_failed_step_wrote_is_kept_and_shown(
    product: Product, failing: Path, isolation: str
) -> None:
    if isolation == "single-id":
        prefix = ("env", f"LAPSTRAKE_ISOLATION={isolation}")
        other = Product(
            product.programs, product.root.with_name("debug-one-id"), product.person, prefix
        )
        archive = product.root.with_name("box-for-debug.tar")
        product.run("save", "-o", archive, "box")
        other.run("load", "-i", archive)
        product = other
    done = product.run("build", "--keep-failed", failing, code=1)
    assert "= hint: to look around, run `lapstrake debug`" in done.stderr
    script = "pwd; ls; test -s /cache/it && stat -c '%a %u %g' closed"
    looked = product.run("debug", "--", "sh", "-c", script)
    owner = "7 8" if isolation == "auto" else "0 0"  # of one id alone, steps see no others
    assert looked.stdout == f"/work\nclosed\none\n0 {owner}\n"
    assert product.run("debug", stdin="ls\nexit 6\n", code=6).stdout == "closed\none\n"
    assert product.run("debug", ":3", "--", "ls").stdout == "one\n"
    assert os.listdir(product.root / "active") == []


def test_the_environment_asks_for_keeping_too(product: Product, failing: Path) -> None:
    (failing / "Dockerfile").write_text("FROM box\nRUN echo kept > /kept; exit 1\n")
    prefix = ("env", "LAPSTRAKE_KEEP_FAILED=1")
    asking = Product(product.programs, product.root, product.person, prefix)
    asking.run("build", failing, code=1)
    assert product.run("debug", "--", "cat", "/kept").stdout == "kept\n"


def test_a_shell_follows_a_failure_at_once_and_leaves_nothing(
    product: Product, failing: Path, terminal: tuple[Somebody, int]
) -> None:
    somebody, inner = terminal
    streams = {"stdin": inner, "stdout": inner, "stderr": inner}
    product.run("build", failing, code=1)
    done = product.run("info").stdout.partition("Layers: ")[2].split()[0]
    with started(product, "build", "--on-fail", "shell", str(failing), **streams) as it:
        somebody.see(b"exited with code 3")
        somebody.see(b"/work # ")
        somebody.type(b"ls -d closed; tty; exit 5\r")
        somebody.see(b"\r\nclosed\r\n/dev/pts/0\r\n")
        assert it.wait(timeout=10) == 1, "the build has failed, whatever the shell ended with"
    assert product.run("info").stdout.partition("Layers: ")[2].split()[0] == done


def test_a_shell_is_refused_where_nobody_could_type(product: Product, failing: Path) -> None:
    refused = product.run("build", "--on-fail", "shell", failing, code=125)
    assert "needs a terminal" in refused.stderr
    assert "--on-fail=keep" in refused.stderr


def test_debug_opens_a_terminal(
    product: Product, failing: Path, terminal: tuple[Somebody, int]
) -> None:
    somebody, inner = terminal
    product.run("build", "--on-fail=keep", failing, code=1)
    streams = {"stdin": inner, "stdout": inner, "stderr": inner}
    with started(product, "debug", **streams) as it:
        somebody.see(b"as it left them when it failed")
        somebody.see(b"/work # ")
        somebody.type(b"echo $TERM; ls\r")
        somebody.see(b"xterm\r\n")
        somebody.see(b"closed")
        somebody.type(b"exit 4\r")
        assert it.wait(timeout=10) == 4


def test_without_walls_a_shell_does_without_a_terminal(
    products: dict[str, Product], ours: Path, terminal: tuple[Somebody, int], product: Product
) -> None:
    if product is not products.get("root"):
        pytest.skip("optional: `chroot` needs root")
    somebody, inner = terminal
    prefix = ("env", "LAPSTRAKE_ISOLATION=chroot")
    bare = Product(product.programs, product.root.with_name("bare"), product.person, prefix)
    archive = product.root.with_name("box-for-bare.tar")
    product.run("save", "-o", archive, "box")
    bare.run("load", "-i", archive)
    (ours / "Dockerfile").write_text("FROM box\nWORKDIR /work\nRUN echo > two; exit 3\n")
    bare.run("build", "--keep-failed", ours, code=1)
    with started(bare, "debug", stdin=inner, stdout=inner, stderr=inner) as it:
        somebody.see(b"without walls there is no terminal")
        somebody.see(b"/work # ")
        somebody.type(b"ls; exit 4\r")
        somebody.see(b"\r\ntwo\r\n")
        assert it.wait(timeout=10) == 4
