"""Paths below a root, by the kernel's own call and without it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.beneath import open_beneath, read_beneath, walk
from runtime.syscalls import SyscallError, Syscalls


class WithoutOpenat2(Syscalls):
    """A kernel or filter that does not know the call."""

    def open_resolved(self, directory: int, path: str, flags: int, mode: int, resolve: int) -> int:
        """Refuse."""
        raise SyscallError(errno.ENOSYS, "openat2", path)


@pytest.fixture(params=[Syscalls, WithoutOpenat2], ids=["openat2", "step by step"])
def calls(request: pytest.FixtureRequest) -> Syscalls:
    return request.param()


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "secret").write_text("outside")
    top = tmp_path / "root"
    (top / "a/b").mkdir(parents=True)
    (top / "a/b/file").write_text("inside")
    (top / "secret").write_text("of the root")
    (top / "absolute").symlink_to("/a/b/file")
    (top / "relative").symlink_to("a/../a/b")
    (top / "up").symlink_to("../../../secret")
    (top / "loop").symlink_to("loop")
    (top / "dangling").symlink_to("/new/place")
    (top / "chain").symlink_to("relative/file")
    descriptor = os.open(top, os.O_PATH)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("a/b/file", b"inside"),
        ("/a/b/file", b"inside"),
        ("//a/./b//file", b"inside"),
        ("absolute", b"inside"),
        ("relative/file", b"inside"),
        ("chain", b"inside"),
        ("up", b"of the root"),
        ("../../secret", b"of the root"),
        ("a/../../../secret", b"of the root"),
    ],
)
def test_what_a_path_leads_to(calls: Syscalls, root: int, path: str, content: bytes) -> None:
    assert read_beneath(root, path, 100, syscalls=calls) == content


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("missing", errno.ENOENT),
        ("dangling", errno.ENOENT),
        ("a/b/file/x", errno.ENOTDIR),
        ("loop", errno.ELOOP),
        ("a", errno.EINVAL),
    ],
)
def test_what_cannot_be_read(calls: Syscalls, root: int, path: str, number: int) -> None:
    with pytest.raises(OSError) as caught:
        read_beneath(root, path, 100, syscalls=calls)
    assert caught.value.errno == number


def test_a_limit_is_kept(calls: Syscalls, root: int) -> None:
    with pytest.raises(OSError) as caught:
        read_beneath(root, "secret", 3, syscalls=calls)
    assert caught.value.errno == errno.EFBIG


def test_a_last_link_is_not_followed_when_that_is_asked(calls: Syscalls, root: int) -> None:
    with pytest.raises(OSError) as caught:
        open_beneath(root, "absolute", os.O_RDONLY | os.O_NOFOLLOW, syscalls=calls)
    assert caught.value.errno == errno.ELOOP
    link = open_beneath(root, "absolute", os.O_PATH | os.O_NOFOLLOW, syscalls=calls)
    assert os.readlink(f"/proc/self/fd/{link}").endswith("/root/absolute")
    os.close(link)


def test_files_are_made_inside(calls: Syscalls, root: int, tmp_path: Path) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    os.close(open_beneath(root, "../../a/new", flags, mode=0o600, syscalls=calls))
    assert (tmp_path / "root/a/new").exists()
    with pytest.raises(FileExistsError):
        open_beneath(root, "a/new", flags, mode=0o600, syscalls=calls)
    with pytest.raises(FileNotFoundError):
        open_beneath(root, "x/y/new", flags, mode=0o600, syscalls=calls)


@pytest.mark.parametrize(
    ("path", "names", "missing"),
    [
        ("/", (), 0),
        ("relative", ("a", "b"), 0),
        ("dangling/deep", ("new", "place", "deep"), 3),
        ("a/x/../y", ("a", "y"), 1),
        ("a/b/file", ("a", "b", "file"), 0),
        ("up/../a", (), -1),
    ],
)
def test_a_walk_tells_the_real_names(
    root: int, path: str, names: tuple[str, ...], missing: int
) -> None:
    calls = Syscalls()
    if missing < 0:
        with pytest.raises(NotADirectoryError):
            walk(calls, root, path)
        return
    place = walk(calls, root, path)
    os.close(place.descriptor)
    assert (place.path, place.missing) == (names, missing)


def test_a_walk_leaves_no_descriptor_behind(root: int) -> None:
    calls = Syscalls()
    before = len(os.listdir("/proc/self/fd"))
    for path in ("chain", "dangling/x", "a/b/file", "loop", "a/b/file/x", "../.."):
        try:
            os.close(walk(calls, root, path).descriptor)
        except OSError:
            continue
    assert len(os.listdir("/proc/self/fd")) == before
