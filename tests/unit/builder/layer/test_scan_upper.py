"""What the upper directory of a step says about the chain below it."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import stat
import tarfile
from pathlib import Path

import pytest

from builder.errors import LayerError
from builder.layer.entries import read_entries
from builder.layer.entry import Entry, Kind
from builder.layer.lowers import Lowers
from builder.layer.scan import scan_upper
from builder.layer.scanned import LayerScan

SECOND = 10**9

pytestmark = pytest.mark.needs_root


class Step:
    """An upper directory over one lower, made by hand as overlayfs leaves it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.lower = place / "lower"
        self.upper = place / "upper"
        for directory in (self.lower, self.upper):
            directory.mkdir()
            directory.chmod(0o755)

    def copy_up(self, name: str) -> Path:
        """Make a directory of the lower in the upper, as the kernel does before it writes below."""
        source, target = self.lower / name, self.upper / name
        target.mkdir(parents=True)
        status = source.stat()
        target.chmod(stat.S_IMODE(status.st_mode))
        os.utime(target, ns=(0, status.st_mtime_ns))
        return target

    def scan(self, **more: str) -> tuple[LayerScan, list[Entry]]:
        entries = str(self.place / "entries")
        scan = scan_upper(str(self.upper), (str(self.lower),), entries_path=entries, **more)
        return scan, list(read_entries(entries))

    def listing(self) -> list[tuple[bytes, Kind]]:
        return [(entry.path, entry.kind) for entry in self.scan()[1]]


@pytest.fixture
def step(tmp_path: Path) -> Step:
    return Step(tmp_path)


def whiteout(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR, 0)


def opaque(path: Path) -> None:
    os.setxattr(path, "user.overlay.opaque", b"y")


def test_a_step_that_wrote_nothing_is_empty(step: Step) -> None:
    scan, entries = step.scan()
    assert scan.empty
    assert entries == []
    assert not scan.implied


def test_files_are_recorded_in_full(step: Step) -> None:
    (step.upper / "f").write_bytes(b"data")
    (step.upper / "f").chmod(0o4750)
    os.chown(step.upper / "f", 7, 70_000)
    (step.upper / "f").chmod(0o4750)
    os.setxattr(step.upper / "f", "user.note", b"1")
    os.utime(step.upper / "f", ns=(0, 5_999_999_999))
    _, entries = step.scan()
    assert entries == [
        Entry(
            b"f",
            Kind.FILE,
            0o4750,
            7,
            70_000,
            5 * SECOND,
            4,
            digest=hashlib.sha256(b"data").digest(),
            xattrs=((b"user.note", b"1"),),
        )
    ]


def test_directories_copied_up_unchanged_are_not_listed(step: Step) -> None:
    (step.lower / "a" / "b").mkdir(parents=True)
    (step.lower / "a").chmod(0o1777)
    (step.copy_up("a/b") / "f").touch()
    os.utime(step.upper / "a/b", (3, 3))
    step.upper.joinpath("a").chmod(0o1777)
    os.utime(step.upper / "a", ns=(0, (step.lower / "a").stat().st_mtime_ns))
    assert step.listing() == [(b"a/b", Kind.DIRECTORY), (b"a/b/f", Kind.FILE)]
    assert step.scan()[0].implied


@pytest.mark.parametrize("change", ["mode", "owner", "time", "attribute"])
def test_directories_that_changed_are_listed(step: Step, change: str) -> None:
    (step.lower / "a").mkdir()
    a = step.copy_up("a")
    match change:
        case "mode":
            a.chmod(0o711)
        case "owner":
            os.chown(a, 3, 4)
        case "time":
            os.utime(a, ns=(0, (step.lower / "a").stat().st_mtime_ns + 1))
        case _:
            os.setxattr(a, "user.note", b"1")
    assert step.listing() == [(b"a", Kind.DIRECTORY)]


def _file_in_both(step: Step) -> Path:
    """Make `a/f` below, and a copy of it as the kernel makes one for a `chown` to the same owner."""
    (step.lower / "a").mkdir()
    below = step.lower / "a/f"
    below.write_bytes(b"data")
    os.utime(below, ns=(0, 7 * SECOND + 5))
    os.utime(step.lower / "a", ns=(0, 9 * SECOND + 1))
    above = step.copy_up("a") / "f"
    shutil.copy2(below, above)
    return above


def test_files_copied_up_unchanged_are_removed_without_a_trace(step: Step) -> None:
    above = _file_in_both(step)
    (step.lower / "a/l").symlink_to("f")
    (step.upper / "a/l").symlink_to("f")
    for root in (step.lower, step.upper):
        os.utime(root / "a/l", ns=(0, 8 * SECOND), follow_symlinks=False)
        os.utime(root / "a", ns=(0, 9 * SECOND + 1))
    assert step.listing() == []
    assert not above.exists()
    assert list((step.upper / "a").iterdir()) == []
    assert (step.upper / "a").stat().st_mtime_ns == 9 * SECOND + 1


@pytest.mark.parametrize("change", ["mode", "owner", "time", "attribute", "bytes", "link", "below"])
def test_files_copied_up_are_listed_with_any_change(step: Step, change: str) -> None:
    above = _file_in_both(step)
    match change:
        case "mode":
            above.chmod(0o600)
        case "owner":
            os.chown(above, 3, 4)
        case "time":
            os.utime(above, ns=(0, 7 * SECOND + 6))
        case "attribute":
            os.setxattr(above, "user.note", b"1")
        case "bytes":
            above.write_bytes(b"atad")
            os.utime(above, ns=(0, 7 * SECOND + 5))
        case "link":
            (step.upper / "b").hardlink_to(above)
        case _:
            opaque(step.upper / "a")
    os.utime(step.upper / "a", ns=(0, 9 * SECOND + 1))
    assert (b"a/f", Kind.FILE) in step.listing()
    assert above.exists()


def test_the_time_of_the_root_does_not_count_but_its_mode_does(step: Step) -> None:
    os.utime(step.upper, (9, 9))
    assert step.listing() == []
    step.upper.chmod(0o711)
    assert step.listing() == [(b"", Kind.DIRECTORY)]


def test_whiteouts_are_no_links_of_each_other(step: Step) -> None:
    """Overlayfs makes them hard links of one inode."""
    for name in ("a", "b", "c"):
        (step.lower / name).touch()
    whiteout(step.upper / "a")
    os.link(step.upper / "a", step.upper / "b")
    os.link(step.upper / "a", step.upper / "c")
    assert step.listing() == [(name, Kind.WHITEOUT) for name in (b"a", b"b", b"c")]


def test_whiteouts_come_before_their_siblings_in_the_tar(step: Step, tmp_path: Path) -> None:
    (step.lower / "d").mkdir()
    os.utime(step.lower / "d", (1, 1))
    (step.copy_up("d") / "a").touch()
    whiteout(step.upper / "d" / "z")
    (step.upper / "b").mkdir()
    (step.upper / "b" / "f").touch()
    whiteout(step.upper / "y")
    scan, entries = step.scan(write_tar=str(tmp_path / "tar"))
    with tarfile.open(tmp_path / "tar") as tar:
        assert tar.getnames() == [".wh.y", "b", "b/f", "d", "d/.wh.z", "d/a"]
    assert [entry.path for entry in entries] == [b"b", b"b/f", b"d", b"d/a", b"d/z", b"y"]
    data = (tmp_path / "tar").read_bytes()
    assert (scan.diff_id, scan.size) == ("sha256:" + hashlib.sha256(data).hexdigest(), len(data))


def test_opaque_directories_say_so_where_they_hide_something(step: Step) -> None:
    for name in ("hides", "not"):
        (step.upper / name).mkdir()
        opaque(step.upper / name)
    (step.lower / "hides").mkdir()
    (step.lower / "not").touch()
    assert step.listing() == [
        (b"hides", Kind.DIRECTORY),
        (b"hides", Kind.OPAQUE),
        (b"not", Kind.DIRECTORY),
    ]


def test_nothing_shows_through_an_opaque_directory(step: Step) -> None:
    (step.lower / "a" / "b").mkdir(parents=True)
    step.copy_up("a/b")
    step.upper.joinpath("a").chmod(0o755)
    opaque(step.upper / "a")
    assert (b"a/b", Kind.DIRECTORY) in step.listing()


def test_links_made_in_the_step_are_kept(step: Step) -> None:
    (step.upper / "b").write_bytes(b"x")
    (step.upper / "b").chmod(0o640)
    os.link(step.upper / "b", step.upper / "a")
    os.symlink("nowhere", step.upper / "l")
    os.link(step.upper / "l", step.upper / "m", follow_symlinks=False)
    _, entries = step.scan()
    assert [(e.path, e.kind, e.link) for e in entries] == [
        (b"a", Kind.FILE, b""),
        (b"b", Kind.HARDLINK, b"a"),
        (b"l", Kind.SYMLINK, b"nowhere"),
        (b"m", Kind.HARDLINK, b"l"),
    ]
    assert entries[1].mode == 0o640


def test_special_files(step: Step) -> None:
    os.mkfifo(step.upper / "fifo", 0o600)
    os.mknod(step.upper / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(step.upper / "disk", stat.S_IFBLK | 0o600, os.makedev(8, 300))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(step.upper / "socket"))
        _, entries = step.scan()
    assert [(e.path, e.kind, e.major, e.minor) for e in entries] == [
        (b"disk", Kind.BLOCK, 8, 300),
        (b"fifo", Kind.FIFO, 0, 0),
        (b"null", Kind.CHARACTER, 1, 3),
    ]


def test_marks_of_overlayfs_are_removed_from_the_directory_too(step: Step) -> None:
    (step.lower / "d").mkdir()
    (step.upper / "d").mkdir()
    (step.upper / "d" / "f").touch()
    opaque(step.upper / "d")
    for path in (step.upper / "d", step.upper / "d" / "f"):
        os.setxattr(path, "user.overlay.origin", b"\0\xfb")
        os.setxattr(path, "user.overlay.overlay.opaque", b"y")
        os.setxattr(path, "trusted.overlay.redirect", b"/etc")
        os.setxattr(path, "user.mine", b"1")
    os.setxattr(step.upper / "d" / "f", "user.overlay.opaque", b"y")
    _, entries = step.scan()
    assert {entry.xattrs for entry in entries if entry.kind is not Kind.OPAQUE} == {
        ((b"user.mine", b"1"),)
    }
    assert sorted(os.listxattr(step.upper / "d")) == ["user.mine", "user.overlay.opaque"]
    assert os.listxattr(step.upper / "d" / "f") == ["user.mine"]


def test_names_need_not_be_text(step: Step) -> None:
    root = os.fsencode(step.upper)
    for name in (b"\xff", b"\xee\x80\x80", b"\xed\xb3\xbf", b"a b\n"):
        with open(root + b"/" + name, "wb"):
            pass
    assert [path for path, _ in step.listing()] == sorted(
        [b"\xff", b"\xee\x80\x80", b"\xed\xb3\xbf", b"a b\n"]
    )


def test_names_reserved_for_removal_are_refused(step: Step) -> None:
    (step.upper / ".wh.file").touch()
    with pytest.raises(LayerError, match="cannot be part of an image"):
        step.scan()
    assert not (step.place / "entries").exists()
    assert not (step.place / "entries.partial").exists()


def test_a_tree_too_deep_is_refused_with_few_descriptors(step: Step) -> None:
    def make(levels: int) -> None:
        fd = os.open(step.upper, os.O_RDONLY)
        for _ in range(levels):
            os.mkdir("dd", dir_fd=fd)
            above, fd = fd, os.open("dd", os.O_RDONLY, dir_fd=fd)
            os.close(above)
        os.close(os.open("zz", os.O_CREAT, dir_fd=fd))
        os.close(fd)

    make(1300)
    assert len(step.listing()) == 1301
    from builder.layer.remove import remove_tree

    remove_tree(str(step.upper / "dd"))
    make(1400)
    with pytest.raises(LayerError, match="too long"):
        step.scan()
    assert remove_tree(str(step.upper / "dd")) == 1401


def test_the_same_tree_gives_the_same_layer(step: Step, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Step(tmp_path / "other")
    for place, names in ((step, "abc"), (other, "cba")):
        for name in names:
            (place.upper / name).write_text(name)
            os.utime(place.upper / name, (1, 1))
    assert step.scan() == other.scan()


class TestLowers:
    def chain(self, place: Path) -> Lowers:
        """From the top: one that has a whiteout, an opaque directory and a file; one with all."""
        top, bottom = place / "top", place / "bottom"
        for name in ("removed", "opaque/below", "merged/below", "file"):
            (bottom / name).mkdir(parents=True)
        for name in ("opaque", "merged"):
            (top / name).mkdir(parents=True)
        whiteout(top / "removed")
        (top / "file").touch()
        opaque(top / "opaque")
        return Lowers((str(top), str(bottom)))

    def test_show_what_an_overlay_would(self, tmp_path: Path) -> None:
        chain = self.chain(tmp_path)
        try:
            assert chain.directory(b"merged") == (0, 1)
            assert chain.directory(b"merged/below") == (1,)
            assert chain.directory(b"opaque") == (0,)
            for path in (b"opaque/below", b"removed", b"file", b"missing", b"missing/too"):
                assert chain.directory(path) == ()
            assert chain.find(b"removed") is None
            assert chain.find(b"opaque/below") is None
            assert chain.find(b"merged/below") == 1
            assert chain.find(b"file") == 0
        finally:
            chain.close()

    def test_links_are_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "outside" / "d").mkdir(parents=True)
        (tmp_path / "lower").mkdir()
        (tmp_path / "lower" / "link").symlink_to(tmp_path / "outside")
        chain = Lowers((str(tmp_path / "lower"),))
        try:
            assert chain.directory(b"link") == ()
            assert chain.directory(b"link/d") == ()
            assert chain.find(b"link") == 0
        finally:
            chain.close()
