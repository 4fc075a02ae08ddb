"""Device nodes of images and steps exist at most; nobody opens them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.plan import DEVICES
from runtime.spec import TmpfsMount
from tests.sandbox.escape.ground import Attack, changed, refused

NODES = [
    ("memory", "c", "1", "1"),
    ("kernel-log", "c", "1", "11"),
    ("zero", "c", "1", "5"),
    ("console", "c", "5", "1"),
    ("tun", "c", "10", "200"),
    ("fuse", "c", "10", "229"),
    ("disk", "b", "8", "0"),
    ("virtual-disk", "b", "254", "0"),
    ("loop", "b", "7", "0"),
]


@pytest.mark.parametrize(("name", *"kmn"), NODES, ids=[node[0] for node in NODES])
def test_a_node_made_by_a_step_is_not_opened(
    attack: Attack, name: str, k: str, m: str, n: str
) -> None:
    assert refused(attack("node", f"/{name}", k, m, n))


@pytest.mark.parametrize("place", ["/dev", "/dev/shm"])
def test_a_node_in_the_devices_is_not_opened(attack: Attack, place: str) -> None:
    assert refused(attack("node", f"{place}/new", "c", "1", "5"))


@pytest.mark.parametrize("place", ["/dev/mqueue", "/dev/pts", "/proc", "/sys"])
def test_no_node_is_made_in_what_the_kernel_shows(attack: Attack, place: str) -> None:
    assert refused(attack("node", f"{place}/new", "c", "1", "5"))


def test_a_node_in_a_memory_mount_is_not_opened(attack: Attack) -> None:
    assert refused(
        attack("node", "/memory/new", "c", "1", "5", mounts=(TmpfsMount(target="/memory"),))
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="optional: only root can make such an image")
def test_a_node_of_an_image_is_not_opened(attack: Attack, tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    try:
        os.mknod(layer / "zero", 0o20666, os.makedev(1, 5))
        os.mknod(layer / "disk", 0o60666, os.makedev(8, 0))
    except PermissionError:
        pytest.skip("optional: this root may make no nodes")
    lowers = (layer, attack.image)
    assert refused(attack("read", "/zero", "/disk", lowers=lowers))
    assert refused(attack("read", "/zero", "/disk", lowers=lowers, writable=False))


def test_a_whiteout_cannot_be_made_by_hand(attack: Attack) -> None:
    ran = attack.run("mknod /etc/new c 0 0; ls /etc/new")
    assert ran.code != 0
    assert not (ran.upper / "etc/new").exists()


def test_the_hosts_devices_keep_mode_and_times(attack: Attack) -> None:
    devices = " ".join(f"/dev/{name}" for name, _, _ in DEVICES)
    assert not changed(attack, devices)
    assert (
        attack.run(
            f"echo > /dev/null && dd if=/dev/urandom of=/dev/zero bs=9 count=1 && echo {devices}"
        ).code
        == 0
    )
