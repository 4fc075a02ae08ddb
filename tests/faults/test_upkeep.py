"""`prune` and `store check --repair` that are killed or find the disk full: what has a name stays whole."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.ground import Content, Setting, content, index_rows, litter, nothing_left
from tests.faults.small_disk import SmallDisk, small_disk
from tests.faults.test_full_disk import with_dockerfile
from tests.faults.test_killed import PROGRAM
from tests.support.product import Product, report
from tests.support.trees import differences

PRUNE = ("prune", "--force")
REPAIR = ("store", "check", "--repair")


@pytest.fixture
def program(ground: Path) -> Path:
    """Return the program that kills itself, where every user can read it."""
    target = ground / PROGRAM.name
    shutil.copyfile(PROGRAM, target)
    target.chmod(0o644)
    return target


@pytest.fixture
def filled(setting: Setting) -> Setting:
    """Return a store with an image, and with much that no image needs."""
    setting.build()
    words = ("build", "--no-cache", "--label", "other=yes", setting.context)
    setting.product.run(*words)
    rest = setting.root.parent / f"{setting.root.name}.context"
    rest.mkdir()
    run = "RUN --mount=type=cache,target=/c echo more > /more && echo kept > /c/file"
    (rest / "Dockerfile").write_text(f"FROM scratch\nCOPY Dockerfile /a\nFROM p\n{run}\n")
    (rest / "Dockerfile").chmod(0o644)
    setting.product.run("build", rest)
    shutil.rmtree(rest)
    return setting


def copies(filled: Setting, count: int) -> Iterator[Setting]:
    """Yield copies of a store, each removed after its use."""
    for number in range(count):
        each = filled.with_root(filled.root.with_name(f"{filled.root.name}-{number}"))
        subprocess.run(["cp", "-a", filled.root, each.root], check=True)
        yield each
        each.forget()


def killed(setting: Setting, program: Path, point: int, words: tuple[str, ...]) -> list[str]:
    """Run a command that is killed at a point; return the points that it came to."""
    trace = setting.root.parent / f"{setting.root.name}.trace"
    trace.unlink(missing_ok=True)
    python = setting.product.programs / "python"
    argv = setting.product.command(*words)[1:]
    started = setting.start(python, program, str(point), trace, *argv)
    _, said = started.communicate(timeout=60)
    assert started.returncode in {0, 1, -signal.SIGKILL}, said  # 1: something cannot be mended
    reached = trace.read_text().splitlines()
    trace.unlink()
    return reached


def is_whole(setting: Setting, undisturbed: Content) -> None:
    """Check that the image is as it was, and the store in order."""
    nothing_left(setting.root)
    done = setting.product.run("store", "check", code=None)
    problems = [line for line in done.stdout.splitlines()[:-1] if not line.startswith("leftover")]
    assert problems == [], report(done)
    assert "all 8 steps were cached" in setting.build().stderr
    assert differences(undisturbed.tree, content(setting.archive).tree) == []
    assert litter(setting.root) == []


def test_what_has_a_name_is_whole_after_a_prune_that_was_killed(
    filled: Setting, user: str, program: Path, undisturbed: dict[str, Content]
) -> None:
    (count,) = [len(killed(each, program, 0, PRUNE)) for each in copies(filled, 1)]
    share = range(1, count + 1, max(1, count // (12 if user == "root" else 4)))
    for point, each in zip(share, copies(filled, len(share)), strict=True):
        killed(each, program, point, PRUNE)
        is_whole(each, undisturbed[user])
        each.product.run(*PRUNE)
        is_whole(each, undisturbed[user])
        rows = index_rows(each.root, "SELECT name FROM directories")
        assert len(rows) == len(os.listdir(each.root / "layers"))


def spoil(setting: Setting) -> None:
    """Damage a layer of a step, and a blob."""
    (big,) = (setting.root / "layers").glob("*/fs/in/tree/deep/big")
    big.write_bytes(b"other" * 1000)
    ((digest,),) = index_rows(setting.root, "SELECT digest FROM blobs WHERE pulled = 1")
    path = setting.root / "blobs/sha256" / str(digest).partition(":")[2]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def test_a_repair_that_was_killed_is_finished_by_the_next(
    setting: Setting, user: str, program: Path, undisturbed: dict[str, Content]
) -> None:
    setting.build()
    spoil(setting)
    (count,) = [len(killed(each, program, 0, REPAIR)) for each in copies(setting, 1)]
    share = range(1, count + 1, max(1, count // (12 if user == "root" else 4)))
    for point, each in zip(share, copies(setting, len(share)), strict=True):
        killed(each, program, point, REPAIR)
        nothing_left(each.root)
        said = each.product.run(*REPAIR, code=None).stdout
        # What was built stays, though it cannot be sent before its base is pulled again.
        assert "can be shown to a step, but not be sent" in said
        each.build()
        assert ": all is well" in each.product.run("store", "check").stdout
        assert differences(undisturbed[user].tree, content(each.archive).tree) == []
        assert litter(each.root) == []


@pytest.fixture
def disk(user: str, products: dict[str, Product]) -> Iterator[SmallDisk]:
    """Return a small disk that the user may write to."""
    product = products[user]
    place = product.root / "small-upkeep"
    place.mkdir(exist_ok=True)
    with small_disk(place, product.person.uid) as made:
        yield made


@pytest.mark.parametrize("leave", [0, 4096, 65536])
def test_a_prune_on_a_full_disk_gives_room_back_and_keeps_what_has_a_name(
    leave: int, disk: SmallDisk, setting: Setting, user: str, undisturbed: dict[str, Content]
) -> None:
    small = disk.setting(setting)
    small.build()
    other = with_dockerfile(setting, "RUN dd if=/dev/urandom of=/big bs=1k count=1000")
    small.product.run("build", other.context)
    disk.fill(leave)
    before = os.statvfs(disk.seen).f_bavail
    small.product.run(*PRUNE)
    assert os.statvfs(disk.seen).f_bavail > before
    small.product.run("df")
    assert ": all is well" in small.product.run("store", "check").stdout
    disk.free()
    assert "all 8 steps were cached" in small.build().stderr
    assert differences(undisturbed[user].tree, content(small.archive).tree) == []
