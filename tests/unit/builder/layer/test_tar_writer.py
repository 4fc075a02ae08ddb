"""The tar stream of an entry list: deterministic, and read alike by others."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from builder.errors import LayerError
from builder.layer.entry import Entry, Kind
from builder.layer.pack import TarWriter, header
from builder.layer.read import Limits, TarReader

SECOND = 10**9


def stream_of(*entries: Entry, data: bytes = b"") -> bytes:
    pieces: list[bytes] = []
    writer = TarWriter(pieces.append)
    for entry in entries:
        if entry.kind is Kind.FILE:
            writer.add_bytes(entry, data[: entry.size])
        else:
            writer.add_header(entry)
    diff_id, size = writer.close()
    stream = b"".join(pieces)
    assert diff_id == "sha256:" + hashlib.sha256(stream).hexdigest()
    assert size == len(stream)
    return stream


def members(stream: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(stream)) as tar:
        return tar.getmembers()


EVERY_KIND = (
    Entry(b"", Kind.DIRECTORY, 0o755),
    Entry(b"d", Kind.DIRECTORY, 0o1777, 1, 2, 3 * SECOND + 999_999_999),
    Entry(b"d", Kind.OPAQUE),
    Entry(b"d/gone", Kind.WHITEOUT),
    Entry(b"d/f", Kind.FILE, 0o4755, 10, 20, 30 * SECOND, 5),
    Entry(b"d/l", Kind.SYMLINK, 0o777, 0, 0, 0, 0, b"../f"),
    Entry(b"h", Kind.HARDLINK, 0o4755, 10, 20, 30 * SECOND, 0, b"d/f"),
    Entry(b"n", Kind.CHARACTER, 0o600, 0, 0, 0, 0, b"", b"", 1, 3),
    Entry(b"o", Kind.BLOCK, 0o600, 0, 0, 0, 0, b"", b"", 8, 70_000),
    Entry(b"p", Kind.FIFO, 0o644),
)


def test_the_stream_never_changes() -> None:
    """A golden digest: layers in stores and registries are known by it."""
    writer = TarWriter()
    for entry in EVERY_KIND:
        if entry.size:
            writer.add_bytes(entry, b"hello")
        else:
            writer.add_header(entry)
    assert writer.close() == (
        "sha256:65b08d2bf95bffc996d4996b3e2ef3b238b1a7952bf23131a89cf475252e7bf3",
        6656,
    )


def test_the_standard_library_reads_every_kind() -> None:
    found = {member.name: member for member in members(stream_of(*EVERY_KIND, data=b"hello"))}
    assert set(found) == {
        ".",
        "d",
        "d/.wh..wh..opq",
        "d/.wh.gone",
        "d/f",
        "d/l",
        "h",
        "n",
        "o",
        "p",
    }
    assert (found["d"].mode, found["d"].uid, found["d"].gid, found["d"].mtime) == (0o1777, 1, 2, 3)
    assert (found["d/f"].mode, found["d/f"].size, found["d/f"].mtime) == (0o4755, 5, 30)
    assert found["d/l"].linkname == "../f"
    assert found["h"].islnk()
    assert found["h"].linkname == "d/f"
    assert (found["n"].devmajor, found["n"].devminor) == (1, 3)
    assert (found["o"].devmajor, found["o"].devminor) == (8, 70_000)
    assert found["p"].isfifo()
    assert {member.uname + member.gname for member in found.values()} == {""}


@pytest.mark.parametrize("length", [99, 100, 101, 155, 156, 200, 255, 256, 257, 300, 4000])
@pytest.mark.parametrize("kind", [Kind.FILE, Kind.DIRECTORY, Kind.WHITEOUT])
def test_names_of_any_length(length: int, kind: Kind) -> None:
    for component in (b"n", b"\xc3\xa4"):
        path = (component * 49 + b"/") * (length // (50 * len(component)) + 1)
        path = path[: length - 1].rstrip(b"/") + b"x"
        if component != b"n":
            path = path.decode("utf-8", "ignore").encode()
        (member,) = members(stream_of(Entry(path, kind)))
        above, _, base = path.rpartition(b"/")
        expected = above + b"/.wh." + base if kind is Kind.WHITEOUT else path
        assert os.fsencode(member.name).lstrip(b"/") == expected.lstrip(b"/")


def test_one_long_component_needs_pax() -> None:
    (member,) = members(stream_of(Entry(b"d/" + b"n" * 200, Kind.FILE)))
    assert member.pax_headers == {"path": "d/" + "n" * 200}


def test_what_ustar_can_say_is_said_without_pax() -> None:
    stream = stream_of(Entry(b"p" * 90 + b"/" + b"n" * 90, Kind.FILE, 0o644, 0o7777777, 0o7777777))
    assert len(stream) == 512 + 1024


def test_large_numbers_and_long_links() -> None:
    entry = Entry(b"l", Kind.SYMLINK, 0o777, 2_097_152, 4_294_967_294, -5 * SECOND, 0, b"t" * 300)
    (member,) = members(stream_of(entry))
    assert (member.uid, member.gid, member.mtime) == (2_097_152, 4_294_967_294, -5)
    assert member.linkname == "t" * 300


def test_files_from_eight_gibibytes() -> None:
    size = 1 << 33
    blocks = header(Entry(b"big", Kind.FILE, 0o644, size=size))
    with tarfile.open(fileobj=io.BytesIO(blocks), mode="r|") as tar:
        member = tar.next()
    assert member is not None
    assert member.size == size
    assert b"size=8589934592\n" in blocks
    assert b"size=" not in header(Entry(b"big", Kind.FILE, 0o644, size=size - 1))


def test_attributes_are_pax_records() -> None:
    xattrs = ((b"security.capability", b"\x01\0\0\x02\xff"), (b"user.note", b"a=b\n"))
    stream = stream_of(Entry(b"f", Kind.FILE, 0o755, xattrs=xattrs))
    (member,) = TarReader(io.BytesIO(stream), Limits()).members()
    assert tuple(member.xattrs) == xattrs


@pytest.mark.parametrize("length", range(80, 110))
def test_the_length_of_a_record_counts_itself(length: int) -> None:
    value = b"v" * length
    stream = stream_of(Entry(b"f", Kind.FILE, 0o755, xattrs=((b"user.a", value),)))
    (member,) = TarReader(io.BytesIO(stream), Limits()).members()
    assert member.xattrs == [(b"user.a", value)]


@pytest.mark.parametrize("path", [b".wh.a", b"d/.wh.a", b".wh..wh..opq", b".wh.d/a"])
def test_names_that_mean_removal_are_refused(path: bytes) -> None:
    with pytest.raises(LayerError, match="cannot be part of an image"):
        header(Entry(path, Kind.FILE))
    header(Entry(b"a.wh.b/c.wh.", Kind.FILE))


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 131_072, 131_073, 3_000_000])
def test_files_are_read_once_and_copied(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "f").write_bytes(data)
    entry = Entry(b"f", Kind.FILE, 0o644, size=size)
    pieces: list[bytes] = []
    writer = TarWriter(pieces.append)
    with (tmp_path / "f").open("rb") as file, (tmp_path / "copy").open("wb") as copy:
        digest = writer.add_file(entry, file.fileno(), copy_to=copy.fileno())
    diff_id, _ = writer.close()
    assert digest == hashlib.sha256(data).digest()
    assert (tmp_path / "copy").read_bytes() == data
    assert b"".join(pieces) == stream_of(entry, data=data)
    assert diff_id == "sha256:" + hashlib.sha256(b"".join(pieces)).hexdigest()


@pytest.mark.parametrize("size", [10, 200_000])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_of_another_size_than_told_is_an_error(
    tmp_path: Path, size: int, change: int
) -> None:
    (tmp_path / "f").write_bytes(bytes(size + change))
    with (tmp_path / "f").open("rb") as file, pytest.raises(LayerError) as caught:
        TarWriter().add_file(Entry(b"f", Kind.FILE, 0o644, size=size), file.fileno())
    assert caught.value.code == "layer.changed"


def test_gnu_tar_reads_it(tmp_path: Path) -> None:
    entries = (*EVERY_KIND[1:2], Entry(b"d/" + b"n" * 180, Kind.FILE, 0o600, 7, 8, SECOND, 5))
    listing = subprocess.run(
        ["tar", "--numeric-owner", "--utc", "-tvf", "-"],
        input=stream_of(*entries, data=b"hello"),
        capture_output=True,
        check=True,
    ).stdout.decode()
    assert [line.split() for line in listing.splitlines()] == [
        ["drwxrwxrwt", "1/2", "0", "1970-01-01", "00:00", "d/"],
        ["-rw-------", "7/8", "5", "1970-01-01", "00:00", "d/" + "n" * 180],
    ]
