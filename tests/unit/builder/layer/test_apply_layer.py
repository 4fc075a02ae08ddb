"""Applying a changeset: attributes, links, parents, whiteouts, names given twice."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from pathlib import Path

import pytest

from builder.errors import LayerError
from builder.layer.apply import apply
from builder.layer.entry import Entry, Kind
from tests.unit.builder.layer.archives import (
    END,
    Result,
    block,
    directory,
    file,
    hardlink,
    padded,
    pax,
    symlink,
)

SECOND = 10**9

pytestmark = pytest.mark.needs_root


@pytest.fixture
def lower(tmp_path: Path) -> Path:
    place = tmp_path / "lower"
    (place / "etc" / "deep").mkdir(parents=True)
    (place / "etc" / "old").write_bytes(b"old")
    (place / "etc").chmod(0o1750)
    os.utime(place / "etc", ns=(5, 1_234_567_890_123_456_789))
    return place


def is_whiteout(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(path: Path) -> bool:
    return "user.overlay.opaque" in os.listxattr(path)


def test_the_diff_id_covers_the_whole_stream(tmp_path: Path) -> None:
    data = file(b"f", b"x") + END + bytes(9000) + b"what tools leave behind"
    result = Result(tmp_path, data)
    assert result.scan.diff_id == "sha256:" + hashlib.sha256(data).hexdigest()
    assert result.scan.size == len(data)


def test_a_stream_without_an_end_mark_is_accepted(tmp_path: Path) -> None:
    assert Result(tmp_path, file(b"f", b"x")).listing() == [(b"f", Kind.FILE)]


def test_a_layer_of_nothing_is_empty(tmp_path: Path) -> None:
    result = Result(tmp_path, END)
    assert result.scan.empty
    assert result.names() == set()


def test_modes_and_times_are_kept(tmp_path: Path) -> None:
    data = directory(b"d/", 0o1777, mtime=1_000_000) + file(
        b"d/suid", b"#!", mode=0o6755, mtime=2_000_000
    )
    result = Result(tmp_path, data + END)
    suid = (result.root / "d" / "suid").stat()
    assert (stat.S_IMODE(suid.st_mode), suid.st_mtime_ns) == (0o6755, 2_000_000 * SECOND)
    d = (result.root / "d").stat()
    assert (stat.S_IMODE(d.st_mode), d.st_mtime_ns) == (0o1777, 1_000_000 * SECOND)
    assert result.entry(b"d/suid") == Entry(
        b"d/suid",
        Kind.FILE,
        0o6755,
        0,
        0,
        2_000_000 * SECOND,
        2,
        digest=hashlib.sha256(b"#!").digest(),
    )


def test_directories_that_forbid_everything_can_be_filled(tmp_path: Path) -> None:
    result = Result(tmp_path, directory(b"d", 0) + file(b"d/f", b"x") + END)
    assert stat.S_IMODE((result.root / "d").stat().st_mode) == 0
    (result.root / "d").chmod(0o700)


def test_owners_are_kept_and_do_not_clear_set_id_bits(tmp_path: Path) -> None:
    data = file(b"f", b"x", uid=33, gid=44, mode=0o4711) + pax((b"uid", b"3000000000")) + file(b"g")
    result = Result(tmp_path, data + symlink(b"l", b"f") + END)
    status = (result.root / "f").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (33, 44, 0o4711)
    assert (result.root / "g").stat().st_uid == 3_000_000_000


def test_file_capabilities_survive(tmp_path: Path) -> None:
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    data = pax((b"SCHILY.xattr.security.capability", capability)) + file(b"ping", b"x", uid=5)
    result = Result(tmp_path, data + END)
    assert os.getxattr(result.root / "ping", "security.capability") == capability
    assert result.entry(b"ping").xattrs == ((b"security.capability", capability),)


def test_finer_times_of_pax_are_kept(tmp_path: Path) -> None:
    data = pax((b"mtime", b"1234567890.123456789")) + file(b"f") + pax((b"mtime", b"-1.5"))
    result = Result(tmp_path, data + file(b"g") + END)
    assert (result.root / "f").stat().st_mtime_ns == 1_234_567_890_123_456_789
    assert (result.root / "g").stat().st_mtime_ns == -1_500_000_000


def test_times_beyond_all_calendars_are_brought_into_reach(tmp_path: Path) -> None:
    data = pax((b"mtime", b"999999999999")) + file(b"f") + END
    assert Result(tmp_path, data).entry(b"f").mtime == (1 << 33) * SECOND


def test_old_tars_mark_directories_by_a_slash(tmp_path: Path) -> None:
    data = block(b"d/", kind=b"\0") + block(b"d/f", kind=b"\0")
    assert Result(tmp_path, data + END).listing() == [(b"d", Kind.DIRECTORY), (b"d/f", Kind.FILE)]


def test_prefix_and_gnu_names_are_joined(tmp_path: Path) -> None:
    long = b"long/" + b"n" * 200
    data = file(b"f", b"x", prefix=b"a/b") + block(b"L", kind=b"L", size=len(long) + 1)  # type: ignore[arg-type]
    data += padded(long + b"\0") + file(b"cut", b"y")
    assert [path for path, _ in Result(tmp_path, data + END).listing()] == [b"a/b/f", long]


def test_a_leading_dot_makes_no_difference(tmp_path: Path) -> None:
    data = directory(b"./", 0o711) + directory(b"./d/") + file(b"./d//./f", b"x")
    result = Result(tmp_path, data + END)
    assert [path for path, _ in result.listing()] == [b"", b"d", b"d/f"]
    assert stat.S_IMODE(result.root.stat().st_mode) == 0o711


def test_entries_come_out_in_order_whatever_the_stream(tmp_path: Path) -> None:
    names = [b"b", b"a-", b"a/z", b"a/b/c", b"a/b-", b"a0"]
    data = b"".join(file(name) for name in names)
    listed = [path for path, _ in Result(tmp_path, data + END).listing()]
    assert listed == [b"a/b/c", b"a/b-", b"a/z", b"a-", b"a0", b"b"]


class TestParents:
    def test_those_not_listed_are_as_the_chain_has_them(self, tmp_path: Path, lower: Path) -> None:
        top = tmp_path / "top"
        (top / "etc").mkdir(parents=True, mode=0o700)
        result = Result(tmp_path / "a", file(b"etc/deep/new") + END, lowers=(lower,))
        etc = (result.root / "etc").stat()
        assert stat.S_IMODE(etc.st_mode) == 0o1750
        assert etc.st_mtime_ns == 1_234_567_890_123_456_789
        assert result.listing() == [(b"etc/deep/new", Kind.FILE)]
        assert result.scan.implied
        result = Result(tmp_path / "b", file(b"etc/deep/new") + END, lowers=(top, lower))
        assert stat.S_IMODE((result.root / "etc").stat().st_mode) == 0o700

    def test_those_of_no_chain_are_0755(self, tmp_path: Path) -> None:
        result = Result(tmp_path / "a", file(b"new/f") + END)
        status = (result.root / "new").stat()
        assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (0o755, 0)

    def test_those_listed_later_count(self, tmp_path: Path, lower: Path) -> None:
        data = file(b"etc/deep/new") + directory(b"etc", 0o711) + directory(b"etc/deep", 0o700)
        result = Result(tmp_path / "a", data + END, lowers=(lower,))
        assert stat.S_IMODE((result.root / "etc").stat().st_mode) == 0o711
        assert len(result.entries) == 3
        assert not result.scan.implied

    def test_the_root_is_as_the_chain_has_it(self, tmp_path: Path, lower: Path) -> None:
        lower.chmod(0o555)
        result = Result(tmp_path / "a", file(b"f") + END, lowers=(lower,))
        assert stat.S_IMODE(result.root.stat().st_mode) == 0o555
        assert result.scan.implied


class TestWhiteouts:
    def test_they_hide_what_is_below(self, tmp_path: Path, lower: Path) -> None:
        result = Result(tmp_path / "a", file(b"etc/.wh.old") + END, lowers=(lower,))
        assert is_whiteout(result.root / "etc" / "old")
        assert result.entries == [Entry(b"etc/old", Kind.WHITEOUT)]

    def test_they_leave_no_trace_where_nothing_is_merged(self, tmp_path: Path, lower: Path) -> None:
        result = Result(tmp_path / "a", file(b"new/.wh.old") + END, lowers=(lower,))
        assert result.names() == {"new"}
        assert result.entries == [Entry(b"new/old", Kind.WHITEOUT)]
        result = Result(tmp_path / "b", file(b".wh.old") + END)
        assert result.names() == set()

    def test_an_opaque_mark_hides_all(self, tmp_path: Path, lower: Path) -> None:
        data = file(b"etc/.wh.old") + file(b"etc/new") + file(b"etc/.wh..wh..opq")
        result = Result(tmp_path / "a", data + END, lowers=(lower,))
        assert is_opaque(result.root / "etc")
        assert result.names() == {"etc", "etc/new"}
        assert result.listing() == [(b"etc", Kind.OPAQUE), (b"etc/new", Kind.FILE)]

    @pytest.mark.parametrize("first", [True, False])
    def test_beside_a_directory_they_make_it_opaque(
        self, tmp_path: Path, lower: Path, first: bool
    ) -> None:
        parts = [file(b".wh.etc"), directory(b"etc", 0o700), file(b"etc/new")]
        data = b"".join(parts if first else parts[1:] + parts[:1])
        result = Result(tmp_path / "a", data + END, lowers=(lower,))
        assert is_opaque(result.root / "etc")
        assert result.listing() == [
            (b"etc", Kind.DIRECTORY),
            (b"etc", Kind.OPAQUE),
            (b"etc/new", Kind.FILE),
        ]

    @pytest.mark.parametrize("first", [True, False])
    def test_beside_a_file_they_say_nothing(self, tmp_path: Path, lower: Path, first: bool) -> None:
        parts = [file(b"etc/.wh.old"), file(b"etc/old", b"new")]
        data = b"".join(parts if first else parts[::-1])
        result = Result(tmp_path / "a", data + END, lowers=(lower,))
        assert (result.root / "etc" / "old").read_bytes() == b"new"
        assert result.listing() == [(b"etc/old", Kind.FILE)]

    def test_a_parent_that_was_removed_is_new(self, tmp_path: Path, lower: Path) -> None:
        data = file(b".wh.etc") + file(b"etc/deep/new")
        result = Result(tmp_path / "a", data + END, lowers=(lower,))
        assert stat.S_IMODE((result.root / "etc").stat().st_mode) == 0o755
        assert is_opaque(result.root / "etc")

    def test_what_aufs_left_is_ignored(self, tmp_path: Path, lower: Path) -> None:
        data = directory(b".wh..wh.plnk/") + file(b".wh..wh.plnk/1.2") + file(b".wh..wh.aufs")
        assert Result(tmp_path / "a", data + END, lowers=(lower,)).scan.empty


class TestHardLinks:
    def test_they_share_an_inode(self, tmp_path: Path) -> None:
        data = file(b"a", b"x", mode=0o600) + hardlink(b"d/b", b"./a") + hardlink(b"c", b"/d/b")
        result = Result(tmp_path, data + END)
        assert (result.root / "a").stat().st_nlink == 3
        assert [(e.path, e.kind, e.link) for e in result.entries] == [
            (b"a", Kind.FILE, b""),
            (b"c", Kind.HARDLINK, b"a"),
            (b"d/b", Kind.HARDLINK, b"a"),
        ]
        assert result.entry(b"c").mode == 0o600, (
            "as the file has it, whatever the link's header says"
        )

    def test_the_first_name_in_order_is_the_file(self, tmp_path: Path) -> None:
        mark = pax((b"SCHILY.xattr.user.mark", b"1"))
        straight = mark + file(b"a", b"x") + hardlink(b"b", b"a") + hardlink(b"c", b"a")
        crooked = mark + file(b"c", b"x") + hardlink(b"b", b"c") + hardlink(b"a", b"b")
        one = Result(tmp_path / "1", straight + END)
        two = Result(tmp_path / "2", crooked + END)
        assert one.entries == two.entries
        assert one.scan.content_id == two.scan.content_id

    def test_to_symlinks_too(self, tmp_path: Path) -> None:
        data = symlink(b"b", b"to") + hardlink(b"a", b"b")
        result = Result(tmp_path, data + END)
        assert [(e.path, e.kind, e.link) for e in result.entries] == [
            (b"a", Kind.SYMLINK, b"to"),
            (b"b", Kind.HARDLINK, b"a"),
        ]

    def test_to_a_file_below_they_are_copies(self, tmp_path: Path, lower: Path) -> None:
        (lower / "etc/old").chmod(0o640)
        os.setxattr(lower / "etc/old", "user.mark", b"1")
        os.utime(lower / "etc/old", (7, 7))
        result = Result(tmp_path / "a", hardlink(b"mine", b"etc/old") + END, lowers=(lower,))
        assert result.entry(b"mine") == Entry(
            b"mine",
            Kind.FILE,
            0o640,
            0,
            0,
            7 * SECOND,
            3,
            digest=hashlib.sha256(b"old").digest(),
            xattrs=((b"user.mark", b"1"),),
        )
        assert (result.root / "mine").read_bytes() == b"old"
        assert (lower / "etc" / "old").stat().st_nlink == 1

    def test_to_what_a_middle_layer_removed_are_refused(self, tmp_path: Path, lower: Path) -> None:
        middle = Result(tmp_path / "m", file(b"etc/.wh.old") + END, lowers=(lower,)).root
        with pytest.raises(LayerError, match="does not exist"):
            Result(tmp_path / "a", hardlink(b"x", b"etc/old") + END, lowers=(middle, lower))

    def test_to_themselves_say_nothing(self, tmp_path: Path) -> None:
        """GNU tar writes this when it meets a linked file twice."""
        data = file(b"a", b"x") + hardlink(b"b", b"a") + hardlink(b"a", b"a") + hardlink(b"b", b"a")
        result = Result(tmp_path, data + END)
        assert result.listing() == [(b"a", Kind.FILE), (b"b", Kind.HARDLINK)]


class TestNamesGivenTwice:
    def test_the_last_file_counts(self, tmp_path: Path) -> None:
        result = Result(tmp_path, file(b"a", b"one") + file(b"a", b"other") + END)
        assert (result.root / "a").read_bytes() == b"other"
        assert result.entry(b"a").size == 5

    def test_a_directory_keeps_its_content(self, tmp_path: Path) -> None:
        data = directory(b"d", 0o700) + file(b"d/f") + directory(b"d", 0o711) + END
        result = Result(tmp_path, data)
        assert result.listing() == [(b"d", Kind.DIRECTORY), (b"d/f", Kind.FILE)]
        assert stat.S_IMODE((result.root / "d").stat().st_mode) == 0o711

    def test_a_file_in_place_of_a_directory_takes_its_content_away(self, tmp_path: Path) -> None:
        data = file(b"d/e/f", b"x") + file(b"d", b"y") + END
        result = Result(tmp_path, data)
        assert result.listing() == [(b"d", Kind.FILE)]
        assert (result.root / "d").read_bytes() == b"y"

    def test_a_directory_in_place_of_a_file_is_new(self, tmp_path: Path, lower: Path) -> None:
        data = file(b"etc/e") + symlink(b"etc", b"/") + directory(b"etc") + file(b"etc/f") + END
        result = Result(tmp_path / "a", data, lowers=(lower,))
        assert result.names() == {"etc", "etc/f"}
        assert is_opaque(result.root / "etc")
        assert [path for path, _ in result.listing()] == [b"etc", b"etc", b"etc/f"]

    def test_a_link_replaced_by_a_directory_is_followed_no_more(self, tmp_path: Path) -> None:
        data = directory(b"a") + symlink(b"l", b"a") + file(b"l/1") + directory(b"l") + file(b"l/2")
        result = Result(tmp_path, data + END)
        assert result.names() == {"a", "a/1", "l", "l/2"}

    def test_what_was_linked_to_cannot_be_replaced(self, tmp_path: Path) -> None:
        data = file(b"d/a", b"x") + hardlink(b"b", b"d/a")
        for number, again in enumerate((file(b"d/a", b"y"), file(b"b", b"y"), file(b"d", b"y"))):
            with pytest.raises(LayerError, match="replaces"):
                Result(tmp_path / str(number), data + again + END)


def test_a_store_in_a_set_group_id_directory_does_not_matter(tmp_path: Path) -> None:
    tmp_path.chmod(0o2755)
    result = Result(tmp_path / "a", directory(b"d") + file(b"d/f") + END)
    assert stat.S_IMODE((result.root / "d").stat().st_mode) == 0o755


def test_ids_that_do_not_exist_here_are_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fchown(fd: int, uid: int, gid: int) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "fchown", fchown)
    with pytest.raises(LayerError, match=r"70000:8") as caught:
        Result(tmp_path, file(b"f", uid=70000, gid=8) + END)
    assert caught.value.hint


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[int] = []
    (tmp_path / "root").mkdir()
    data = b"".join(file(b"f%d" % n, bytes(1 << 20)) for n in range(30)) + END
    apply(
        io.BytesIO(data),
        str(tmp_path / "root"),
        lowers=(),
        entries_path=str(tmp_path / "entries"),
        report=told.append,
    )
    assert told == sorted(told)
    assert 2 <= len(told) <= 4


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tars_of_the_standard_library_are_read(tmp_path: Path, format: int) -> None:
    source = tmp_path / "source"
    (source / "d" / ("n" * 90)).mkdir(parents=True)
    (source / "d" / ("n" * 90) / "f").write_bytes(b"x" * 700)
    (source / "l").symlink_to("d" if format == tarfile.USTAR_FORMAT else "t" * 150)
    os.link(source / "d" / ("n" * 90) / "f", source / "h")
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=format) as tar:
        tar.add(source, ".")
    result = Result(tmp_path / "a", stream.getvalue())
    assert result.names() == {"d", "d/" + "n" * 90, "d/" + "n" * 90 + "/f", "l", "h"}
    assert (result.root / "h").read_bytes() == b"x" * 700
    assert os.readlink(result.root / "l") == os.readlink(source / "l")
