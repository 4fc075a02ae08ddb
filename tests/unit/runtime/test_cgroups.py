"""Control groups as data: what is written where; and the second version's tree, which is made of plain files here."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.cgroups import Hierarchy, Setting, make, mounted, settings, sweep_above
from runtime.spec import Resources, Unset

EVERYTHING = Resources(
    memory=512 << 20,
    memory_swap=768 << 20,
    cpu_shares=1024,
    cpu_period=50_000,
    cpu_quota=25_000,
    cpuset_cpus="0-1",
    cpuset_mems="0",
    pids=100,
)


def values(resources: Resources, version: int) -> dict[str, str]:
    return {each.file: each.value for each in settings(resources, version)}


def test_the_first_version_has_a_file_for_each_limit() -> None:
    assert values(EVERYTHING, 1) == {
        "memory.limit_in_bytes": str(512 << 20),
        "memory.memsw.limit_in_bytes": str(768 << 20),
        "cpu.shares": "1024",
        "cpu.cfs_period_us": "50000",
        "cpu.cfs_quota_us": "25000",
        "cpuset.cpus": "0-1",
        "cpuset.mems": "0",
        "pids.max": "100",
    }


def test_the_second_version_counts_swap_alone_and_weighs_shares() -> None:
    assert values(EVERYTHING, 2) == {
        "memory.max": str(512 << 20),
        "memory.swap.max": str(256 << 20),
        "cpu.weight": "39",
        "cpu.max": "25000 50000",
        "cpuset.cpus": "0-1",
        "cpuset.mems": "0",
        "pids.max": "100",
    }


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        (Resources(memory_swap=-1, memory=1 << 20), {"memory.max": "1048576", "memory.swap.max": "max"}),
        (Resources(cpu_shares=2), {"cpu.weight": "1"}),
        (Resources(cpu_shares=262144), {"cpu.weight": "10000"}),
        (Resources(cpu_quota=10_000), {"cpu.max": "10000 100000"}),
        (Resources(cpu_period=10_000), {"cpu.max": "max 10000"}),
        (Resources(), {}),
    ],
)  # fmt: skip
def test_single_limits_of_the_second_version(asked: Resources, written: dict[str, str]) -> None:
    assert values(asked, 2) == written


def test_what_is_refused_is_named_as_it_was_asked_for() -> None:
    assert settings(Resources(memory=1024), 1) == (
        Setting("memory=1024", "memory", "memory.limit_in_bytes", "1024"),
    )


MOUNTS = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro,nosuid master:9 - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/with\\040space rw,relatime - cgroup2 cgroup2 rw,nsdelegate
"""
GROUPS = "4:memory:/docker/abc/inner\n2:cpu,cpuacct:/\n9:name=systemd:/x\n0::/user.slice/a:b\n"


def test_the_hierarchies_are_found_where_they_are_mounted() -> None:
    assert mounted(MOUNTS, GROUPS) == (
        Hierarchy(
            version=1,
            controllers=frozenset({"cpu", "cpuacct"}),
            top="/sys/fs/cgroup/cpu,cpuacct",
            own="/sys/fs/cgroup/cpu,cpuacct",
        ),
        Hierarchy(
            version=1,
            controllers=frozenset({"memory"}),
            top="/sys/fs/cgroup/memory",
            own="/sys/fs/cgroup/memory/inner",
        ),
        Hierarchy(
            version=2,
            controllers=frozenset(),
            top="/sys/fs/cgroup/with space",
            own="/sys/fs/cgroup/with space/user.slice/a:b",
        ),
    )


def test_a_group_outside_of_what_is_mounted_counts_as_the_top() -> None:
    [one] = mounted(MOUNTS.splitlines()[2], "4:memory:/elsewhere\n")
    assert one.own == one.top


class Unified:
    """A tree of the second version in plain files: a session inside a slice that has its controllers handed down."""

    def __init__(self, top: Path, *, handed_down: str) -> None:
        self.top = top
        self.slice = top / "user.slice"
        self.session = self.slice / "session.scope"
        self.session.mkdir(parents=True)
        for place in (top, self.slice, self.session):
            self._furnish(place)
        (self.slice / "cgroup.subtree_control").write_text(handed_down)

    def hierarchy(self) -> Hierarchy:
        return Hierarchy(
            version=2, controllers=frozenset(), top=str(self.top), own=str(self.session)
        )

    def make_directory(self, path: str) -> None:
        Path(path).mkdir()
        self._furnish(Path(path))

    def _furnish(self, place: Path) -> None:
        for name in ("memory.max", "pids.max", "cgroup.procs"):
            (place / name).write_text("")
        (place / "cgroup.controllers").write_text("memory pids")
        (place / "cgroup.subtree_control").write_text("")


def test_a_group_is_made_where_the_nearest_one_above_hands_controllers_down(tmp_path: Path) -> None:
    tree = Unified(tmp_path, handed_down="memory pids")
    # As the kernel does with a group that has processes.
    (tree.session / "cgroup.subtree_control").unlink()
    (tree.session / "cgroup.subtree_control").mkdir()
    made = make(
        Resources(memory=4096, pids=7), (tree.hierarchy(),), make_directory=tree.make_directory
    )
    [directory] = made.directories
    assert Path(directory).parent == tree.slice
    assert (Path(directory) / "memory.max").read_text() == "4096"
    assert (Path(directory) / "pids.max").read_text() == "7"
    assert made.unset == []


def test_limits_without_a_controller_are_told_one_by_one(tmp_path: Path) -> None:
    tree = Unified(tmp_path, handed_down="memory pids")
    made = make(
        Resources(pids=7, cpu_shares=9, cpuset_cpus="0"),
        (tree.hierarchy(),),
        make_directory=tree.make_directory,
    )
    assert [each.limit for each in made.unset] == ["cpu-shares=9", "cpuset-cpus=0"]
    assert "controller `cpu`" in made.unset[0].reason


def test_without_any_groups_every_limit_is_told() -> None:
    made = make(Resources(memory=1, parent="/a"), ())
    assert made.unset == [
        Unset("cgroup-parent=/a", "no control groups are mounted here"),
        Unset("memory=1", "no control group with the controller `memory` can be made here"),
    ]


def test_a_tree_that_cannot_be_written_is_told_with_the_reason() -> None:
    one = Hierarchy(
        version=1, controllers=frozenset({"pids"}), top="/nonexistent", own="/nonexistent"
    )
    made = make(Resources(pids=3), (one,))
    assert made.unset == [Unset("pids=3", "No such file or directory")]


def test_sweeping_looks_above_in_the_second_version_and_leaves_what_is_held(tmp_path: Path) -> None:
    tree = Unified(tmp_path, handed_down="")
    left = tree.slice / "lapstrake-0000000000000000"
    left.mkdir()
    (tree.slice / "other").mkdir()
    sweep_above((tree.hierarchy(),))
    assert not left.exists()
    assert (tree.slice / "other").exists()
