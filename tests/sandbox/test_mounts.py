"""What a step is shown besides its root file system: stacks, files in memory, sockets."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from runtime.errors import SetupFailed
from runtime.spec import BindMount, FileMount, Rootfs, SocketMount, StackMount
from tests.sandbox.harness import Sandbox


def stack(tmp_path: Path, *, writable: bool = False) -> Rootfs:
    """Make two layers, of which the upper one replaces a file of the lower, and removes none."""
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    for layer, text in ((lower, "old\n"), (upper, "new\n")):
        (layer / "out/deep").mkdir(parents=True)
        (layer / "out/replaced").write_text(text)
    (lower / "out/deep/kept").write_text("kept\n")
    (lower / "away").symlink_to("/out/deep")
    (lower / "file").write_text("a file\n")
    if not writable:
        return Rootfs(lowers=(str(upper), str(lower)))
    for name in ("written", "work"):
        (tmp_path / name).mkdir()
    return Rootfs(
        lowers=(str(upper), str(lower)),
        upper=str(tmp_path / "written"),
        work=str(tmp_path / "work"),
    )


def test_a_stack_is_shown_as_one_directory(sandbox: Sandbox, tmp_path: Path) -> None:
    mount = StackMount(target="/given/here", rootfs=stack(tmp_path), path="out")
    ran = sandbox.run("cat /given/here/replaced /given/here/deep/kept", mounts=(mount,))
    assert (ran.out, ran.err) == ("new\nkept\n", "")
    assert list(ran.upper.rglob("*")) == []


def test_a_stack_without_an_upper_directory_cannot_be_written(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    mount = StackMount(target="/given", rootfs=stack(tmp_path))
    ran = sandbox.run("echo x > /given/out/new || echo x > /given/file", mounts=(mount,))
    assert ran.code != 0
    assert ran.err.count("Read-only file system") == 2


def test_what_is_written_to_a_stack_goes_to_its_upper_directory(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    mount = StackMount(target="/given", rootfs=stack(tmp_path, writable=True), path="/out/")
    ran = sandbox.run("echo changed > /given/replaced && cat /given/replaced", mounts=(mount,))
    assert ran.out == "changed\n"
    assert (tmp_path / "upper/out/replaced").read_text() == "new\n"
    assert (tmp_path / "written/out/replaced").read_text() == "changed\n"
    assert list(ran.upper.rglob("*")) == []


def test_a_file_of_a_stack_is_shown_as_a_file(sandbox: Sandbox, tmp_path: Path) -> None:
    mount = StackMount(target="/etc/shown", rootfs=stack(tmp_path), path="file")
    ran = sandbox.run("cat /etc/shown; ls -A /etc | grep -c shown", mounts=(mount,))
    assert ran.out == "a file\n1\n"
    assert list(ran.upper.rglob("*")) == []


def test_links_in_the_path_of_a_stack_stay_inside_it(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    rootfs = stack(tmp_path)
    inside = StackMount(target="/a", rootfs=rootfs, path="away")
    above = StackMount(target="/b", rootfs=rootfs, path="../../out/deep")
    ran = sandbox.run("cat /a/kept /b/kept", mounts=(inside, above))
    assert ran.out == "kept\nkept\n"


def test_a_path_that_a_stack_has_not_is_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    mount = StackMount(target="/a", rootfs=stack(tmp_path), path="out/missing")
    with pytest.raises(SetupFailed, match="out/missing"):
        sandbox.run("true", mounts=(mount,))


def test_several_stacks_of_equal_height_do_not_mix(sandbox: Sandbox, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    mounts = tuple(
        StackMount(target=f"/{name}", rootfs=stack(tmp_path / name), path="out")
        for name in ("one", "two")
    )
    (tmp_path / "two/upper/out/replaced").write_text("of two\n")
    ran = sandbox.run("cat /one/replaced /two/replaced", mounts=mounts)
    assert ran.out == "new\nof two\n"


def test_a_file_in_memory_has_the_mode_and_owner_that_were_asked_for(sandbox: Sandbox) -> None:
    mounts = (
        FileMount(target="/run/secrets/token", content=b"value\n", mode=0o400),
        FileMount(target="/etc/given", content=b"for 7\n", mode=0o440, uid=7, gid=8),
    )
    ran = sandbox.run(
        "cat /run/secrets/token /etc/given; stat -c %a:%u:%g /run/secrets/token /etc/given;"
        "echo x > /etc/given",
        mounts=mounts,
    )
    assert ran.out == "value\nfor 7\n400:0:0\n440:7:8\n"
    assert "Read-only file system" in ran.err
    assert list(ran.upper.rglob("*")) == []


def test_a_file_in_memory_is_closed_to_other_users(sandbox: Sandbox) -> None:
    mount = FileMount(target="/run/secrets/token", content=b"value\n", mode=0o400)
    ran = sandbox.run("cat /run/secrets/token", mounts=(mount,), user="1")
    assert "Permission denied" in ran.err
    assert ran.out == ""


def test_a_socket_is_shown_with_the_owner_that_was_asked_for(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    path = tmp_path / "agent"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        mount = SocketMount(target="/run/agent.0", source=str(path), mode=0o600, uid=5, gid=6)
        ran = sandbox.run("stat -c '%F %a %u:%g' /run/agent.0", mounts=(mount,))
    assert ran.out == "socket 600 5:6\n"
    assert stat.S_ISSOCK(os.lstat(path).st_mode)
    assert list(ran.upper.rglob("*")) == []


def test_a_file_is_not_shown_as_a_socket(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with pytest.raises(SetupFailed, match="socket"):
        sandbox.run("true", mounts=(SocketMount(target="/s", source=str(tmp_path / "plain")),))


def test_a_mount_may_lie_inside_another(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "outer").mkdir()
    mounts = (
        FileMount(target="/outer/in/token", content=b"inner\n"),
        BindMount(target="/outer", source=str(tmp_path / "outer")),
    )
    ran = sandbox.run("cat /outer/in/token", mounts=mounts)
    assert ran.out == "inner\n"
