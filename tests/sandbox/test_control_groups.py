"""Control groups, which only root can make here: what is set, where a command is, what is left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime import cgroups
from runtime.spec import Resources
from tests.sandbox.harness import Sandbox

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who owns control groups")


def needs_controller(name: str) -> None:
    """Skip where root has no such controller."""
    if name not in {each for one in cgroups.here() for each in one.controllers}:
        pytest.skip(f"needs the controller `{name}` of control groups")


def test_each_limit_of_a_group_can_be_read_where_it_was_set(sandbox: Sandbox) -> None:
    for name in ("memory", "cpu", "cpuset", "pids"):
        needs_controller(name)
    asked = Resources(
        memory=64 << 20,
        cpu_shares=512,
        cpu_period=50_000,
        cpu_quota=25_000,
        cpuset_cpus="0",
        pids=77,
    )
    made = cgroups.make(asked, cgroups.here())
    try:
        values = {
            file: (Path(directory) / file).read_text().strip()
            for directory in made.directories
            for file in (
                "memory.limit_in_bytes",
                "cpu.shares",
                "cpu.cfs_period_us",
                "cpu.cfs_quota_us",
                "cpuset.cpus",
                "pids.max",
            )
            if (Path(directory) / file).exists()
        }
    finally:
        made.remove()
    assert made.unset == []
    assert values == {
        "memory.limit_in_bytes": str(64 << 20),
        "cpu.shares": "512",
        "cpu.cfs_period_us": "50000",
        "cpu.cfs_quota_us": "25000",
        "cpuset.cpus": "0",
        "pids.max": "77",
    }


def test_a_command_is_in_the_group_it_was_placed_in(sandbox: Sandbox) -> None:
    needs_controller("pids")
    name = f"lapstrake-test-{os.getpid()}"
    ran = sandbox.run("cat /proc/self/cgroup; sleep 0", resources=Resources(parent=f"/{name}/in"))
    assert ran.code == 0, ran.err
    assert "pids:/\n" in ran.out  # the top of what it sees
    assert ran.unset == ()
    assert [*Path("/sys/fs/cgroup").rglob(name)] == []


def test_a_value_that_the_kernel_refuses_is_told_and_the_others_hold(sandbox: Sandbox) -> None:
    needs_controller("cpuset")
    ran = sandbox.run("true", resources=Resources(cpuset_cpus="4000", pids=50))
    assert ran.code == 0
    assert [each.limit for each in ran.unset] == ["cpuset-cpus=4000"]


def test_groups_that_a_killed_launcher_left_are_swept(sandbox: Sandbox) -> None:
    needs_controller("pids")
    one = next(each for each in cgroups.here() if "pids" in each.controllers)
    left = Path(one.own) / f"{cgroups.PREFIX}0123456789abcdef"
    held = Path(one.own) / f"{cgroups.PREFIX}{os.urandom(8).hex()}"
    left.mkdir()
    made = cgroups.make(Resources(pids=5), cgroups.here())
    try:
        assert not left.exists()
        cgroups.sweep(one.own)
        assert all(Path(directory).exists() for directory in made.directories)
    finally:
        made.remove()
    assert not held.exists()
