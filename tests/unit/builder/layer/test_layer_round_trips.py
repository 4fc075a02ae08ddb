"""Random trees go through every form and come back; random damage is refused, never more than that."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from builder.errors import LayerError
from builder.layer.apply import apply
from builder.layer.entries import read_entries
from builder.layer.entry import Entry, Kind, sort_key
from builder.layer.materialise import pack_directory, verify_directory
from builder.layer.read import Limits
from builder.layer.scan import scan_upper
from builder.layer.writer import LayerWriter
from tests.unit.builder.layer.archives import (
    END,
    Result,
    block,
    directory,
    file,
    hardlink,
    pax,
    symlink,
)

pytestmark = pytest.mark.needs_root

SECOND = 10**9
FEW = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])

names = st.one_of(
    st.sampled_from(
        [b"a", b"b", b"a-", b"a0", b".x", b"n" * 120, b"\xc3\xa4" * 60, b"\xff\xfe", b"-"]
    ),
    st.binary(min_size=1, max_size=12).filter(
        lambda name: not {0, 47} & set(name) and name not in (b".", b"..") and name[:4] != b".wh."
    ),
)
ids = st.one_of(st.integers(0, 70_000), st.sampled_from([2_097_151, 2_097_152, 4_294_967_294]))
times = st.one_of(st.integers(0, 2**33), st.integers(-(2**31), 0)).map(lambda s: s * SECOND)
xattrs = st.lists(
    st.tuples(st.sampled_from([b"user.a", b"user.b.c", b"user.\xc3\xa4"]), st.binary(max_size=120)),
    max_size=2,
    unique_by=lambda pair: pair[0],
).map(lambda pairs: tuple(sorted(pairs)))
data = st.one_of(st.binary(max_size=40), st.integers(500, 1030).map(bytes))


@st.composite
def trees(draw: st.DrawFn) -> list[tuple[Entry, bytes]]:
    """Entries in order, each with the data of its file; every parent is listed."""
    found: dict[bytes, tuple[Entry, bytes]] = {}
    directories = [b""]
    files: list[bytes] = []
    for _ in range(draw(st.integers(0, 12))):
        above = draw(st.sampled_from(directories))
        path = above + b"/" + draw(names) if above else draw(names)
        if path in found:
            continue
        kind = draw(st.sampled_from(list(Kind)[:7]))
        entry = Entry(path, kind, draw(st.integers(0, 0o7777)), draw(ids), draw(ids), draw(times))
        content = b""
        if kind is Kind.DIRECTORY:
            directories.append(path)
            entry = replace(entry, xattrs=draw(xattrs))
        elif kind is Kind.FILE:
            content = draw(data)
            entry = replace(entry, size=len(content), xattrs=draw(xattrs))
            files.append(path)
        elif kind is Kind.SYMLINK:
            entry = replace(entry, mode=0o777, link=draw(names))
        elif kind is Kind.HARDLINK:
            if not files or sort_key(files[0]) > sort_key(path):
                continue
            first = found[files[0]][0]
            entry = replace(first, path=path, kind=kind, link=files[0], size=0, xattrs=())
        elif kind in (Kind.CHARACTER, Kind.BLOCK):
            entry = replace(entry, major=draw(st.integers(1, 4095)), minor=draw(st.integers(0, 9)))
        found[path] = (entry, content)
    return sorted(found.values(), key=lambda pair: sort_key(pair[0].path))


def replace(entry: Entry, **more: object) -> Entry:
    values = {name: getattr(entry, name) for name in Entry.__struct_fields__}
    return Entry(**{**values, **more})


@FEW
@given(trees())
def test_trees_come_back_from_every_form(tree: list[tuple[Entry, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        pieces: list[bytes] = []
        with LayerWriter(str(place / "written"), write=pieces.append) as writer:
            for entry, content in tree:
                if entry.kind is Kind.FILE:
                    (place / "data").write_bytes(content)
                    with (place / "data").open("rb") as source:
                        writer.add_file(entry, source.fileno())
                else:
                    writer.add(entry)
            scan = writer.close()
        stream = b"".join(pieces)
        written = list(read_entries(str(place / "written")))
        assert len(written) == len(tree)

        result = Result(place / "layer", stream)
        assert result.entries == written
        assert (result.scan.diff_id, result.scan.content_id) == (scan.diff_id, scan.content_id)
        root = str(place / "layer" / "root")
        assert pack_directory(str(place / "written"), root) == (scan.diff_id, scan.size)
        assert verify_directory(str(place / "written"), root)[0] == scan.count
        again = scan_upper(root, (), entries_path=str(place / "again"))
        assert (again.diff_id, again.content_id) == (scan.diff_id, scan.content_id)
        same_for_the_standard_library(stream, tree)


def same_for_the_standard_library(stream: bytes, tree: list[tuple[Entry, bytes]]) -> None:
    with tarfile.open(fileobj=io.BytesIO(stream)) as tar:
        members = tar.getmembers()
        assert [os.fsencode(member.name) for member in members] == [e.path for e, _ in tree]
        for member, (entry, content) in zip(members, tree, strict=True):
            assert (member.mode, member.uid, member.gid) == (entry.mode, entry.uid, entry.gid)
            assert member.mtime == entry.mtime // SECOND
            assert os.fsencode(member.linkname) == entry.link
            if entry.kind is Kind.FILE:
                source = tar.extractfile(member)
                assert source is not None
                assert source.read() == content


SAMPLE = (
    directory(b"d/")
    + pax((b"path", b"d/" + b"n" * 120), (b"SCHILY.xattr.user.a", b"1"), (b"mtime", b"1.5"))
    + file(b"cut", b"data" * 200)
    + hardlink(b"h", b"d/" + b"n" * 90)[:0]
    + symlink(b"l", b"d")
    + file(b"l/through", b"x")
    + hardlink(b"again", b"l/through")
    + file(b"d/.wh.gone")
    + file(b"d/.wh..wh..opq")
    + block(b"null", kind=b"3", major=1, minor=3)
    + block(b"fifo", kind=b"6")
    + END
)


def survive(stream: bytes) -> None:
    """Apply what may be damaged: it is refused or lands inside, and nothing is left open."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name in ("root", "lower", "outside"):
            (place / name).mkdir()
        (place / "lower" / "d").mkdir()
        before = len(os.listdir("/proc/self/fd"))
        with contextlib.suppress(LayerError):
            apply(
                io.BytesIO(stream),
                str(place / "root"),
                lowers=(str(place / "lower"),),
                entries_path=str(place / "entries"),
                limits=Limits(size=1 << 20, entries=100),
            )
        assert len(os.listdir("/proc/self/fd")) == before
        assert not list((place / "outside").iterdir())
        assert set(os.listdir(place)) <= {"root", "lower", "outside", "entries"}
        assert os.listdir(place / "lower") == ["d"]


@given(
    st.lists(
        st.tuples(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255)), min_size=1, max_size=4
    ),
    st.booleans(),
)
@example([(156, 0x4B)], True)
def test_damage_anywhere_is_survived(changes: list[tuple[int, int]], mend: bool) -> None:
    stream = bytearray(SAMPLE)
    for at, value in changes:
        stream[at] = value
        if mend:  # let the checksum agree, so that the damage is believed
            start = at // 512 * 512
            head = stream[start : start + 512]
            if head[257:262] == b"ustar":
                head[148:156] = b" " * 8
                stream[start + 148 : start + 156] = b"%06o\0 " % sum(head)
    survive(bytes(stream))


@pytest.mark.parametrize("length", range(0, len(SAMPLE) + 1, 256))
def test_a_stream_cut_off_anywhere_is_survived(length: int) -> None:
    survive(SAMPLE[:length])


@given(st.binary(max_size=2000))
def test_noise_is_survived(noise: bytes) -> None:
    survive(noise)
