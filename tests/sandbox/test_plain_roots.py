"""A root file system that is a plain tree, changed in place: what mounts need comes and goes without trace."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import Interrupted
from runtime.launch import Cancellation
from runtime.spec import BindMount, ContainerSpec, FileMount, Mount, Process, Rootfs, TmpfsMount
from tests.sandbox.harness import Ran, Sandbox, processes_of


class Plain:
    """Runs commands in one tree."""

    def __init__(self, sandbox: Sandbox, tree: Path, work: Path) -> None:
        self._sandbox = sandbox
        self.tree = tree
        self._work = work

    def spec(
        self,
        script: str,
        mounts: tuple[Mount, ...] = (),
        files: tuple[tuple[str, bytes], ...] = (("/etc/resolv.conf", b"shown\n"),),
        **more: Any,
    ) -> ContainerSpec:
        return ContainerSpec(
            rootfs=Rootfs(lowers=(), upper=str(self.tree), work=str(self._work)),
            process=Process(argv=("/bin/sh", "-c", script), env=("PATH=/bin",)),
            mounts=mounts,
            files=files,
            **more,
        )

    def run(self, script: str, **options: object) -> Ran:
        out, err = self._work / "out", self._work / "err"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            status = self._sandbox.launcher.run(
                self.spec(script, **options),
                stdin=None,
                stdout=stdout.fileno(),
                stderr=stderr.fileno(),
            )
        return Ran(status.code, out.read_text(), err.read_text(), self.tree)


@pytest.fixture
def plain(sandbox: Sandbox, bare_image: Path, tmp_path: Path) -> Plain:
    tree, work = tmp_path / "tree", tmp_path / "work"
    shutil.copytree(bare_image, tree, symlinks=True)
    for name in ("dev", "proc", "sys"):
        (tree / name).mkdir()
    work.mkdir()
    os.utime(tree / "etc", (1_000_000_000, 1_000_000_000))
    os.utime(tree, (1_000_000_001, 1_000_000_001))
    return Plain(sandbox, tree, work)


def listing(tree: Path) -> dict[str, float]:
    """Return the names in a tree, and the times of directories."""
    found = {".": tree.stat().st_mtime}
    for path in tree.rglob("*"):
        status = path.lstat()
        found[str(path.relative_to(tree))] = status.st_mtime if path.is_dir() else 0
    return found


def test_a_command_changes_the_tree_and_mounts_leave_no_trace(plain: Plain, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    before = listing(plain.tree)
    ran = plain.run(
        "cat /etc/resolv.conf; ls -d /cache/pip /run/secrets/one /t /proc/self /dev/null; echo a > /tmp/a",
        mounts=(
            BindMount(target="/cache/pip", source=str(tmp_path / "source")),
            FileMount(target="/run/secrets/one", content=b"x"),
            TmpfsMount(target="/t"),
        ),
    )
    assert ran.out.split() == [
        "shown", "/cache/pip", "/dev/null", "/proc/self", "/run/secrets/one", "/t",
    ]  # fmt: skip
    after = listing(plain.tree)
    assert after.pop("tmp/a") == 0
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"tmp"}
    assert after.keys() == before.keys()


def test_directories_of_the_kernel_stay_as_everywhere(plain: Plain) -> None:
    (plain.tree / "dev").rmdir()
    assert plain.run("ls /dev/null").code == 0
    assert (plain.tree / "dev").is_dir()


def test_what_a_command_puts_beside_a_mount_stays(plain: Plain, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    mount = BindMount(target="/cache/pip", source=str(tmp_path / "source"))
    assert plain.run("echo a > /cache/a; echo b > /etc/b", mounts=(mount,)).code == 0
    assert (plain.tree / "cache/a").read_text() == "a\n"
    assert not (plain.tree / "cache/pip").exists()
    assert (plain.tree / "etc").stat().st_mtime > 1_000_000_000


def test_a_link_in_the_way_is_followed_inside_the_tree(plain: Plain, tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    (plain.tree / "cache").symlink_to(tmp_path / "host")
    (tmp_path / "source").mkdir()
    mount = BindMount(target="/cache/pip", source=str(tmp_path / "source"))
    assert plain.run("ls -d /cache/pip", mounts=(mount,)).code == 0
    assert list((tmp_path / "host").iterdir()) == []


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("kill -9 $$", 137), ("nosuch", 127)])
def test_the_end_of_a_command_is_told(plain: Plain, script: str, code: int) -> None:
    # What process 1 sends itself is lost.
    script = f"sh -c '{script}'; exit $?" if "kill" in script else script
    assert plain.run(script).code == code


def test_an_interrupt_kills_the_command_and_clears_the_tree(plain: Plain) -> None:
    before = listing(plain.tree)
    cancellation = Cancellation()
    null = os.open(os.devnull, os.O_RDWR)

    def interrupt() -> None:
        end = time.monotonic() + 10
        while not processes_of("98765432") and time.monotonic() < end:
            time.sleep(0.01)
        cancellation.cancel()

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(Interrupted):
            plain._sandbox.launcher.run(
                plain.spec("sleep 98765432"),
                stdin=None,
                stdout=null,
                stderr=null,
                cancellation=cancellation,
            )
    finally:
        thread.join()
        os.close(null)
    assert processes_of("98765432") == []
    assert listing(plain.tree) == before
