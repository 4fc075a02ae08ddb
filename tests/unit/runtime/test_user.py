"""Users, by hostile files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.errors import StartFailed
from runtime.user import User, find_user

PASSWD = """root:x:0:0:root:/root:/bin/sh
# comment
ann:x:1000:100:Ann:/home/ann:/bin/sh
777:x:0:0::/root:/bin/sh
minus:x:-1:0::/:
huge:x:4294967296:0::/:
short:x:5
relative:x:6:6::home:
broken
"""
GROUP = "root:x:0:\nusers:x:100:\nstaff:x:50:bob,ann\nwheel:x:10:ann\nbad:x:99999999999:ann\n"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(PASSWD)
    (tmp_path / "etc/group").write_text(GROUP)
    descriptor = os.open(tmp_path, os.O_PATH)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize(
    ("wanted", "user"),
    [
        ("", User(0, 0, (), "/root")),
        ("root", User(0, 0, (), "/root")),
        ("ann", User(1000, 100, (50, 10), "/home/ann")),
        ("1000", User(1000, 100, (50, 10), "/home/ann")),
        ("ann:staff", User(1000, 50, (), "/home/ann")),
        ("ann:0", User(1000, 0, (), "/home/ann")),
        ("4000", User(4000, 0, (), "/")),
        ("4000:4001", User(4000, 4001, (), "/")),
        ("4294967294", User(4294967294, 0, (), "/")),
        ("relative", User(6, 6, (), "/")),
        ("0:wheel", User(0, 10, (), "/root")),
    ],
)
def test_who_is_found(root: int, wanted: str, user: User) -> None:
    assert find_user(root, wanted) == user


def test_a_number_is_never_a_name(root: int) -> None:
    assert find_user(root, "777").uid == 777


@pytest.mark.parametrize(
    "wanted",
    [
        "bob",
        "ann:nobody",
        "-1",
        "0:-1",
        "4294967295",
        "4294967296",
        "9" * 5000,
        "minus",
        "huge",
        "short",
        "ann:",
        ":",
        "ann:bad",
        "²",
        "x" * 100_000,
        ".",
        "../ann",
    ],
)
def test_who_is_refused(root: int, wanted: str) -> None:
    with pytest.raises(StartFailed) as caught:
        find_user(root, wanted)
    assert len(caught.value.message) < 300


def test_names_that_exist_are_told(root: int) -> None:
    with pytest.raises(StartFailed) as caught:
        find_user(root, "bob")
    assert caught.value.notes == (
        "`/etc/passwd` has: root, ann, 777, minus, huge, short, relative, broken",
    )


def test_without_files_numbers_and_root_work(tmp_path: Path) -> None:
    root = os.open(tmp_path, os.O_PATH)
    assert find_user(root, "") == User(0, 0)
    assert find_user(root, "root") == User(0, 0)
    assert find_user(root, "5:6") == User(5, 6)
    with pytest.raises(StartFailed, match="no user `ann`"):
        find_user(root, "ann")
    os.close(root)


def test_links_are_resolved_inside_and_never_outside(tmp_path: Path, root: int) -> None:
    (tmp_path / "etc/passwd").unlink()
    (tmp_path / "etc/passwd").symlink_to("/usr/share/passwd")
    with pytest.raises(StartFailed, match="no user `daemon`"):
        find_user(root, "daemon")
    (tmp_path / "usr/share").mkdir(parents=True)
    (tmp_path / "usr/share/passwd").write_text("daemon:x:2:3::/d:\n")
    assert find_user(root, "daemon") == User(2, 3, (), "/d")
    (tmp_path / "etc/passwd").unlink()
    (tmp_path / "etc/passwd").symlink_to("../../../../../../../../etc/passwd")
    with pytest.raises(StartFailed, match="cannot be used"):
        find_user(root, "root")


@pytest.mark.parametrize("kind", ["fifo", "directory", "large"])
def test_what_is_no_plain_file_of_sane_size_is_refused_at_once(
    tmp_path: Path, root: int, kind: str
) -> None:
    passwd = tmp_path / "etc/passwd"
    passwd.unlink()
    match kind:
        case "fifo":
            os.mkfifo(passwd)
        case "directory":
            passwd.mkdir()
        case _:
            with passwd.open("wb") as file:
                file.truncate(10 * 1024 * 1024 + 1)
    with pytest.raises(StartFailed, match="cannot be used"):
        find_user(root, "ann")
