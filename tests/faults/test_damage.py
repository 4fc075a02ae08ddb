"""Parts of a store that are damaged or gone: made again, or said in one diagnostic; never a wrong image."""

from __future__ import annotations

import os
import random
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.ground import STEPS, TIME, Content, Setting, content, write_context
from tests.support.product import Product, report
from tests.support.trees import differences

Damage = Callable[[Path], None]

PAGE = 4096


@pytest.fixture(scope="session")
def kept(products: dict[str, Product], context: Path) -> dict[str, Setting]:
    """Return a store for each user in which everything is built."""
    found = {}
    for user, place in products.items():
        root = place.root / "kept"
        product = Product(place.programs, root, place.person)
        found[user] = Setting(product, context, place.root / "kept.archive")
        found[user].build()
    return found


@pytest.fixture
def built(setting: Setting, user: str, kept: dict[str, Setting]) -> Setting:
    """Return a copy of that store."""
    subprocess.run(["cp", "-a", kept[user].root, setting.root], check=True)
    return setting


@pytest.fixture(scope="session")
def further(ground: Path, base: str) -> Path:
    """Return a context whose Dockerfile has one step more, for which all layers below are needed."""
    path = write_context(ground / "further", base)
    dockerfile = path / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text() + "RUN cat /both /in/last/a > /further\n")
    os.utime(dockerfile, (TIME, TIME))
    return path


def cases(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return who meets which damage: root all of them, the other user every third."""
    return [("root", name) for name in names] + [("rootless", name) for name in list(names)[::3]]


def code_of(done: subprocess.CompletedProcess[str]) -> str:
    """Return the code of the one diagnostic that a command ended with."""
    assert "Traceback" not in done.stderr, report(done)
    codes = re.findall(r"^error\[(.*?)\]", done.stderr, re.MULTILINE)
    assert len(codes) == 1, report(done)
    assert "= hint: " in done.stderr, report(done)
    return str(codes[0])


def index(root: Path, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Run a statement on the index, as its owner would."""
    connection = sqlite3.connect(root / "index.db", isolation_level=None)
    try:
        return connection.execute(statement, parameters).fetchall()
    finally:
        connection.close()
        owner = root.stat()
        for path in root.glob("index.db*"):
            os.chown(path, owner.st_uid, owner.st_gid)


def blob(root: Path, digest: str) -> Path:
    """Return where a blob is."""
    return root / "blobs/sha256" / digest.partition(":")[2]


def base_layer(root: Path) -> tuple[str, Path]:
    """Return the diff id of the base image's layer, and its blob."""
    ((diff_id, digest),) = index(root, "SELECT diff_id, digest FROM blobs WHERE pulled = 1")
    return str(diff_id), blob(root, digest)


def directories(root: Path, diff_id: str | None = None) -> list[Path]:
    """Return the directory forms of one layer, or of all."""
    rows = index(root, "SELECT name FROM directories WHERE ? IN (diff_id, '')", diff_id or "")
    return [root / "layers" / name for (name,) in rows]


def image_of(root: Path, name: str) -> Path:
    """Return the configuration of the image whose name contains `name`."""
    ((image,),) = index(root, "SELECT image FROM names WHERE reference LIKE ?", f"%{name}%")
    return blob(root, image)


def spoil(path: Path) -> None:
    """Change one byte in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def cut(path: Path) -> None:
    """Take the second half of a file away."""
    os.truncate(path, path.stat().st_size // 2)


def other_boot(root: Path) -> None:
    """Make the store one that the machine has crashed with."""
    index(root, "UPDATE directories SET boot = 'another'")
    index(root, "UPDATE layers SET boot = 'another'")


# Damages after which the next build gives the right image, and says nothing.


def all_directories_gone(root: Path) -> None:
    for path in directories(root):
        shutil.rmtree(path)


def one_directory_gone(number: int) -> Damage:
    def damage(root: Path) -> None:
        shutil.rmtree(sorted(directories(root))[number])

    return damage


def base_blob(change: Callable[[Path], None]) -> Damage:
    def damage(root: Path) -> None:
        change(base_layer(root)[1])

    return damage


def copied_tar(change: Callable[[Path], None]) -> Damage:
    def damage(root: Path) -> None:
        for (digest,) in index(root, "SELECT digest FROM blobs WHERE pulled = 0"):
            change(blob(root, digest))

    return damage


def entries(change: Callable[[Path], None]) -> Damage:
    def damage(root: Path) -> None:
        for path in (root / "entries").iterdir():
            change(path)

    return damage


def entries_after_a_crash(root: Path) -> None:
    other_boot(root)
    entries(cut)(root)


def built_image_gone(root: Path) -> None:
    image_of(root, "/p:").unlink()


def files_after_a_crash(name: str) -> Damage:
    def damage(root: Path) -> None:
        other_boot(root)
        paths = (each / "fs" / name for each in directories(root))
        found = next(path for path in paths if path.is_file())
        times = found.stat()
        spoil(found)
        os.utime(found, ns=(times.st_atime_ns, times.st_mtime_ns))

    return damage


def empty_files_after_a_crash(root: Path) -> None:
    other_boot(root)
    for each in directories(root):
        for path in each.rglob("*"):
            if path.is_file() and not path.is_symlink():
                os.truncate(path, 0)


def contexts(root: Path) -> None:
    for path in (root / "contexts").iterdir():
        path.write_bytes(b"\x93\x01")


def layout_gone(root: Path) -> None:
    (root / "oci-layout").unlink()


def empty_index(root: Path) -> None:
    for path in root.glob("index.db*"):
        path.unlink()


RECOVERED: dict[str, Damage] = {
    "all directories gone": all_directories_gone,
    "copied tar cut": copied_tar(cut),
    "copied tar spoilt": copied_tar(spoil),
    "copied tar gone": copied_tar(Path.unlink),
    "entries cut, after a crash": entries_after_a_crash,
    "image gone": built_image_gone,
    "whole, after a crash": other_boot,
    "base file spoilt, after a crash": files_after_a_crash("bin/busybox"),
    "written file spoilt, after a crash": files_after_a_crash("two"),
    "copied file spoilt, after a crash": files_after_a_crash("in/tree/deep/big"),
    "files empty, after a crash": empty_files_after_a_crash,
    "remembered context spoilt": contexts,
    "layout gone": layout_gone,
    "index gone": empty_index,
}
for number in range(7):
    RECOVERED[f"directory {number} gone"] = one_directory_gone(number)


@pytest.mark.parametrize(("user", "name"), cases(RECOVERED), indirect=["user"])
def test_damage_is_made_good(
    name: str,
    user: str,
    built: Setting,
    further: Path,
    undisturbed: dict[str, Content],
) -> None:
    RECOVERED[name](built.root)
    built.product.run("build", "--progress", "plain", further)
    built.build()
    found = content(built.archive)
    assert differences(undisturbed[user].tree, found.tree) == []
    assert undisturbed[user].times == found.times
    done = built.build()
    assert "all 8 steps were cached" in done.stderr


# Damages that are said once. What is left then is forgotten, so that the cure in the hint works.


def without_directories(damage: Damage) -> Damage:
    def both(root: Path) -> None:
        damage(root)
        all_directories_gone(root)

    return both


def base_image(change: Callable[[Path], None]) -> Damage:
    def damage(root: Path) -> None:
        change(image_of(root, "/base:"))

    return damage


SAID: dict[str, tuple[Damage, bool]] = {
    "base blob cut": (base_blob(cut), True),
    "base blob spoilt": (base_blob(spoil), True),
    "base blob gone": (base_blob(Path.unlink), True),
    "base blob cut, directories gone": (without_directories(base_blob(cut)), True),
    "base blob spoilt, directories gone": (without_directories(base_blob(spoil)), True),
    "base blob gone, directories gone": (without_directories(base_blob(Path.unlink)), True),
    "base image spoilt": (base_image(spoil), True),
    "base image gone": (base_image(Path.unlink), True),
    "copied tar spoilt": (copied_tar(spoil), False),
    "entries cut": (entries(cut), False),
    "entries gone": (entries(Path.unlink), False),
}


@pytest.mark.parametrize(("user", "name"), cases(SAID), indirect=["user"])
def test_damage_is_said_and_can_be_cured(
    name: str, user: str, built: Setting, context: Path, undisturbed: dict[str, Content]
) -> None:
    damage, of_base = SAID[name]
    damage(built.root)
    base = (context / "Dockerfile").read_text().split()[1]
    for _ in range(STEPS):
        done = built.product.run(*built.words(), code=None)
        if done.returncode == 0:
            break
        assert code_of(done) in {"store.corrupt", "store.digest-mismatch"}, report(done)
        assert not built.archive.exists()
        if of_base:
            assert "pull" in done.stderr
            built.product.run("pull", base)
    found = content(built.archive)
    assert differences(undisturbed[user].tree, found.tree) == []
    assert "all 8 steps were cached" in built.build().stderr


def test_a_damaged_base_image_is_named_with_its_place(built: Setting, context: Path) -> None:
    base = (context / "Dockerfile").read_text().split()[1]
    base_image(spoil)(built.root)
    done = built.product.run(*built.words(), code=None)
    assert f"the configuration of the base image `{base}" in done.stderr, report(done)
    assert "/Dockerfile:1:6\n" in done.stderr, report(done)
    assert f"lapstrake pull {base}" in done.stderr, report(done)


# Damages of what everything else hangs on.


def replaced_by_directory(name: str) -> Damage:
    def damage(root: Path) -> None:
        for path in root.glob(f"{name}*"):
            path.unlink()
        (root / name).mkdir()

    return damage


def written(name: str, data: bytes) -> Damage:
    def damage(root: Path) -> None:
        for path in root.glob(f"{name}-*"):
            path.unlink()
        (root / name).write_bytes(data)

    return damage


def newer_schema(root: Path) -> None:
    index(root, "PRAGMA user_version = 1000")


def index_cut(root: Path) -> None:
    index(root, "PRAGMA wal_checkpoint(TRUNCATE)")
    cut(root / "index.db")


REFUSED: dict[str, tuple[Damage, str]] = {
    "index is garbage": (written("index.db", b"garbage" * 1000), "store.corrupt"),
    "index is a directory": (replaced_by_directory("index.db"), "store.unusable"),
    "index is cut": (index_cut, "store.corrupt"),
    "index is newer": (newer_schema, "store.newer-schema"),
    "header is garbage": (written("store.json", b'{"format":'), "store.corrupt"),
    "header is empty": (written("store.json", b""), "store.corrupt"),
    "header is a list": (written("store.json", b"[1]"), "store.corrupt"),
    "header is a directory": (replaced_by_directory("store.json"), "store.unusable"),
    "header is newer": (written("store.json", b'{"format":2}'), "store.newer-schema"),
    "header is of other ids": (
        written("store.json", b'{"format":1,"ids":[[0,7,1]]}'),
        "store.foreign-map",
    ),
    "lock is a directory": (replaced_by_directory("lock"), "store.unusable"),
}


@pytest.mark.parametrize(("user", "name"), cases(REFUSED), indirect=["user"])
def test_store_that_cannot_be_used_is_refused(
    name: str, user: str, built: Setting, further: Path
) -> None:
    damage, code = REFUSED[name]
    damage(built.root)
    done = built.product.run("build", "--progress", "plain", further, code=None)
    assert done.returncode == 1, report(done)
    assert code_of(done) == code, report(done)


def test_index_with_wrong_pages_gives_no_wrong_image(
    user: str, built: Setting, undisturbed: dict[str, Content]
) -> None:
    index(built.root, "PRAGMA wal_checkpoint(TRUNCATE)")
    good = (built.root / "index.db").read_bytes()
    pages = len(good) // PAGE
    chosen = range(pages) if user == "root" else range(0, pages, 4)
    for number in chosen:
        wrong = bytes(PAGE) if number % 2 else random.Random(number).randbytes(PAGE)
        for path in built.root.glob("index.db-*"):
            path.unlink()
        data = good[: number * PAGE] + wrong + good[(number + 1) * PAGE :]
        (built.root / "index.db").write_bytes(data)
        built.archive.unlink(missing_ok=True)
        done = built.product.run(*built.words(), code=None)
        if done.returncode:
            assert done.returncode == 1, report(done)
            assert code_of(done).startswith(("store.", "image.")), report(done)
            assert not built.archive.exists()
        else:
            found = content(built.archive)
            assert differences(undisturbed[user].tree, found.tree) == []


def test_store_of_somebody_else_is_refused(
    products: dict[str, Product], kept: dict[str, Setting]
) -> None:
    if set(kept) != {"root", "rootless"}:
        pytest.skip("two users are needed")
    root, other = kept["root"], products["rootless"]
    done = Product(other.programs, root.root, other.person).run("images", code=1)
    assert code_of(done) == "store.unusable", report(done)
    done = Product(other.programs, kept["rootless"].root, root.product.person).run(
        "build", "--no-cache", root.context, code=1
    )
    assert code_of(done) == "store.foreign-map", report(done)


def test_read_only_store_is_refused(built: Setting, user: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && shift 0 && exec "$@"'
    person = built.product.person
    become = ["setpriv", f"--reuid={person.uid}", f"--regid={person.gid}", "--clear-groups"]
    command = built.product.command("build", built.context)
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, built.root, *become, "--", *command],
        capture_output=True,
        text=True,
        env=person.environment(),
        cwd="/",
    )
    assert done.returncode == 1, report(done)
    assert code_of(done) == "store.unusable", report(done)
