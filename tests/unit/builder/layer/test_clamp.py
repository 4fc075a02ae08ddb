"""Layers without late times, whatever form they are made from."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from builder.errors import LayerError
from builder.layer import clamp, jobs
from builder.layer.entries import read_entries, write_entries
from builder.layer.entry import Kind
from builder.layer.pack import SECOND
from builder.layer.times import MADE
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

EPOCH = 1000
LATE = 1 << 33  # more than ustar can say
LAYER = (
    file(b".wh.gone")
    + directory(b"d/", 0o1777, mtime=2000)
    + file(b"d/.wh..wh..opq")
    + pax((b"SCHILY.xattr.user.note", b"1"), (b"mtime", b"%d" % LATE))
    + file(b"d/f", b"data" * 3000, mode=0o4755, uid=3, gid=4, mtime=6)
    + file(b"early", b"x", mtime=999)
    + hardlink(b"h", b"d/f")
    + symlink(b"l", b"d/f")
    + block(b"null", kind=b"3", major=1, minor=3)
    + END
)


def call(job: Any, **arguments: object) -> dict[str, Any]:
    result: dict[str, Any] = job(arguments, (), lambda value: None)
    return result


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """The folder of an applied layer: root, entries; and `plain`, its tar."""
    lower = tmp_path / "lower"
    (lower / "d" / "old").mkdir(parents=True)
    (lower / "gone").touch()
    place = tmp_path / "layer"
    Result(place, LAYER, lowers=(lower,))
    call(
        jobs.pack_layer,
        entries_path=str(place / "entries"),
        root=str(place / "root"),
        path=str(place / "plain"),
    )
    return place


def clamped(layer: Path, **more: object) -> dict[str, Any]:
    return call(
        clamp.clamp_layer,
        entries_path=str(layer / "entries"),
        path=str(layer / "blob"),
        clamped=str(layer / "clamped"),
        epoch=EPOCH,
        **more,
    )


def test_a_directory_and_a_blob_come_to_the_same(layer: Path) -> None:
    of_directory = clamped(layer, root=str(layer / "root"))
    first = (layer / "blob").read_bytes()
    assert clamped(layer, blob=str(layer / "plain")) == of_directory
    assert (layer / "blob").read_bytes() == first


def test_only_late_times_change(layer: Path) -> None:
    done = clamped(layer, root=str(layer / "root"))
    before, after = ([*read_entries(str(layer / name))] for name in ("entries", "clamped"))
    assert done["count"] == len(after) == len(before)
    times = {e.path: e.mtime // SECOND for e in after if e.kind is not Kind.OPAQUE}
    assert times[b"d"] == times[b"d/f"] == EPOCH
    assert times[b"early"] == 999
    assert [e.path for e in after] == [e.path for e in before]
    assert {e.xattrs for e in after} == {(), ((b"user.note", b"1"),)}
    with tarfile.open(layer / "blob") as archive:
        assert max(member.mtime for member in archive) == EPOCH
        assert archive.getnames()[:3] == [".wh.gone", "d", "d/.wh..wh..opq"]


def test_the_list_says_what_the_stream_says(layer: Path, tmp_path: Path) -> None:
    done = clamped(layer, root=str(layer / "root"))
    again = call(
        jobs.pack_layer,
        entries_path=str(layer / "clamped"),
        root=str(layer / "root"),
        path=str(tmp_path / "again"),
    )
    assert again["diff_id"] == done["diff_id"]


def test_a_layer_without_late_times_stays_what_it_is(layer: Path) -> None:
    once = clamped(layer, root=str(layer / "root"))
    twice = call(
        clamp.clamp_layer,
        blob=str(layer / "blob"),
        path=str(layer / "twice"),
        clamped=str(layer / "twice.entries"),
        epoch=EPOCH,
    )
    assert twice["diff_id"] == once["diff_id"]
    assert twice["count"] == -1


def test_a_malformed_layer_is_refused_and_leaves_nothing(layer: Path) -> None:
    (layer / "plain").write_bytes(LAYER[:3000])
    with pytest.raises(LayerError, match="cut off"):
        clamped(layer, blob=str(layer / "plain"))
    assert not (layer / "blob").exists()
    assert not (layer / "clamped").exists()


def test_names_of_another_tool_become_ours(layer: Path) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        member = tarfile.TarInfo("./d/")
        member.type = tarfile.DIRTYPE
        member.mtime = 5000
        member.uname = "somebody"
        archive.addfile(member)
    (layer / "plain").write_bytes(data.getvalue())
    clamped(layer, blob=str(layer / "plain"))
    with tarfile.open(layer / "blob") as archive:
        (only,) = archive
    assert (only.name, only.mtime, only.uname) == ("d", EPOCH, "")


def times(path: Path) -> dict[bytes, int]:
    found = [*read_entries(str(path))]
    return {e.path: e.mtime // SECOND for e in found if e.kind < Kind.WHITEOUT}


def test_where_times_say_nothing_early_ones_go_too(layer: Path) -> None:
    clamped(layer, root=str(layer / "root"), passing=-1)
    assert set(times(layer / "clamped").values()) == {EPOCH}


@pytest.mark.parametrize("form", ["root", "blob"])
def test_early_times_that_were_read_off_a_clock_go_too(layer: Path, form: str) -> None:
    marked = [
        msgspec.structs.replace(entry, mtime=entry.mtime + 1) if entry.path == b"early" else entry
        for entry in read_entries(str(layer / "entries"))
    ]
    write_entries(str(layer / "entries"), marked)
    source = {"root": str(layer / "root")} if form == "root" else {"blob": str(layer / "plain")}
    without = clamped(layer, **source)
    assert times(layer / "clamped")[b"early"] == 999
    done = clamped(layer, **source, marks=True)
    assert done["diff_id"] != without["diff_id"]
    assert times(layer / "clamped")[b"early"] == EPOCH
    assert times(layer / "clamped")[b"l"] == 0
    with tarfile.open(layer / "blob") as archive:
        assert archive.getmember("early").mtime == EPOCH


def test_a_directory_without_a_time_gets_that_of_the_image(tmp_path: Path) -> None:
    place = tmp_path / "layer"
    Result(place, directory(b"d/", mtime=MADE) + file(b"d/f", b"x", mtime=MADE - 1) + END)
    more = {"root": str(place / "root"), "epoch": MADE + 9}
    arguments = {"entries_path": str(place / "entries"), "path": str(place / "blob"), **more}
    call(clamp.clamp_layer, clamped=str(place / "clamped"), **arguments)
    times = {e.path: e.mtime // SECOND for e in read_entries(str(place / "clamped"))}
    assert times == {b"d": MADE + 9, b"d/f": MADE - 1}
