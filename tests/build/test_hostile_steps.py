"""A Dockerfile whose every step attacks, built as root and as an ordinary user: nothing outside changes, nothing gets out."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.build.images import Image
from tests.support.product import Product
from tests.support.unprivileged import public_directory
from tests.support.victim import compile_attack, fingerprint, make_victim


@pytest.fixture
def ground(product: Product) -> Iterator[Path]:
    """A directory of the user's, with a context that has the program of attacks."""
    with public_directory("lapstrake-hostile-", owner=product.person) as place:
        (place / "context").mkdir()
        compile_attack(place / "context/attack")
        yield place


@pytest.fixture
def victim(ground: Path, product: Product) -> Iterator[Path]:
    """A directory of the host's that the user may change, the same after the test as before."""
    place = make_victim(ground / "victim-of-the-host")
    for path in (place, *place.rglob("*")):
        os.lchown(path, product.person.uid, product.person.gid)
    before = fingerprint(place)
    yield place
    assert fingerprint(place) == before


def build(product: Product, ground: Path, dockerfile: str, *words: str, code: int = 0) -> str:
    """Build a Dockerfile; return what was said."""
    (ground / "context/Dockerfile").write_text(f"FROM box\nCOPY attack /bin/attack\n{dockerfile}")
    return product.run("build", "--progress", "plain", *words, ground / "context", code=code).stderr


def test_what_one_step_leaves_the_next_does_not_follow(
    product: Product, ground: Path, victim: Path
) -> None:
    archive = ground / "image.tar"
    build(
        product,
        ground,
        f"""
RUN ln -s {victim} /link && ln -s {victim}/below /d && mkdir /e && ln -s {victim}/below /e/l
RUN ["/bin/busybox", "rm", "-rf", "/link/passwd", "/d/file", "/e/l/file"]
COPY attack /link/attack
COPY attack /d/
ADD attack /e/l/attack
WORKDIR /link/made/by/us
RUN ["/bin/busybox", "touch", "here"]
""",
        *("--output", f"type=oci,dest={archive}"),
    )
    here = str(victim).lstrip("/")
    tree = Image(archive).tree
    assert {f"{here}/attack", f"{here}/below/attack", f"{here}/made/by/us/here"} <= set(tree)


def test_marks_of_the_overlay_leave_no_layer(product: Product, ground: Path) -> None:
    archive = ground / "image.tar"
    said = build(
        product,
        ground,
        """
RUN mkdir /marked && touch /marked/kept && /bin/attack xattrs /marked; mknod /null c 0 0; ls /null; true
RUN ls /marked/kept && cat /etc/passwd
""",
        *("--output", f"type=oci,dest={archive}"),
    )
    assert "reached" not in said
    layers = Image(archive).layers
    attributes = {name for layer in layers for node in layer.values() for name in node.xattrs}
    assert not {name for name in attributes if "overlay" in name}
    assert not any("null" in layer for layer in layers)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("USER 4294967296", "build.start-failed"),
        ("USER 4294967295", "build.start-failed"),
        ("USER -1", "build.start-failed"),
        ("USER 0:4294967296", "build.start-failed"),
        ("USER 99999999999999999999999999", "build.start-failed"),
        ("RUN echo '4294967296:x:0:0::/:' >> /etc/passwd\nUSER 4294967296", "build.start-failed"),
        ("RUN echo 'u:x:4294967296:0::/:' >> /etc/passwd\nUSER u", "build.start-failed"),
        ("RUN rm /etc/passwd; mkfifo /etc/passwd\nUSER ann", "build.start-failed"),
        ("RUN rm /etc/passwd; ln -s /dev/zero /etc/passwd\nUSER ann", "build.start-failed"),
        ("WORKDIR /proc/self/fd/9", None),
        ("WORKDIR /proc/self/fd/9/../..", None),
        ("WORKDIR /proc/1/root", None),
    ],
)
def test_users_and_directories_that_cannot_be_end_the_build_or_stay_inside(
    product: Product, ground: Path, victim: Path, line: str, code: str | None
) -> None:
    dockerfile = f"{line}\nRUN /bin/attack up {victim} && echo got-out\n"
    (ground / "context/Dockerfile").write_text(f"FROM box\nCOPY attack /bin/attack\n{dockerfile}")
    ran = product.run("build", "--progress", "plain", ground / "context", code=None)
    assert ran.returncode != 0
    assert "got-out\n" not in ran.stderr.replace("&& echo got-out\n", "")
    assert "reached:" not in ran.stderr
    assert "Traceback" not in ran.stderr
    if code is not None:
        assert code in ran.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="optional: becoming somebody else needs root")
def test_set_id_files_of_a_step_are_out_of_reach_of_others(product: Product, ground: Path) -> None:
    build(product, ground, "RUN cp /bin/attack /set-id && chmod 6755 /set-id\n")
    found = [path for path in product.root.rglob("set-id") if path.is_file()]
    assert found
    for path in found:
        # By way of a shell: the program that changes the user still has root's rights when it executes.
        tried = subprocess.run(
            ["/bin/sh", "-c", '"$0" up /etc', path],
            user=65534,
            group=65534,
            extra_groups=(),
            capture_output=True,
            text=True,
        )
        assert tried.returncode != 0
        assert "Permission denied" in tried.stderr
