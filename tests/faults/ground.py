"""What the builds of these tests are made of, and what a store and a machine must look like afterwards."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.product import Product, report
from tests.support.trees import Tree, image_tree

DOCKERFILE = """\
FROM {base} AS one
COPY tree /in/tree
RUN echo one > /one && ln /one /uno && rm /bin/zcat
FROM {base} AS two
WORKDIR /work
RUN echo two > /two && chown 5:7 /two && chmod 4711 /two && mkfifo fifo
FROM {base}
COPY --from=one /one /in/tree /from/
COPY --from=two --chown=3:4 /two /work /
RUN cat /from/one /two > /both && mkdir -p /a/b; setsid sleep 60 &
COPY a tree /in/last/
"""
STEPS = 8
TIME = 1_600_000_000


class Setting(NamedTuple):
    """A user's product, a context to build and a file to build into."""

    product: Product
    context: Path
    archive: Path

    @property
    def root(self) -> Path:
        """Return the store's directory."""
        return self.product.root

    def words(self, *more: str | Path, archive: bool = True) -> tuple[str | Path, ...]:
        """Return the words of a build, which also writes an archive."""
        output = ("-o", f"type=docker,dest={self.archive}") if archive else ()
        return ("build", "--progress", "plain", "-t", "p", *output, *more, self.context)

    def build(self, *more: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Build, and write an archive."""
        return self.product.run(*self.words(*more), code=code)

    def start(self, *argv: str | Path, **options: object) -> subprocess.Popen[str]:
        """Start a command as the product's user, without waiting for it."""
        person = self.product.person
        given = (
            {} if person.is_me else {"user": person.uid, "group": person.gid, "extra_groups": ()}
        )
        return subprocess.Popen(
            argv,
            cwd="/",
            env=person.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            **given,
            **options,
        )

    def with_root(self, root: Path) -> Setting:
        """Return the same with another store."""
        product = Product(self.product.programs, root, self.product.person)
        return self._replace(product=product, archive=root.parent / f"{root.name}.archive")

    def forget(self) -> None:
        """Remove the store and the archive."""
        shutil.rmtree(self.root, ignore_errors=True)
        self.archive.unlink(missing_ok=True)


def write_context(directory: Path, base: str, dockerfile: str = DOCKERFILE) -> Path:
    """Write a context with a little of everything that files can be."""
    (directory / "tree/deep").mkdir(parents=True)
    (directory / "Dockerfile").write_text(dockerfile.format(base=base))
    (directory / "a").write_text("a\n")
    (directory / "tree/deep/big").write_bytes(bytes(range(256)) * 4096)
    (directory / "tree/script").write_text("#!/bin/sh\n")
    (directory / "tree/link").symlink_to("deep/big")
    (directory / "tree/empty").mkdir()
    for folder, folders, files in os.walk(directory, topdown=False):
        for name in (*folders, *files):
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or name == "script" else 0o644)
            os.utime(path, (TIME, TIME), follow_symlinks=False)
    directory.chmod(0o755)
    return directory


class Content(NamedTuple):
    """What an archive holds: its tree, and the times of what was copied from the context."""

    tree: Tree
    times: dict[str, float]


def content(archive: Path) -> Content:
    """Read an archive with another reader than ours."""
    times: dict[str, float] = {}
    with tarfile.open(archive) as image:
        for member in image.getmembers():
            if member.isfile() and tarfile.is_tarfile(image.extractfile(member)):  # type: ignore[arg-type]
                with tarfile.open(fileobj=image.extractfile(member)) as layer:
                    for each in layer:
                        path = each.name.strip("/")
                        if path.startswith("in/") and not each.isdir():
                            times[path] = each.mtime
    return Content(image_tree(archive), times)


def cached_steps(done: subprocess.CompletedProcess[str]) -> int:
    """Return how many steps a build took from the cache, by its last line."""
    line = done.stderr.rstrip().splitlines()[-1]
    assert "cached" in line, report(done)
    counted = line.rpartition(", ")[2]
    return STEPS if counted.startswith("all") else int(counted.split()[0])


def recorded_steps(root: Path) -> int:
    """Return how many steps the index of a store knows."""
    rows = index_rows(root, "SELECT count(DISTINCT key) FROM records")
    return int(rows[0][0]) if rows else 0


def index_rows(root: Path, statement: str) -> list[tuple[Any, ...]]:
    """Return what the index of a store says; it is read from a copy, to change nothing."""
    if not (root / "index.db").exists():
        return []
    with tempfile.TemporaryDirectory() as copy:
        for name in ("index.db", "index.db-wal"):
            if (root / name).exists():
                shutil.copy(root / name, copy)
        connection = sqlite3.connect(Path(copy, "index.db"))
        try:
            return connection.execute(statement).fetchall()
        except sqlite3.OperationalError as error:
            assert "no such table" in str(error)
            return []
        finally:
            connection.close()


def processes_of(root: Path) -> list[str]:
    """Return the processes that have to do with a store: by their words, or by what they have mounted."""
    needle = os.fsencode(f"{root}/")
    found = []
    for pid in os.listdir("/proc"):
        if not pid.isdigit() or int(pid) == os.getpid():
            continue
        for name in ("cmdline", "mountinfo"):
            try:
                data = Path("/proc", pid, name).read_bytes()
            except OSError:
                continue
            if needle in data.replace(b"\0", b"/ ") + b"/":
                found.append(f"{pid}: {Path('/proc', pid, 'comm').read_text().strip()}")
                break
    return found


def nothing_left(root: Path, seconds: float = 2.0) -> None:
    """Check that no process of a store's builds is left, after a short while, and no mount."""
    end = time.monotonic() + seconds
    while left := processes_of(root):
        assert time.monotonic() < end, f"still running: {left}"
        time.sleep(0.01)
    assert str(root) not in Path("/proc/self/mountinfo").read_text()


def litter(root: Path) -> list[str]:
    """Return what lies in a store without being part of it; nobody may use it now."""
    found = [
        f"{room}/{name}"
        for room in ("active", "scratch", "tmp")
        for name in os.listdir(root / room)
    ]
    known = {
        "layers": {name for (name,) in index_rows(root, "SELECT name FROM directories")},
        "entries": {
            diff_id.partition(":")[2]
            for (diff_id,) in index_rows(root, "SELECT diff_id FROM layers")
        },
    }
    for room, names in known.items():
        found += [f"{room}/{name}" for name in os.listdir(root / room) if name not in names]
    found += [f"contexts/{name}" for name in os.listdir(root / "contexts") if "." in name]
    found += [name for name in os.listdir(root) if name.startswith("store.json.")]
    if (root / "leases").exists():
        found += [f"leases/{name}" for name in os.listdir(root / "leases")]
    return sorted(found)
