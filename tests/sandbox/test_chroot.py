"""Steps without walls: what is kept apart all the same, and that nothing of it stays."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.errors import Interrupted, Unsupported
from runtime.launch import Cancellation, Launcher
from runtime.spec import (
    BindMount,
    FileMount,
    IsolationName,
    Mount,
    Network,
    ProcessLimit,
    Rootfs,
    SocketMount,
    StackMount,
    TmpfsMount,
)
from tests.sandbox.harness import Sandbox, processes_of
from tests.sandbox.test_plain_roots import Plain, listing

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="optional: only root changes roots")


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    """A launcher without walls."""
    one = Launcher.spawn(("tests.sandbox.jobs.",))
    assert one.open(IsolationName.CHROOT) is IsolationName.CHROOT
    yield one
    one.close()


@pytest.fixture
def plain(launcher: Launcher, image: Path, tmp_path: Path) -> Plain:
    tree, work = tmp_path / "tree", tmp_path / "work"
    shutil.copytree(image, tree, symlinks=True)
    work.mkdir()
    (tree / "etc/resolv.conf").unlink()
    (tree / "etc/hosts").write_text("of the image\n")
    for path in (tree / "etc", tree / "dev", tree / "proc", tree):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    return Plain(Sandbox(launcher, tmp_path, image), tree, work)


FILES = (("/etc/resolv.conf", b"shown\n"), ("/etc/hosts", b"shown too\n"))


def test_what_mounts_would_show_is_there_and_goes_again(plain: Plain, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\necho ran\n")
    script.chmod(0o755)
    inode = (plain.tree / "etc/hosts").stat().st_ino
    before = listing(plain.tree)
    ran = plain.run(
        "cat /etc/resolv.conf /etc/hosts; echo x > /dev/null; head -c 3 /dev/zero | wc -c; grep -c MemTotal /proc/meminfo;"
        "/run/script; ls -A /t /dev/shm; cat /run/ca.pem; touch /t/x; echo > /etc/resolv.conf",
        files=FILES,
        mounts=(
            BindMount(target="/run/script", source=str(script), read_only=True),
            TmpfsMount(target="/t"),
            FileMount(target="/run/ca.pem", content=b"trusted\n"),
        ),
    )
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.split("\n")[:-1] == [
        "shown", "shown too", "3", "1", "ran", "/dev/shm:", "", "/t:", "trusted",
    ]  # fmt: skip
    assert listing(plain.tree) == before
    assert (plain.tree / "etc/hosts").read_text() == "of the image\n"
    assert (plain.tree / "etc/hosts").stat().st_ino == inode
    assert (plain._work / "moved").read_text() == str(inode)


def test_devices_of_the_image_come_back(plain: Plain) -> None:
    (plain.tree / "dev/null").write_text("no device")
    os.mknod(plain.tree / "dev/zero", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    assert plain.run("echo x > /dev/null; test -c /dev/null").code == 0
    assert (plain.tree / "dev/null").read_text() == "no device"
    assert stat.S_IMODE((plain.tree / "dev/zero").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "script", ["rm -r /etc", "mv /etc /gone", "rm /etc/hosts && mkdir -p /etc/hosts/x"]
)
def test_a_command_may_do_away_with_what_is_shown(plain: Plain, script: str) -> None:
    assert plain.run(script, files=FILES).code == 0
    here = plain.tree / ("gone" if "gone" in script else "etc")
    assert not (here / "resolv.conf").exists()
    if "rm -r" not in script:
        assert (here / "hosts").read_text() == "of the image\n"


def test_links_lead_to_no_place_outside(plain: Plain, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "resolv.conf").write_text("host")
    shutil.rmtree(plain.tree / "etc")
    (plain.tree / "etc").symlink_to(victim)
    plain.run("cat /etc/resolv.conf", files=FILES)
    assert (victim / "resolv.conf").read_text() == "host"
    assert [path.name for path in victim.iterdir()] == ["resolv.conf"]


def test_what_a_command_leaves_running_ends(plain: Plain) -> None:
    ran = plain.run("(setsid sleep 4324.5 &) ; sleep 4324.5 & (sleep 4324.5 & sleep 4324.5) & true")
    assert ran.code == 0
    assert processes_of("4324.5") == []


def test_an_interrupt_ends_everything_and_clears_the_tree(plain: Plain) -> None:
    before = listing(plain.tree)
    cancellation = Cancellation()
    null = os.open(os.devnull, os.O_RDWR)

    def interrupt() -> None:
        end = time.monotonic() + 10
        while len(processes_of("4324.6")) < 2 and time.monotonic() < end:
            time.sleep(0.01)
        cancellation.cancel()

    thread = threading.Thread(target=interrupt)
    thread.start()
    spec = plain.spec("setsid sleep 4324.6 & trap '' TERM INT; sleep 4324.6", files=FILES)
    try:
        with pytest.raises(Interrupted):
            plain._sandbox.launcher.run(
                spec, stdin=None, stdout=null, stderr=null, cancellation=cancellation
            )
    finally:
        thread.join()
        os.close(null)
    assert processes_of("4324.6") == []
    assert listing(plain.tree) == before


def test_capabilities_and_calls_are_those_of_docker_as_far_as_they_go(plain: Plain) -> None:
    # There is no /proc to read it from.
    ran = plain.run(
        "mount -t tmpfs none /tmp; unshare -U true; chown 7:8 /tmp && stat -c %u:%g /tmp"
    )
    assert ran.out == "7:8\n"
    assert "mount" in ran.err


def test_users_are_real(plain: Plain) -> None:
    spec_of = plain.spec

    def as_ann(script: str, **options: object) -> object:
        spec = spec_of(script, **options)
        import msgspec

        process = msgspec.structs.replace(spec.process, user="ann")
        return msgspec.structs.replace(spec, process=process)

    plain.spec = as_ann  # type: ignore[method-assign, assignment]
    ran = plain.run("id -u; touch /tmp/own; rm /etc/passwd")
    assert ran.out == "1000\n"
    assert "Permission denied" in ran.err
    assert (plain.tree / "tmp/own").stat().st_uid == 1000


@pytest.mark.parametrize(
    "mount",
    [
        BindMount(target="/m", source="/usr", read_only=True),
        BindMount(target="/m", source="/etc/passwd"),
        FileMount(target="/m", content=b"x", secret=True),
        StackMount(target="/m", rootfs=Rootfs(lowers=("/usr", "/etc"))),
    ],
    ids=lambda mount: type(mount).__name__,
)
def test_what_can_only_be_mounted_is_refused_by_name(plain: Plain, mount: Mount) -> None:
    before = listing(plain.tree)
    with pytest.raises(Unsupported, match=r"`/m`.*has no mounts") as caught:
        plain.run("true", mounts=(mount,))
    assert caught.value.hint
    assert listing(plain.tree) == before


def test_a_cache_is_moved_in_and_back(plain: Plain, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "old").write_text("old\n")
    mount = BindMount(target="/root/.cache/pip", source=str(cache), ours=True)
    before = listing(plain.tree)
    assert plain.run("cd /root/.cache/pip; cat old; echo new > new", mounts=(mount,)).out == "old\n"
    assert sorted(path.name for path in cache.iterdir()) == ["new", "old"]
    assert listing(plain.tree) == before
    # While somebody else has it, or after it was lost, there is an empty one.
    shutil.rmtree(cache)
    assert plain.run("ls /root/.cache/pip; touch /root/.cache/pip/x", mounts=(mount,)).out == ""
    assert [path.name for path in cache.iterdir()] == ["x"]


def test_files_of_images_and_contexts_are_copied(plain: Plain, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "d/e").mkdir(parents=True)
    (source / "d/e/f").write_text("f\n")
    (source / "d/l").symlink_to("/etc/passwd")
    os.chown(source / "d/e/f", 3, 4)
    rootfs = Rootfs(lowers=(str(source),))
    mounts = (
        StackMount(target="/src", rootfs=rootfs, path="/d"),
        StackMount(target="/one", rootfs=rootfs, path="d/e/f"),
    )
    before = listing(plain.tree)
    ran = plain.run(
        "cat /src/e/f /one; stat -c %u:%g /src/e/f; readlink /src/l; echo x > /src/e/f",
        mounts=mounts,
    )
    assert ran.out.split() == ["f", "f", "3:4", "/etc/passwd"]
    assert (source / "d/e/f").read_text() == "f\n"
    assert listing(plain.tree) == before


def test_a_socket_of_the_builder_is_linked(plain: Plain, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "agent"))
        mount = SocketMount(
            target="/run/agent", source=str(tmp_path / "agent"), mode=0o600, uid=5, gid=6
        )
        ran = plain.run("stat -c '%F %a %u:%g' /run/agent", mounts=(mount,))
    assert ran.out == "socket 600 5:6\n"
    assert (tmp_path / "agent").exists()


def test_without_a_network_there_is_none_or_a_refusal(plain: Plain) -> None:
    import msgspec

    spec = msgspec.structs.replace(
        plain.spec('test "$(ip -o link | wc -l)" = 1'), network=Network.NONE
    )
    null = os.open(os.devnull, os.O_RDWR)
    try:
        assert plain._sandbox.launcher.run(spec, stdin=None, stdout=null, stderr=null).code == 0
    finally:
        os.close(null)


def test_limits_hold_and_what_only_walls_give_is_refused(plain: Plain) -> None:
    ran = plain.run(
        "ulimit -n; cat /proc/uptime >/dev/null", limits=(ProcessLimit("nofile", 50, 50),)
    )
    assert ran.out.split() == ["50"]
    with pytest.raises(Unsupported, match="a size of /dev/shm"):
        plain.run("true", shared_memory=1 << 20)
