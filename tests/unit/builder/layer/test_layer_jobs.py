"""The jobs, called as the launcher calls them: layers go round through every form."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from builder.errors import LayerError, StoreError
from builder.layer import jobs
from builder.layer.entries import read_entries
from builder.layer.materialise import pack_directory
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

LAYER = (
    file(b".wh.gone")
    + directory(b"d/", 0o1777, mtime=5)
    + file(b"d/.wh..wh..opq")
    + pax((b"SCHILY.xattr.user.note", b"1"))
    + file(b"d/f", b"data" * 3000, mode=0o4755, uid=3, gid=4, mtime=6)
    + hardlink(b"h", b"d/f")
    + symlink(b"l", b"d/f")
    + block(b"null", kind=b"3", major=1, minor=3)
    + file(b"new/f", b"x")
    + END
)


def call(job: Any, **arguments: object) -> dict[str, Any]:
    result: dict[str, Any] = job(arguments, (), lambda value: None)
    return result


@pytest.fixture
def lower(tmp_path: Path) -> Path:
    place = tmp_path / "lower"
    (place / "d" / "old").mkdir(parents=True)
    (place / "gone").touch()
    return place


@pytest.fixture
def layer(tmp_path: Path, lower: Path) -> Path:
    """The folder of an applied layer: root, entries."""
    Result(tmp_path / "layer", LAYER, lowers=(lower,))
    return tmp_path / "layer"


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_every_form_leads_back_to_the_same_layer(
    tmp_path: Path, layer: Path, lower: Path, compression: str
) -> None:
    entries, blob = str(layer / "entries"), str(tmp_path / "blob")
    packed = call(
        jobs.pack_layer,
        entries_path=entries,
        root=str(layer / "root"),
        path=blob,
        compression=compression,
    )
    data = Path(blob).read_bytes()
    assert packed["digest"] == "sha256:" + hashlib.sha256(data).hexdigest()
    assert packed["compressed_size"] == len(data)
    for name, asked in (("one", compression), ("two", "auto")):
        (tmp_path / name).mkdir()
        scan = call(
            jobs.apply_layer,
            blob=blob,
            compression=asked,
            root=str(tmp_path / name),
            lowers=(str(lower),),
            entries_path=str(tmp_path / f"{name}.entries"),
        )
        assert (scan["diff_id"], scan["size"]) == (packed["diff_id"], packed["size"])
        again = list(read_entries(str(tmp_path / f"{name}.entries")))
        assert again == list(read_entries(entries))


def test_a_blob_can_come_as_a_descriptor(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(LAYER)
    (tmp_path / "root").mkdir()
    fd = os.open(tmp_path / "blob", os.O_RDONLY)
    arguments = {"root": str(tmp_path / "root"), "entries_path": str(tmp_path / "entries")}
    scan: Any = jobs.apply_layer(arguments, (fd,), lambda value: None)
    assert scan["diff_id"] == "sha256:" + hashlib.sha256(LAYER).hexdigest()


def test_a_scan_of_an_applied_layer_finds_the_same(
    tmp_path: Path, layer: Path, lower: Path
) -> None:
    scan = call(
        jobs.commit_upper,
        upper=str(layer / "root"),
        lowers=(str(lower),),
        entries_path=str(tmp_path / "entries"),
        tar=str(tmp_path / "tar"),
    )
    assert scan["count"] == 9
    applied = Result(tmp_path / "again", (tmp_path / "tar").read_bytes(), lowers=(lower,))
    assert applied.entries == list(read_entries(str(tmp_path / "entries")))
    assert applied.scan.diff_id == scan["diff_id"]
    assert applied.scan.content_id == scan["content_id"]


def test_recompression_keeps_the_stream(tmp_path: Path) -> None:
    (tmp_path / "tar").write_bytes(LAYER)
    diff_id = "sha256:" + hashlib.sha256(LAYER).hexdigest()
    blob = str(tmp_path / "tar")
    for compression in ("zstd", "gzip", "none"):
        path = str(tmp_path / compression)
        done = call(
            jobs.compress_layer, blob=blob, path=path, compression=compression, expected=diff_id
        )
        assert done["size"] == len(LAYER)
        blob = path
    assert Path(blob).read_bytes() == LAYER


def test_another_diff_id_than_expected_leaves_no_blob(tmp_path: Path, layer: Path) -> None:
    with pytest.raises(LayerError) as caught:
        call(
            jobs.pack_layer,
            entries_path=str(layer / "entries"),
            root=str(layer / "root"),
            path=str(tmp_path / "blob"),
            expected="sha256:" + "0" * 64,
        )
    assert caught.value.code == "layer.changed"
    assert not list(tmp_path.glob("blob*"))


def change_data(root: Path) -> None:
    status = (root / "d/f").stat()
    (root / "d/f").write_bytes(b"Data" * 3000)
    os.utime(root / "d/f", ns=(0, status.st_mtime_ns))


def replace_by_link(root: Path) -> None:
    (root / "new/f").unlink()
    (root / "new/f").symlink_to("/etc/passwd")


def replace_by_fifo(root: Path) -> None:
    (root / "new/f").unlink()
    os.mkfifo(root / "new/f")


def replace_parent_by_link(root: Path) -> None:
    (root / "new/f").unlink()
    (root / "new").rmdir()
    (root / "new").symlink_to("/etc")


DATA_CHANGES = [
    change_data,
    lambda root: (root / "new/f").unlink(),
    lambda root: (root / "new/f").write_bytes(b""),
    lambda root: (root / "new/f").write_bytes(b"xy"),
    replace_by_link,
    replace_by_fifo,
    replace_parent_by_link,
]
OTHER_CHANGES = [
    lambda root: (root / "d/f").chmod(0o755),
    lambda root: os.chown(root / "d/f", 3, 5),
    lambda root: os.utime(root / "d", (7, 7)),
    lambda root: os.removexattr(root / "d/f", "user.note"),
    lambda root: os.removexattr(root / "d", "user.overlay.opaque"),
    lambda root: (root / "gone").unlink(),
    lambda root: (root / "l").unlink(),
    lambda root: ((root / "h").unlink(), (root / "h").write_bytes(b"data" * 3000)),
]


@pytest.mark.parametrize("change", DATA_CHANGES + OTHER_CHANGES)
def test_verification_notices_what_changed(layer: Path, change: Any) -> None:
    arguments = {"root": str(layer / "root"), "entries_path": str(layer / "entries")}
    assert call(jobs.verify_directory, **arguments) == {"count": 8, "data": 12_001}
    change(layer / "root")
    with pytest.raises(LayerError) as caught:
        call(jobs.verify_directory, **arguments)
    assert caught.value.code == "layer.changed"


@pytest.mark.parametrize("change", DATA_CHANGES)
def test_packing_notices_data_that_changed(layer: Path, change: Any) -> None:
    change(layer / "root")
    with pytest.raises(LayerError) as caught:
        pack_directory(str(layer / "entries"), str(layer / "root"))
    assert caught.value.code == "layer.changed"


def test_devices_may_be_missing_from_a_directory_form(layer: Path) -> None:
    (layer / "root" / "null").unlink()
    call(jobs.verify_directory, root=str(layer / "root"), entries_path=str(layer / "entries"))


def test_a_full_disk_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "blob").write_bytes(LAYER)
    (tmp_path / "root").mkdir()

    def write(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(StoreError) as caught:
        call(
            jobs.apply_layer,
            blob=str(tmp_path / "blob"),
            root=str(tmp_path / "root"),
            entries_path=str(tmp_path / "entries"),
        )
    assert caught.value.code == "store.no-space"


def test_an_upper_directory_starts_as_the_root_of_its_chain(tmp_path: Path, lower: Path) -> None:
    lower.chmod(0o1711)
    os.chown(lower, 5, 6)
    upper = tmp_path / "upper"
    upper.mkdir()
    call(jobs.prepare_upper, upper=str(upper), lowers=(str(lower),))
    status = upper.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o1711, 5, 6)
    call(jobs.prepare_upper, upper=str(upper))


def test_sync_takes_files_and_directories(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    call(jobs.sync, paths=(str(tmp_path), str(tmp_path / "f")))


class TestRemoval:
    def test_takes_everything(self, layer: Path) -> None:
        (layer / "root" / "d").chmod(0)
        assert call(jobs.remove_tree, path=str(layer / "root")) == {"count": 9}
        assert not (layer / "root").exists()

    def test_of_nothing_is_fine(self, tmp_path: Path) -> None:
        assert call(jobs.remove_tree, path=str(tmp_path / "a")) == {"count": 0}
        assert call(jobs.remove_tree, path=str(tmp_path / "a" / "b")) == {"count": 0}

    def test_does_not_follow_links(self, tmp_path: Path) -> None:
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside" / "f").touch()
        (tmp_path / "tree").mkdir()
        (tmp_path / "tree" / "link").symlink_to(tmp_path / "outside")
        call(jobs.remove_tree, path=str(tmp_path / "tree"))
        assert (tmp_path / "outside" / "f").exists()
        (tmp_path / "link").symlink_to(tmp_path / "outside")
        call(jobs.remove_tree, path=str(tmp_path / "link"))
        assert (tmp_path / "outside" / "f").exists()
        assert not (tmp_path / "link").is_symlink()


def test_reading_a_blob_does_not_need_seeking(tmp_path: Path) -> None:
    """A blob may come through a pipe."""
    read, write = os.pipe()
    with open(write, "wb") as pipe:
        pipe.write(LAYER[:60_000])
    (tmp_path / "root").mkdir()
    arguments = {"root": str(tmp_path / "root"), "entries_path": str(tmp_path / "entries")}
    scan: Any = jobs.apply_layer(arguments, (read,), lambda value: None)
    assert scan["size"] == len(LAYER)
    assert io.BytesIO(LAYER).seekable()


def test_trees_with_something_mounted_in_them_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a tree" / "inside").mkdir(parents=True)
    point = str(tmp_path / "a tree" / "inside").replace(" ", "\\040")
    (tmp_path / "mountinfo").write_text(f"36 35 98:0 / {point} rw - ext4 /dev/vda rw\n")
    real_open = open

    def pretend(path: Any, *arguments: Any, **more: Any) -> Any:
        if path == "/proc/self/mountinfo":
            path = tmp_path / "mountinfo"
        return real_open(path, *arguments, **more)

    monkeypatch.setattr("builtins.open", pretend)
    with pytest.raises(OSError, match="mounted"):
        call(jobs.remove_tree, path=str(tmp_path / "a tree"))
    assert (tmp_path / "a tree" / "inside").is_dir()
    call(jobs.remove_tree, path=str(tmp_path / "a"))
