"""What a hostile command or image can reach: nothing of the host."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from runtime.errors import SetupFailed, StartFailed
from runtime.spec import BindMount, IsolationName, Network, TmpfsMount
from tests.sandbox.harness import Sandbox, walls


def test_root_has_the_capabilities_of_docker(sandbox: Sandbox) -> None:
    status = sandbox.run("grep Cap /proc/self/status").out.split()
    full, none = "00000000a80425fb", "0" * 16
    assert status == [
        "CapInh:",
        none,
        "CapPrm:",
        full,
        "CapEff:",
        full,
        "CapBnd:",
        full,
        "CapAmb:",
        none,
    ]


def test_a_user_has_no_capabilities(sandbox: Sandbox) -> None:
    status = sandbox.run("grep -e CapPrm -e CapEff /proc/self/status", user="ann").out.split()
    assert status == ["CapPrm:", "0" * 16, "CapEff:", "0" * 16]


def test_set_id_programs_still_work_and_calls_are_filtered(sandbox: Sandbox) -> None:
    status = sandbox.run("grep -e NoNewPrivs -e Seccomp: /proc/self/status").out.split()
    assert status == ["NoNewPrivs:", "0", "Seccomp:", "2"]


@pytest.mark.parametrize(
    "script",
    [
        "mount -t tmpfs none /tmp",
        "umount /proc/acpi || umount /sys/firmware",
        "unshare -U true",
        "unshare -m true",
        "mount -o remount,rw /sys",
        "hostname other",
        "chroot . /bin/sh -c 'mount -t proc none /proc'",
    ],
)
def test_walls_cannot_be_moved_from_inside(sandbox: Sandbox, script: str) -> None:
    assert sandbox.run(script).code != 0


def test_nothing_of_the_old_root_is_mounted(sandbox: Sandbox) -> None:
    mounts = sandbox.run("cat /proc/self/mountinfo").out.splitlines()
    points = [line.split()[4] for line in mounts]
    assert points.count("/") == 1
    assert {point.split("/")[1] for point in points} == {"", "proc", "sys", "dev"}


def test_dangerous_parts_of_proc_are_hidden_or_read_only(sandbox: Sandbox) -> None:
    ran = sandbox.run(
        "wc -c < /proc/kcore; wc -c < /proc/timer_list; ls /proc/acpi /sys/firmware /sys/fs/cgroup | grep -v :;"
        "for f in /proc/sys/kernel/hostname /proc/sysrq-trigger /proc/sys/vm/drop_caches; do"
        " (echo x > $f) 2>/dev/null && echo wrote $f; done; touch /sys/kernel/x 2>/dev/null && echo touched"
    )
    assert "wrote" not in ran.out
    assert "touched" not in ran.out
    assert set(ran.out.split()) <= {"0"}


def test_device_files_of_an_image_or_command_cannot_be_opened(sandbox: Sandbox) -> None:
    ran = sandbox.run(
        "mknod /mem c 1 1; mknod /zero c 1 5; dd if=/zero of=/out bs=1 count=1; ls /out"
    )
    assert ran.code != 0
    assert walls() is not IsolationName.ROOT or "Permission denied" in ran.err


def test_the_devices_that_are_there_work(sandbox: Sandbox) -> None:
    ran = sandbox.run(
        "echo x > /dev/null; dd if=/dev/zero bs=4 count=1 2>&- | wc -c; dd if=/dev/urandom bs=4 count=1 2>&- | wc -c;"
        "(echo > /dev/full) 2>&1; readlink /dev/fd; [ -w /dev/shm ] && [ -d /dev/mqueue ] && echo yes; ls /dev"
    )
    lines = ran.out.splitlines()
    assert lines[:2] == ["4", "4"]
    assert "No space left" in lines[2]
    assert lines[3:5] == ["/proc/self/fd", "yes"]
    assert lines[5:] == (
        [
            "fd",
            "full",
            "mqueue",
            "null",
            "ptmx",
            "pts",
            "random",
            "shm",
            "stderr",
            "stdin",
            "stdout",
            "tty",
            "urandom",
            "zero",
        ]
    )


@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
def test_kernel_file_systems_are_not_mounted_through_links(
    sandbox: Sandbox, bare_image: Path, tmp_path: Path, name: str
) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    (tmp_path / "host").mkdir()
    (layer / name).symlink_to(tmp_path / "host")
    with pytest.raises(SetupFailed, match="symbolic link"):
        sandbox.run("true", lowers=(layer, bare_image))
    assert list((tmp_path / "host").iterdir()) == []


@pytest.mark.parametrize("link", ["etc", "etc/resolv.conf", "etc/hosts"])
@pytest.mark.parametrize("form", ["absolute", "relative"])
def test_files_are_shown_inside_whatever_links_the_image_has(
    sandbox: Sandbox, bare_image: Path, tmp_path: Path, link: str, form: str
) -> None:
    outside = tmp_path / "host"
    outside.mkdir()
    (outside / "resolv.conf").write_text("host")
    layer = tmp_path / "layer"
    (layer / link).parent.mkdir(parents=True)
    target = str(outside) if form == "absolute" else "../../../../../../.." + str(outside)
    (layer / link).symlink_to(target if link == "etc" else f"{target}/resolv.conf")
    ran = sandbox.run(
        "cat /etc/resolv.conf",
        lowers=(layer, bare_image),
        files=(("/etc/resolv.conf", b"shown\n"),),
        user="0:0",
    )
    assert ran.out == "shown\n"
    assert (outside / "resolv.conf").read_text() == "host"
    assert [path.name for path in outside.iterdir()] == ["resolv.conf"]


def test_mount_targets_stay_inside(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/file").write_text("from the host")
    (tmp_path / "host").mkdir()
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "link").symlink_to(tmp_path / "host")
    ran = sandbox.run(
        "cat /link/in/file && cat ../a/file",
        cwd="/tmp",
        lowers=(layer, sandbox.image),
        mounts=(
            BindMount(target="/link/in", source=str(tmp_path / "source")),
            BindMount(target="/../../a", source=str(tmp_path / "source")),
        ),
    )
    assert ran.out == "from the host" * 2
    assert list((tmp_path / "host").iterdir()) == []


@pytest.mark.parametrize(
    "target", ["/proc/self/fd/7", "/proc/new", "/sys/new", "/etc/passwd/x", "/"]
)
def test_impossible_mount_targets_are_refused(
    sandbox: Sandbox, tmp_path: Path, target: str
) -> None:
    with pytest.raises(SetupFailed):
        sandbox.run("true", mounts=(BindMount(target=target, source=str(tmp_path)),))


def test_a_bind_may_be_read_only_and_never_has_devices(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    ran = sandbox.run(
        "echo x > /mnt/x; grep ' /mnt ' /proc/self/mountinfo",
        mounts=(BindMount(target="/mnt", source=str(tmp_path / "source"), read_only=True),),
    )
    assert "Read-only" in ran.err
    assert "ro,nodev" in ran.out
    assert list((tmp_path / "source").iterdir()) == []


def test_a_tmpfs_has_its_size_and_mode(sandbox: Sandbox) -> None:
    ran = sandbox.run(
        "stat -c %a /secrets; dd if=/dev/zero of=/secrets/x bs=1k count=100",
        mounts=(TmpfsMount(target="/secrets", mode=0o700, size=65536),),
    )
    assert ran.out == "700\n"
    assert "No space left" in ran.err


def test_the_layer_keeps_the_places_of_the_kernel_alone_of_what_mounts_needed(
    sandbox: Sandbox, bare_image: Path, tmp_path: Path
) -> None:
    (tmp_path / "source").mkdir()
    os.utime(bare_image / "etc", (1_000_000_000, 1_000_000_000))
    os.utime(bare_image, (1_000_000_001, 1_000_000_001))
    ran = sandbox.run(
        "cat /etc/resolv.conf; stat -c %Y /etc; ls -d /cache/pip /run/secrets/one",
        lowers=(bare_image,),
        files=(("/etc/resolv.conf", b"shown\n"), ("/run/secrets/one", b"")),
        mounts=(BindMount(target="/cache/pip", source=str(tmp_path / "source")),),
    )
    assert ran.out == "shown\n1000000000\n/cache/pip\n/run/secrets/one\n"
    assert sorted(path.name for path in ran.upper.rglob("*")) == ["dev", "proc", "sys"]


def test_a_change_beside_a_mount_keeps_the_attributes_of_its_directory(
    sandbox: Sandbox, tmp_path: Path, bare_image: Path
) -> None:
    layer = tmp_path / "layer"
    (layer / "etc").mkdir(parents=True)
    (layer / "etc").chmod(0o1731)
    os.setxattr(layer / "etc", "user.mark", b"kept")
    ran = sandbox.run(
        "echo x > /etc/new",
        lowers=(layer, bare_image),
        files=(("/etc/resolv.conf", b"shown\n"),),
    )
    assert ran.code == 0
    changed = {str(path.relative_to(ran.upper)) for path in ran.upper.rglob("*")}
    assert changed == {"dev", "etc", "etc/new", "proc", "sys"}
    assert (ran.upper / "etc").stat().st_mode & 0o7777 == 0o1731
    assert os.getxattr(ran.upper / "etc", "user.mark") == b"kept"


def test_shown_files_cannot_be_written(sandbox: Sandbox) -> None:
    ran = sandbox.run(
        "echo x > /etc/resolv.conf; rm -f /etc/resolv.conf; cat /etc/resolv.conf",
        files=(("/etc/resolv.conf", b"shown\n"),),
    )
    assert ran.out == "shown\n"


@pytest.mark.parametrize(
    ("user", "shown"),
    [
        ("", "uid=0(root) gid=0(root) groups=0(root),10(wheel)"),
        ("ann", "uid=1000(ann) gid=1000(ann) groups=10(wheel),50(staff),1000(ann)"),
        ("1000", "uid=1000(ann) gid=1000(ann) groups=10(wheel),50(staff),1000(ann)"),
        ("1234", "uid=1234 gid=0(root) groups=0(root)"),
        ("ann:staff", "uid=1000(ann) gid=50(staff) groups=50(staff)"),
        ("ann:7", "uid=1000(ann) gid=7 groups=7"),
        ("1234:ann", "uid=1234 gid=1000(ann) groups=1000(ann)"),
        ("0:0", "uid=0(root) gid=0(root) groups=0(root)"),
    ],
)
def test_users_are_found_in_the_image(sandbox: Sandbox, user: str, shown: str) -> None:
    assert sandbox.run("id", user=user).out.strip() == shown


def test_home_is_the_users(sandbox: Sandbox) -> None:
    assert sandbox.run("echo $HOME", user="ann").out == "/home/ann\n"


def test_an_unknown_user_is_refused_with_the_names_that_exist(sandbox: Sandbox) -> None:
    with pytest.raises(StartFailed, match="no user `bob`") as caught:
        sandbox.run("true", user="bob")
    assert "root, ann, big" in caught.value.notes[0]


@pytest.mark.parametrize("user", ["-1", "4294967295", "4294967296", "big", "0:-1", "ann:nogroup"])
def test_ids_out_of_range_never_become_root(sandbox: Sandbox, user: str) -> None:
    with pytest.raises(StartFailed):
        sandbox.run("true", user=user)


@pytest.mark.parametrize("kind", ["fifo", "link to a device", "large"])
def test_account_files_that_would_hang_are_refused(
    sandbox: Sandbox, tmp_path: Path, kind: str
) -> None:
    layer = tmp_path / "layer"
    (layer / "etc").mkdir(parents=True)
    passwd = layer / "etc/passwd"
    if kind == "fifo":
        os.mkfifo(passwd)
    elif kind == "large":
        with passwd.open("wb") as file:
            file.truncate(100 << 20)
    else:
        passwd.symlink_to("/dev/zero")
    # Before /dev is mounted the link leads to nothing, and a number then needs no file.
    if kind == "link to a device":
        ran = sandbox.run(
            "/bin/grep", "Uid", "/proc/1/status", lowers=(layer, sandbox.image), user="5"
        )
        assert ran.out.split() == ["Uid:", "5", "5", "5", "5"]
        return
    with pytest.raises(StartFailed, match="cannot be used"):
        sandbox.run("true", lowers=(layer, sandbox.image), user="ann")


def test_more_layers_than_the_kernel_stacks_are_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    layers = []
    for number in range(501):
        (tmp_path / f"l{number}").mkdir()
        layers.append(tmp_path / f"l{number}")
    with pytest.raises(SetupFailed, match="at most 500"):
        sandbox.run("true", lowers=tuple(layers))


def test_hundreds_of_layers_with_long_names_work(sandbox: Sandbox, tmp_path: Path) -> None:
    layers = []
    for number in range(200):
        layer = tmp_path / ("x" * 200) / ("y" * 100) / f"l{number},:"
        layer.mkdir(parents=True)
        (layer / f"f{number}").touch()
        layers.append(layer)
    ran = sandbox.run("ls -d /f*", lowers=(*layers, sandbox.image))
    assert len(ran.out.split()) == 200


def test_own_network_has_its_own_sysfs(sandbox: Sandbox) -> None:
    ran = sandbox.run("ls /sys/class/net; touch /sys/x", network=Network.NONE)
    assert ran.out == "lo\n"
    assert os.strerror(errno.EROFS) in ran.err


@pytest.mark.parametrize("user", ["4294967294", "4294967294:4294967294", "0:4294967294"])
def test_the_highest_ids_work_where_the_map_has_them(sandbox: Sandbox, user: str) -> None:
    command = ("/bin/grep", "-e", "Uid", "-e", "Gid", "/proc/self/status")
    if walls() is IsolationName.ROOTLESS:
        with pytest.raises(StartFailed, match="4294967294") as caught:
            sandbox.run(*command, user=user)
        assert "/etc/subuid" in str(caught.value.hint)
        return
    uid, _, gid = user.partition(":")
    assert sandbox.run(*command, user=user).out.split() == [
        *("Uid:", *[uid] * 4),
        *("Gid:", *[gid or "0"] * 4),
    ]


def test_a_numeric_name_in_passwd_is_not_the_number(
    sandbox: Sandbox, bare_image: Path, tmp_path: Path
) -> None:
    layer = tmp_path / "layer"
    (layer / "etc").mkdir(parents=True)
    (layer / "etc/passwd").write_text(
        "7:x:0:0::/:\n4294967296:x:0:0::/:\n-1:x:0:0::/:\nbin:x:7:8::/b:\n"
    )
    (layer / "etc/group").write_text("9:x:0:\nnine:x:9:\nmany:x:10:bin\nmore:x:11:7,bin\n")
    (layer / "proc").mkdir()
    lowers = (layer, bare_image)
    assert sandbox.run("id -u; id -g; echo $HOME", user="7", lowers=lowers).out == "7\n8\n/b\n"
    assert sandbox.run("id -G", user="bin", lowers=lowers).out.split() == ["8", "10", "11"]
    assert sandbox.run("id -u; id -g", user="7:9", lowers=lowers).out == "7\n9\n"
    for user in ("4294967296", "-1", "7:-1", "bin:4294967296"):
        with pytest.raises(StartFailed):
            sandbox.run("true", user=user, lowers=lowers)


def test_more_groups_than_the_kernel_takes_are_refused(
    sandbox: Sandbox, bare_image: Path, tmp_path: Path
) -> None:
    layer = tmp_path / "layer"
    (layer / "etc").mkdir(parents=True)
    (layer / "etc/passwd").write_text("ann:x:1000:1000::/:\n")
    lines = "".join(f"g{number}:x:{number}:ann\n" for number in range(1, 70_000))
    (layer / "etc/group").write_text(lines)
    with pytest.raises(StartFailed, match="69999 groups"):
        sandbox.run("true", user="ann", lowers=(layer, bare_image))


def test_accounts_of_a_large_file_are_found_at_its_end(
    sandbox: Sandbox, bare_image: Path, tmp_path: Path
) -> None:
    layer = tmp_path / "layer"
    (layer / "etc").mkdir(parents=True)
    filler = "".join(f"u{number}:x:{number}:{number}::/:\n" for number in range(1, 100_000))
    (layer / "etc/passwd").write_text(filler + "last:x:1234:1234::/:\n")
    (layer / "etc/group").write_text("")
    assert sandbox.run("id -u", user="last", lowers=(layer, bare_image)).out == "1234\n"
