"""Plans: which steps, in which order, and what they ask of the kernel."""

from __future__ import annotations

import pytest

from runtime import kernel_mounts
from runtime import operations as op
from runtime.errors import SandboxError, SetupFailed
from runtime.features import Features
from runtime.mounts import Tmpfs
from runtime.plan import DEVICES, describe, plan
from runtime.scene import Operation, Scene
from runtime.spec import BindMount, ContainerSpec, Network, Process, Rootfs, TmpfsMount
from runtime.syscalls import ATTR_NODEV
from runtime.user import User
from tests.support.syscalls import RecordingSyscalls

KERNEL_DEVICES = {f"/dev/{name}": (major, minor) for name, major, minor in DEVICES}


def spec(**changes: object) -> ContainerSpec:
    fields: dict[str, object] = {
        "rootfs": Rootfs(lowers=("/layers/top", "/layers/base"), upper="/store/u", work="/store/w"),
        "process": Process(argv=("true",)),
    }
    return ContainerSpec(**(fields | changes))  # type: ignore[arg-type]


def steps_of(kind: type[Operation], **changes: object) -> list[Operation]:
    return [step for step in plan(spec(**changes), Features()) if isinstance(step, kind)]


def test_a_plan_can_be_read() -> None:
    text = describe(
        plan(
            spec(
                network=Network.NONE,
                files=(("/etc/hosts", b""),),
                mounts=(TmpfsMount(target="/run/secrets"),),
            ),
            Features(),
        )
    )
    assert text.splitlines() == [
        "make a private directory",
        "stack 2 layers as a writable root",
        "find the user `0`",
        "mount proc on `/proc`",
        "mount sysfs on `/sys`",
        "make the devices in `/dev`",
        "mount devpts on `/dev/pts`",
        "mount tmpfs on `/dev/shm`",
        "mount mqueue on `/dev/mqueue`",
        "hide paths below `/proc` and `/sys`",
        "make `/proc` read-only outside of processes",
        "mount a tmpfs on `/run/secrets`",
        "show `/etc/hosts`",
        "set the host name `buildkitsandbox`",
        "bring up the loopback interface",
        "change to the new root",
        "enter the directory `/`",
    ]


def test_the_user_is_found_before_anything_is_mounted_over_the_image() -> None:
    kinds = [type(step) for step in plan(spec(), Features())]
    assert kinds.index(op.FindUser) < kinds.index(kernel_mounts.MountProc)


def test_mounts_come_parents_first() -> None:
    mounts = tuple(TmpfsMount(target=target) for target in ("/a/b/c", "/a/", "/b", "a/b"))
    assert [step.target for step in steps_of(Tmpfs, mounts=mounts)] == [
        "/a/",
        "/b",
        "a/b",
        "/a/b/c",
    ]


@pytest.mark.parametrize(
    ("network", "own_ids", "fresh"),
    [
        (Network.HOST, False, True),
        (Network.HOST, True, False),
        (Network.NONE, False, True),
        (Network.NONE, True, True),
    ],
)
def test_sysfs_is_fresh_where_the_kernel_gives_one(
    network: Network, own_ids: bool, fresh: bool
) -> None:
    steps = plan(spec(network=network), Features(own_ids=own_ids))
    assert kernel_mounts.MountSys(fresh) in steps
    (hidden,) = [step for step in steps if isinstance(step, kernel_mounts.Hide)]
    assert ("kernel/debug" in hidden.sys) is not fresh
    assert "fs/cgroup" in hidden.sys


@pytest.mark.parametrize(
    "changes",
    [
        {"process": Process(argv=())},
        {"process": Process(argv=("a\0b",))},
        {"process": Process(argv=("a",), env=("A=\0",))},
        {"rootfs": Rootfs(lowers=())},
        {"rootfs": Rootfs(lowers=("/a",), upper="/b")},
        {"mounts": (TmpfsMount(target="/"),)},
        {"mounts": (TmpfsMount(target="/a\0"),)},
        {"files": (("", b""),)},
    ],
)
def test_contradictions_are_refused_before_anything_is_done(changes: dict[str, object]) -> None:
    with pytest.raises(SandboxError):
        plan(spec(**changes), Features())


def execute(calls: RecordingSyscalls, **changes: object) -> Scene:
    scene = Scene()
    for step in plan(spec(**changes), Features()):
        if isinstance(step, op.FindUser):
            scene.user = User(0, 0)
        else:
            step.execute(calls, scene)
    return scene


def test_the_root_is_one_overlay_with_the_options_that_work_everywhere() -> None:
    calls = RecordingSyscalls(devices=KERNEL_DEVICES)
    execute(calls)
    looked, options = [
        asked.arguments[1]
        for asked in calls.asked
        if asked[0] == "new_mount" and asked[1][0] == "overlay"
    ]
    assert looked[:3] == (
        ("lowerdir+", "/store/u"),
        ("lowerdir+", "/layers/top"),
        ("lowerdir+", "/layers/base"),
    )
    assert options == (
        ("lowerdir+", "/layers/top"),
        ("lowerdir+", "/layers/base"),
        ("upperdir", "/store/u"),
        ("workdir", "/store/w"),
        ("volatile", None),
        ("userxattr", None),
        ("redirect_dir", "nofollow"),
        ("metacopy", "off"),
        ("index", "off"),
    )


def test_what_mounts_lack_is_made_in_a_layer_of_its_own_with_the_attributes_of_the_image() -> None:
    calls = RecordingSyscalls(
        devices=KERNEL_DEVICES,
        files=frozenset({"/etc/hosts"}),
        missing=frozenset({"/etc/hosts", "/cache", "/cache/pip"}),
    )
    execute(
        calls,
        files=(("/etc/hosts", b"h"),),
        mounts=(TmpfsMount(target="/cache/pip"),),
    )
    stubs = "/store/w/stubs"
    made = [asked for asked in calls.asked if str(asked.arguments[1:2]).startswith(f"('{stubs}")]
    assert made == [
        ("make_directory", ("cache", stubs)),
        ("make_directory", ("pip", f"{stubs}/cache")),
        ("make_directory", ("etc", stubs)),
        ("make_file", ("hosts", f"{stubs}/etc", b"")),
        ("copy_attributes", ("<overlay>/etc", f"{stubs}/etc")),
        ("copy_attributes", ("<overlay>", stubs)),
    ]
    stacked = [asked.arguments[1] for asked in calls.asked if asked.arguments[:1] == ("overlay",)]
    assert [options[0] for options in stacked] == [
        ("lowerdir+", "/store/u"),
        ("lowerdir+", stubs),
    ]
    assert ("workdir", "/store/w/work") in stacked[1]


def test_one_directory_to_read_is_bound_and_not_stacked() -> None:
    calls = RecordingSyscalls(devices=KERNEL_DEVICES)
    execute(calls, rootfs=Rootfs(lowers=("/layers/only",)))
    assert ("clone_tree", ("/layers/only", False)) in calls.asked
    assert ("restrict", ("clone of /layers/only", "0x5", False)) in calls.asked
    assert "overlay" not in [asked.arguments[0] for asked in calls.asked]


def test_a_device_that_is_not_what_its_name_says_is_not_given_to_a_step() -> None:
    calls = RecordingSyscalls(devices=KERNEL_DEVICES | {"/dev/null": (1, 1)})
    with pytest.raises(OSError, match="No such device"):
        execute(calls)


def test_a_file_where_a_kernel_file_system_belongs_is_refused() -> None:
    calls = RecordingSyscalls(devices=KERNEL_DEVICES, files=frozenset({"/proc"}))
    with pytest.raises(SetupFailed, match=r"`/proc`.*not a directory"):
        execute(calls)


def test_all_that_is_mounted_from_outside_is_without_devices() -> None:
    calls = RecordingSyscalls(devices=KERNEL_DEVICES, files=frozenset({"/etc/hosts"}))
    execute(
        calls,
        files=(("/etc/hosts", b"h"),),
        mounts=(BindMount(target="/src", source="/home/me"),),
    )
    restricted = {
        asked.arguments[0]: int(str(asked.arguments[1]), 16)
        for asked in calls.asked
        if asked.name == "restrict"
    }
    assert restricted["clone of /home/me"] & ATTR_NODEV
    assert restricted["clone of <tmpfs>/file0"] & ATTR_NODEV
