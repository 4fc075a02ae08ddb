"""Every row of the threat table that concerns layers: what is hostile lands inside or is refused."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tracemalloc
from pathlib import Path

import pytest

from builder.errors import LayerError
from builder.layer.apply import apply
from builder.layer.compress import Compression, decompressor
from builder.layer.entry import Kind
from builder.layer.read import Limits
from tests.unit.builder.layer.archives import (
    END,
    Result,
    block,
    directory,
    everything_below,
    file,
    hardlink,
    padded,
    pax,
    record,
    symlink,
)

pytestmark = pytest.mark.needs_root


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    place = tmp_path / "outside"
    place.mkdir()
    (place / "victim").write_bytes(b"untouched")
    (place / "directory").mkdir()
    return place


def refuse(tmp_path: Path, data: bytes, **more: object) -> LayerError:
    with pytest.raises(LayerError) as caught:
        Result(tmp_path / "layer", data + END, **more)  # type: ignore[arg-type]
    assert not (tmp_path / "layer" / "entries").exists()
    assert os.listdir(tmp_path / "layer") == ["root"], "no run or partial list is left"
    return caught.value


@pytest.mark.parametrize(
    "name", [b"../victim", b"a/../../victim", b"..", b"a/..", b"/../victim", b"./../victim"]
)
def test_dot_dot_is_refused(tmp_path: Path, outside: Path, name: bytes) -> None:
    before = everything_below(outside)
    assert "leads out" in refuse(tmp_path, file(name, b"evil")).message
    assert everything_below(outside) == before


def test_dot_dot_in_a_pax_path_is_refused(tmp_path: Path) -> None:
    refuse(tmp_path, pax((b"path", b"../victim")) + file(b"harmless", b"evil"))


def test_dot_dot_in_a_gnu_long_name_is_refused(tmp_path: Path) -> None:
    name = b"x/" * 80 + b"../" * 90 + b"victim\0"
    refuse(tmp_path, block(b"L", kind=b"L", size=len(name)) + padded(name) + file(b"cut", b"evil"))


def test_an_absolute_name_lands_inside(tmp_path: Path, outside: Path) -> None:
    target = os.fsencode(outside / "victim")
    result = Result(tmp_path / "layer", file(target, b"evil") + END)
    assert (outside / "victim").read_bytes() == b"untouched"
    assert result.root.joinpath(*(outside / "victim").parts[1:]).read_bytes() == b"evil"
    assert result.listing() == [(target[1:], Kind.FILE)]


@pytest.mark.parametrize("up", [b"", b"../../../../../../../../../.."])
def test_a_link_of_the_same_layer_leads_inside_only(
    tmp_path: Path, outside: Path, up: bytes
) -> None:
    before = everything_below(outside)
    target = up + os.fsencode(outside)
    data = symlink(b"link", target) + file(b"link/victim", b"evil") + directory(b"link/new") + END
    result = Result(tmp_path / "layer", data)
    assert everything_below(outside) == before
    inside = os.fsencode(outside)[1:]
    assert result.entry(inside + b"/victim").kind is Kind.FILE
    assert (inside + b"/new", Kind.DIRECTORY) in result.listing()


def test_a_link_of_a_lower_layer_is_not_followed(tmp_path: Path, outside: Path) -> None:
    before = everything_below(outside)
    lower = tmp_path / "lower"
    lower.mkdir()
    (lower / "link").symlink_to(outside)
    result = Result(tmp_path / "layer", file(b"link/victim", b"evil") + END, lowers=(lower,))
    assert everything_below(outside) == before
    assert (result.root / "link" / "victim").read_bytes() == b"evil"


def test_links_that_never_end_are_refused(tmp_path: Path) -> None:
    refuse(tmp_path, symlink(b"a", b"b") + symlink(b"b", b"a") + file(b"a/x", b"evil"))
    refuse(tmp_path / "more", symlink(b"a", b"a/a") + file(b"a/x", b"evil"))


@pytest.mark.parametrize("name", [b".", b"./", b"/", b"", b"./."])
def test_the_root_cannot_become_a_link(tmp_path: Path, name: bytes) -> None:
    refuse(tmp_path, symlink(name, b"/etc"))


@pytest.mark.parametrize("through", [b"", b"link/"])
def test_a_hard_link_to_a_host_file_is_refused(
    tmp_path: Path, outside: Path, through: bytes
) -> None:
    target = b"link/victim" if through else os.fsencode(outside / "victim")
    refuse(tmp_path, symlink(b"link", os.fsencode(outside)) + hardlink(b"mine", target))
    assert (outside / "victim").stat().st_nlink == 1


def test_a_hard_link_to_a_link_is_one_to_the_link_itself(tmp_path: Path, outside: Path) -> None:
    data = symlink(b"link", os.fsencode(outside / "victim")) + hardlink(b"mine", b"link") + END
    result = Result(tmp_path / "layer", data)
    assert (result.root / "mine").is_symlink()
    assert (outside / "victim").stat().st_nlink == 1


@pytest.mark.parametrize("target", [b"../victim", b"", b"/", b"missing", b"a/missing"])
def test_a_hard_link_that_leads_nowhere_is_refused(tmp_path: Path, target: bytes) -> None:
    refuse(tmp_path, directory(b"a") + hardlink(b"mine", target))


def test_a_hard_link_to_a_directory_is_refused(tmp_path: Path) -> None:
    refuse(tmp_path, directory(b"a") + hardlink(b"mine", b"a"))


@pytest.mark.parametrize("name", [b".wh.", b".wh..", b".wh...", b"a/.wh.", b"a/.wh..", b"a/.wh..."])
def test_a_whiteout_of_no_name_is_refused(tmp_path: Path, name: bytes) -> None:
    refuse(tmp_path, directory(b"a") + file(name))


def test_nothing_lies_below_a_whiteout(tmp_path: Path) -> None:
    refuse(tmp_path, file(b".wh.a/b", b"evil"))


@pytest.mark.parametrize("mark", [b".wh.victim", b".wh..wh..opq"])
def test_a_whiteout_through_a_link_removes_nothing_outside(
    tmp_path: Path, outside: Path, mark: bytes
) -> None:
    before = everything_below(outside)
    lower = tmp_path / "lower"
    lower.mkdir()
    Result(
        tmp_path / "layer",
        symlink(b"link", os.fsencode(outside)) + file(b"link/" + mark) + END,
        lowers=(lower,),
    )
    assert everything_below(outside) == before


def test_overlay_attributes_of_a_layer_are_dropped(tmp_path: Path) -> None:
    marks = pax(
        (b"SCHILY.xattr.trusted.overlay.opaque", b"y"),
        (b"SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
        (b"SCHILY.xattr.user.overlay.opaque", b"y"),
        (b"SCHILY.xattr.user.overlay.overlay.opaque", b"y"),
        (b"SCHILY.xattr.user.overlay.whiteout", b""),
        (b"SCHILY.xattr.security.selinux", b"label"),
        (b"SCHILY.xattr.user.kept", b"\0\xff"),
    )
    result = Result(tmp_path / "layer", marks + directory(b"d") + marks + file(b"f", b"x") + END)
    for name in ("d", "f"):
        assert os.listxattr(result.root / name) == ["user.kept"]
        assert result.entry(name.encode()).xattrs == ((b"user.kept", b"\0\xff"),)


def test_a_device_0_0_of_a_layer_is_dropped(tmp_path: Path) -> None:
    data = block(b"mark", kind=b"3") + block(b"disk", kind=b"4") + file(b"f") + END
    result = Result(tmp_path / "layer", data)
    assert result.names() == {"f"}
    assert result.listing() == [(b"f", Kind.FILE)]


def test_device_nodes_are_made_where_the_kernel_allows_it(tmp_path: Path) -> None:
    result = Result(tmp_path / "layer", block(b"kmsg", kind=b"3", major=1, minor=11) + END)
    assert stat.S_ISCHR((result.root / "kmsg").stat().st_mode)
    assert (result.entry(b"kmsg").major, result.entry(b"kmsg").minor) == (1, 11)


def test_device_nodes_are_only_listed_where_it_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mknod(*arguments: object, **more: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "mknod", mknod)
    device = block(b"kmsg", kind=b"3", major=1, minor=11)
    result = Result(tmp_path / "layer", device + hardlink(b"log", b"kmsg") + END)
    assert result.names() == set()
    assert result.listing() == [(b"kmsg", Kind.CHARACTER), (b"log", Kind.CHARACTER)]


def test_devices_that_are_only_listed_are_no_directories_and_replace_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mknod(name: bytes, *arguments: int, dir_fd: int) -> None:
        if os.path.lexists(b"/proc/self/fd/%d/%b" % (dir_fd, name)):
            raise FileExistsError
        raise PermissionError

    monkeypatch.setattr(os, "mknod", mknod)
    device = block(b"d", kind=b"4", major=8)
    refuse(tmp_path / "1", device + file(b"d/f"))
    result = Result(tmp_path / "2", file(b"d/f") + device + END)
    assert result.listing() == [(b"d", Kind.BLOCK)]
    assert result.names() == set()


def test_device_numbers_that_cannot_be_are_refused(tmp_path: Path) -> None:
    refuse(tmp_path, block(b"disk", kind=b"4", major=5000, minor=1))


@pytest.mark.parametrize(
    "size", [b"-0000000001\0", b"\xff" * 12, b"\x80" + b"\xff" * 11, b"12345678\0zz\0", b"8" * 12]
)
def test_sizes_that_are_none_are_refused(tmp_path: Path, size: bytes) -> None:
    refuse(tmp_path, block(b"f", size=size))


@pytest.mark.parametrize("value", [b"-1", b"9" * 6000, b"0x10", b"1e9", b"\xd9\xa1", b" 1"])
def test_pax_numbers_that_are_none_are_refused(tmp_path: Path, value: bytes) -> None:
    for place, key in enumerate((b"size", b"uid", b"gid", b"mtime")):
        if key == b"mtime" and value == b"-1":
            continue
        refuse(tmp_path / str(place), pax((key, value)) + file(b"f"))


@pytest.mark.parametrize("value", [b"4294967295", b"4294967296", b"18446744073709551615"])
def test_ids_that_no_user_can_have_are_refused(tmp_path: Path, value: bytes) -> None:
    refuse(tmp_path, pax((b"uid", value)) + file(b"f"))


def test_a_file_that_claims_more_than_the_limit_takes_no_disk(tmp_path: Path) -> None:
    error = refuse(tmp_path, block(b"f", size=1 << 32), limits=Limits(size=1 << 20))
    assert error.code == "layer.too-large"
    assert not (tmp_path / "layer/root/f").exists()


def test_a_file_shorter_than_it_claims_is_refused(tmp_path: Path) -> None:
    assert "cut off" in refuse(tmp_path, block(b"f", size=1 << 32)).message


def test_a_stream_larger_than_the_limit_is_refused(tmp_path: Path) -> None:
    data = b"".join(file(b"f%d" % number, bytes(9000)) for number in range(100))
    assert refuse(tmp_path, data, limits=Limits(size=500_000)).code == "layer.too-large"


def test_more_entries_than_the_limit_are_refused(tmp_path: Path) -> None:
    data = b"".join(file(b"f%d" % number) for number in range(6))
    assert refuse(tmp_path, data, limits=Limits(entries=5)).code == "layer.too-large"


def test_a_gzip_bomb_ends_at_the_limit_with_little_memory(tmp_path: Path) -> None:
    bomb = gzip.compress(block(b"f", size=b"\x80" + (1 << 34).to_bytes(11, "big")) + bytes(1 << 26))
    assert len(bomb) < 100_000
    (tmp_path / "root").mkdir()
    tracemalloc.start()
    try:
        with pytest.raises(LayerError) as caught:
            apply(
                decompressor(io.BytesIO(bomb), Compression.GZIP),
                str(tmp_path / "root"),
                lowers=(),
                entries_path=str(tmp_path / "entries"),
                limits=Limits(size=1 << 34),
            )
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert caught.value.code in ("layer.too-large", "layer.invalid")


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_a_header_of_64_mebibytes_is_refused_before_it_is_read(tmp_path: Path, kind: bytes) -> None:
    size = 64 << 20
    stream = io.BytesIO(block(b"h", kind=kind, size=size) + bytes(size) + file(b"f") + END)
    (tmp_path / "root").mkdir()
    with pytest.raises(LayerError) as caught:
        apply(stream, str(tmp_path / "root"), lowers=(), entries_path=str(tmp_path / "entries"))
    assert caught.value.code == "layer.too-large"
    assert stream.tell() < 4 << 20


def test_headers_that_add_up_are_refused(tmp_path: Path) -> None:
    part = pax((b"comment", b"x" * 100_000))
    assert refuse(tmp_path, part * 11 + file(b"f")).code == "layer.too-large"


@pytest.mark.parametrize(
    "data",
    [b"x", b"5 a=b\n", b"999 a=b\n", b"6 =bb\n", b"5 abc\n", b"6 a=b\nx", b"0 a=b\n", b"-6 a=b\n"],
)
def test_malformed_pax_records_are_refused(tmp_path: Path, data: bytes) -> None:
    if data == b"6 a=b\nx":
        assert record(b"a", b"b") == b"6 a=b\n"
    refuse(tmp_path, block(b"h", kind=b"x", size=len(data)) + padded(data) + file(b"f"))


def test_a_zero_byte_in_a_pax_path_is_refused(tmp_path: Path) -> None:
    refuse(tmp_path, pax((b"path", b"a\0b")) + file(b"f"))


@pytest.mark.parametrize(
    "data",
    [
        block(b"f", kind=b"S", size=4),
        pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.realsize", b"2147483648")) + file(b"f"),
        pax((b"GNU.sparse.map", b"0,1"), (b"GNU.sparse.size", b"2147483648")) + file(b"f"),
    ],
)
def test_sparse_files_are_refused_by_name(tmp_path: Path, data: bytes) -> None:
    assert "sparse" in refuse(tmp_path, data).message


@pytest.mark.parametrize("kind", [b"M", b"V", b"D", b"Z", b"\xff"])
def test_unknown_types_are_refused(tmp_path: Path, kind: bytes) -> None:
    assert "unknown type" in refuse(tmp_path, block(b"f", kind=kind)).message


def test_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    data = bytearray(file(b"f"))
    data[0] ^= 1
    refuse(tmp_path, bytes(data))


@pytest.mark.parametrize(
    "name", [b"n" * 256, b"d/" + b"n" * 256, b"d/" * 2047 + b"ff", b"x/" * 3000 + b"f"]
)
def test_names_over_the_limits_of_file_systems_are_refused(tmp_path: Path, name: bytes) -> None:
    assert "longer than" in refuse(tmp_path, pax((b"path", name)) + file(b"f")).message


def test_a_path_made_too_long_by_links_is_refused(tmp_path: Path) -> None:
    deep = b"/".join([b"d" * 200] * 18)
    data = pax((b"path", deep + b"/x")) + file(b"f") + pax((b"linkpath", deep)) + symlink(b"l", b"")
    long = b"l/" + b"/".join([b"e" * 200] * 4)
    assert "longer than" in refuse(tmp_path, data + pax((b"path", long)) + file(b"f")).message


def test_a_tree_of_two_thousand_levels_is_unpacked_with_few_descriptors(tmp_path: Path) -> None:
    deepest = b"/".join([b"d"] * 2000)
    data = pax((b"path", deepest + b"/f")) + file(b"f", b"x")
    data += pax((b"path", deepest + b"/g")) + file(b"g", b"y") + file(b"top") + END
    result = Result(tmp_path / "layer", data)
    assert result.scan.count == 3
    os.rename(result.root / "d", tmp_path / "d")  # for the walk of pytest's own clean-up
    from builder.layer.remove import remove_tree

    assert remove_tree(str(tmp_path / "d")) == 2002


@pytest.mark.parametrize("first", [file(b"a", b"x"), block(b"a", kind=b"6"), symlink(b"a", b"b")])
def test_nothing_is_put_below_what_is_no_directory(tmp_path: Path, first: bytes) -> None:
    refuse(tmp_path, file(b"b") + first + file(b"a/x"))


def test_a_symlink_to_nothing_is_refused(tmp_path: Path) -> None:
    refuse(tmp_path, symlink(b"l", b""))


def test_attributes_too_large_for_the_kernel_are_refused_in_words(tmp_path: Path) -> None:
    big = pax((b"SCHILY.xattr.user.big", b"x" * 70_000))
    assert "user.big" in refuse(tmp_path, big + file(b"f")).message


def test_what_is_no_tar_is_refused(tmp_path: Path) -> None:
    refuse(tmp_path, b"<html>not found</html>".ljust(512, b" "))
    refuse(tmp_path / "more", b"\1" * 700)


def test_data_of_what_can_have_none_is_not_skipped(tmp_path: Path) -> None:
    """A size on a directory or link hides nothing: what follows is the next header."""
    data = block(b"d/", kind=b"5", size=512) + block(b"l", kind=b"2", link=b"x", size=4096)
    result = Result(tmp_path / "layer", data + file(b"f", b"seen") + END)
    assert [path for path, _ in result.listing()] == [b"d", b"f", b"l"]
