"""What /proc and /sys show and obey. Files are opened for writing, never written: a wall that fell would else harm this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.spec import Network
from tests.sandbox.escape.ground import Attack, changed, refused

HIDDEN = ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/interrupts", "/proc/sched_debug"]
SWITCHES = [
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/hotplug",
    "/proc/sys/kernel/sysrq",
    "/proc/sys/vm/panic_on_oom",
    "/proc/sys/vm/drop_caches",
    "/proc/sys/fs/binfmt_misc/register",
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sysrq-trigger",
    "/proc/irq/default_smp_affinity",
    "/proc/fs/jbd2",
    "/proc/bus/pci",
]
OF_SYS = [
    "/sys/kernel/uevent_helper",
    "/sys/kernel/profiling",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/power/state",
    "/sys/fs/cgroup/devices/devices.allow",
    "/sys/fs/cgroup/memory/release_agent",
    "/sys/fs/cgroup/release_agent",
    "/sys/fs/cgroup/cgroup.procs",
    "/sys/kernel/debug/tracing/trace",
    "/sys/kernel/security/lsm",
    "/sys/firmware/efi/vars",
    "/sys/devices/system/cpu/cpu1/online",
    "/sys/class/net/lo/mtu",
    "/sys/block/vda/uevent",
]
networks = pytest.mark.parametrize("network", [Network.HOST, Network.NONE])


def test_what_tells_too_much_is_empty(attack: Attack) -> None:
    assert refused(attack("read", *HIDDEN))
    assert (
        attack.run("ls -A /proc/acpi /proc/scsi /sys/firmware 2>/dev/null | grep -v :").out.strip()
        == ""
    )


def test_no_switch_of_the_kernel_is_opened_for_writing(attack: Attack) -> None:
    assert refused(attack("write", *SWITCHES))


def test_files_of_the_kernel_keep_mode_and_times(attack: Attack) -> None:
    assert not changed(
        attack, "$(find /proc -maxdepth 1 -type f) /proc/tty/drivers /proc/sysvipc/shm"
    )


@networks
def test_nothing_of_sysfs_is_opened_for_writing(attack: Attack, network: Network) -> None:
    assert refused(attack("write", *OF_SYS, network=network))


@networks
def test_control_groups_are_not_shown(attack: Attack, network: Network) -> None:
    assert attack.run("ls -A /sys/fs/cgroup", network=network).out == ""


@pytest.mark.skipif(
    not Path("/sys/fs/cgroup").is_dir() or not os.listdir("/sys/fs/cgroup"),
    reason="optional: no control groups are mounted here",
)
def test_control_groups_of_a_bound_sysfs_are_hidden(attack_with_the_hosts_sysfs: Attack) -> None:
    ran = attack_with_the_hosts_sysfs.run("ls -A /sys/fs/cgroup; echo :; ls /sys/kernel")
    groups, _, kernel = ran.out.partition(":\n")
    assert groups == ""
    assert len(kernel.split()) > 5


def test_masks_and_mounts_cannot_be_moved(attack: Attack) -> None:
    assert refused(attack("mounts"))


def test_nothing_of_the_host_is_in_the_list_of_mounts(attack: Attack, tmp_path: Path) -> None:
    lines = attack.run("cat /proc/self/mountinfo").out.splitlines()
    points = [line.split()[4] for line in lines]
    assert points.count("/") == 1
    assert {point.split("/")[1] for point in points} <= {"", "proc", "sys", "dev"}
    assert not any("shared:" in line or "master:" in line for line in lines)
