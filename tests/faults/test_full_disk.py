"""A disk without room, for data or for names: one diagnostic, nothing half-written, and the store still good."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.faults.ground import (
    Content,
    Setting,
    content,
    litter,
    write_context,
)
from tests.faults.small_disk import SmallDisk, small_disk
from tests.support.product import report
from tests.support.trees import differences

KIB = 1024
MIB = 1024 * KIB


@pytest.fixture
def disk(setting: Setting) -> Iterator[SmallDisk]:
    """Return a small disk for the user's store."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    place = setting.root.with_name(f"{setting.root.name}.disk")
    place.mkdir()
    with small_disk(place, setting.product.person.uid) as disk:
        try:
            os.setxattr(disk.seen, "user.test", b"")
        except OSError:
            pytest.skip("optional: tmpfs has no user attributes before Linux 6.6")
        yield disk
    place.rmdir()


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """Return the code of the one diagnostic that a command ended with."""
    assert done.returncode == 1, report(done)
    assert "Traceback" not in done.stderr, report(done)
    codes = re.findall(r"^error\[(.*?)\]", done.stderr, re.MULTILINE)
    assert len(codes) == 1, report(done)
    assert "= hint: " in done.stderr, report(done)
    return str(codes[0])


def builds_when_there_is_room(
    disk: SmallDisk,
    setting: Setting,
    undisturbed: Content,
    take: Callable[[int], None],
    amounts: list[int],
) -> None:
    """Build with each of `amounts` left, then with enough."""
    small = disk.setting(setting)
    failures = 0
    for amount in amounts:
        take(amount)
        done = small.product.run(*small.words(archive=False), code=None)
        if done.returncode:
            failures += 1
            code = refused(done)
            assert code == "store.no-space", (amount, report(done))
            if (disk.seen / "store/index.db").exists():
                assert small.product.run("images", code=None).returncode in {0, 1}
        disk.free()
        small.build()
        found = content(setting.archive)
        assert differences(undisturbed.tree, found.tree) == []
        assert undisturbed.times == found.times
        assert litter(disk.seen / "store") == [], amount
        disk.empty()
    assert failures >= len(amounts) - 2


def test_disk_without_space_is_said_and_survived(
    disk: SmallDisk, setting: Setting, user: str, undisturbed: dict[str, Content]
) -> None:
    amounts = [0, 16 * KIB, 64 * KIB, 256 * KIB, 800 * KIB]
    amounts += [round(number * MIB / 4) for number in (5, 7, 11, 15, 19, 23)]
    chosen = slice(0, None) if user == "root" else slice(1, None, 3)
    builds_when_there_is_room(disk, setting, undisturbed[user], disk.fill, amounts[chosen])


def test_disk_without_inodes_is_said_and_survived(
    disk: SmallDisk, setting: Setting, user: str, undisturbed: dict[str, Content]
) -> None:
    amounts = [0, 1, 2, 3, 6, 9, 12, 16, 20, 100, 440]
    chosen = slice(0, None) if user == "root" else slice(1, None, 3)
    builds_when_there_is_room(disk, setting, undisturbed[user], disk.fill_names, amounts[chosen])


def test_command_that_fills_the_disk_fails_by_itself(disk: SmallDisk, setting: Setting) -> None:
    small = disk.setting(with_dockerfile(setting, "RUN dd if=/dev/zero of=/big bs=64k"))
    done = small.product.run(*small.words(archive=False), code=1)
    assert refused(done) == "build.run-failed", report(done)
    assert "No space left on device" in done.stderr
    found = os.statvfs(disk.seen)
    assert found.f_bavail > found.f_blocks // 2, "what a failed step wrote is given back at once"
    small.build("-f", setting.context / "Dockerfile")


def test_full_disk_can_be_pruned(disk: SmallDisk, setting: Setting) -> None:
    small = disk.setting(setting)
    small.build()
    disk.fill(0)
    small.product.run("rmi", "p")
    before = os.statvfs(disk.seen).f_bavail
    small.product.run("prune", "--all", "--force")
    assert os.statvfs(disk.seen).f_bavail > before
    disk.free()
    small.build()


def test_archive_that_finds_no_room_leaves_nothing(disk: SmallDisk, setting: Setting) -> None:
    small = disk.setting(setting)
    small.build()
    disk.fill(512 * KIB)
    for name in ("oci", "docker", "tar"):
        output = f"type={name},dest={disk.place}/out"
        done = small.product.run("build", "-o", output, small.context, code=1)
        assert refused(done) in {"export.no-space", "store.no-space"}
    done = small.product.run("save", "-o", disk.place / "out", "p", code=1)
    assert refused(done) in {"export.no-space", "store.no-space"}
    assert sorted(path.name for path in disk.seen.iterdir()) == ["filler", "store"]
    disk.free()
    small.product.run("save", "-o", disk.place / "out", "p")
    assert litter(disk.seen / "store") == []


def with_dockerfile(setting: Setting, *lines: str) -> Setting:
    """Return the setting with other lines above the same base."""
    base = (setting.context / "Dockerfile").read_text().split()[1]
    context = setting.root.with_name(f"{setting.root.name}.context")
    write_context(context, base, "\n".join(("FROM {base}", *lines)))
    return setting._replace(context=context)
