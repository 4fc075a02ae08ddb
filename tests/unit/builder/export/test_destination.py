"""Files and directories that are complete, or not there."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from builder.errors import ExportError
from builder.export import destination
from builder.export.destination import writer, writing
from builder.export.directory import making


def test_a_file_replaces_the_old_one_only_when_it_is_complete(tmp_path: Path) -> None:
    dest = tmp_path / "out.tar"
    dest.write_bytes(b"old")
    with writing(str(dest)) as fd:
        os.write(fd, b"new")
        assert dest.read_bytes() == b"old"
    assert dest.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["out.tar"]


def test_a_directory_that_two_make_at_once_gets_what_both_have(tmp_path: Path) -> None:
    with making(str(tmp_path / "out")) as one:
        Path(one, "a").write_text("1")
        with making(str(tmp_path / "out")) as two:
            Path(two, "a").write_text("2")
            Path(two, "b").write_text("2")
    assert {each.name: each.read_text() for each in (tmp_path / "out").iterdir()} == {
        "a": "1",
        "b": "2",
    }
    assert os.listdir(tmp_path) == ["out"]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    dest = tmp_path / "out.tar"
    dest.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), writing(str(dest)) as fd:
        os.write(fd, b"half")
        raise KeyboardInterrupt
    assert dest.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out.tar"]


def test_a_link_is_written_through_and_stays(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real")
    with writing(str(tmp_path / "link")) as fd:
        os.write(fd, b"new")
    assert (tmp_path / "real").read_bytes() == b"new"
    assert (tmp_path / "link").is_symlink()


def test_a_fifo_stays_a_fifo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    with writing(str(tmp_path / "fifo")) as fd:
        os.write(fd, b"through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert stat.S_ISFIFO(os.stat(tmp_path / "fifo").st_mode)


def test_a_full_disk_has_its_own_code() -> None:
    with (
        pytest.raises(ExportError, match="no space left for `/dev/full`") as caught,
        writing("/dev/full") as fd,
    ):
        writer(fd, "/dev/full")(b"data")
    assert caught.value.code == "export.no-space"


def test_a_directory_is_no_place_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="is a directory"), writing(str(tmp_path)):
        pass


def test_directories_above_are_not_made(tmp_path: Path) -> None:
    with (
        pytest.raises(ExportError, match=r"the directory `.*/a/b` does not exist"),
        writing(str(tmp_path / "a/b/out")),
    ):
        pass
    with pytest.raises(ExportError, match="does not exist"), making(str(tmp_path / "c/d")):
        pass
    assert os.listdir(tmp_path) == []


def test_a_directory_is_made_below_one_that_is_there(tmp_path: Path) -> None:
    with making(str(tmp_path / "new/")) as directory:
        Path(directory, "f").write_bytes(b"x")
    assert (tmp_path / "new/f").exists()


def test_a_new_directory_has_the_mode_of_any_new_one(tmp_path: Path) -> None:
    (tmp_path / "usual").mkdir()
    with making(str(tmp_path / "out")) as directory:
        assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700
    assert os.stat(tmp_path / "out").st_mode == os.stat(tmp_path / "usual").st_mode


def test_what_is_in_a_directory_already_stays_beside_the_new(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/mine").write_bytes(b"mine")
    (tmp_path / "sub/old").write_bytes(b"old")
    with making(str(tmp_path)) as directory:
        Path(directory, "sub").mkdir()
        Path(directory, "sub/old").write_bytes(b"new")
        Path(directory, "top").write_bytes(b"top")
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert found == {"sub", "sub/mine", "sub/old", "top"}
    assert (tmp_path / "sub/old").read_bytes() == b"new"


def test_a_link_in_the_destination_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/etc").symlink_to("../elsewhere")
    with making(str(tmp_path / "out")) as directory:
        Path(directory, "etc").mkdir()
        Path(directory, "etc/passwd").write_bytes(b"root")
    assert os.listdir(tmp_path / "elsewhere") == []
    assert not (tmp_path / "out/etc").is_symlink()
    assert (tmp_path / "out/etc/passwd").read_bytes() == b"root"


def test_a_directory_is_never_replaced_by_a_file_and_nothing_is_merged_then(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with (
        pytest.raises(ExportError, match="`b` is a directory"),
        making(str(tmp_path)) as directory,
    ):
        Path(directory, "a").write_bytes(b"a")
        Path(directory, "b").write_bytes(b"b")
    assert os.listdir(tmp_path) == ["b"]


def test_a_failed_directory_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), making(str(tmp_path / "out")) as directory:
        Path(directory, "a").write_bytes(b"a")
        _ = 1 // 0
    assert os.listdir(tmp_path) == []


def test_a_file_is_no_place_for_a_directory(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    with pytest.raises(ExportError, match="is not a directory"), making(str(tmp_path / "f")):
        pass


DIRECTORY_KILLED = """
import os, signal, sys
from builder.export.directory import making
with making(sys.argv[1]) as directory:
    open(directory + "/f", "w").close()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("there", [False, True])
def test_what_a_killed_process_began_goes_with_the_next_and_what_is_being_written_stays(
    tmp_path: Path, there: bool
) -> None:
    out = tmp_path / "out"
    if there:
        out.mkdir()
    place = out if there else tmp_path
    subprocess.run([sys.executable, "-c", DIRECTORY_KILLED, str(out)], check=False)
    (left,) = os.listdir(place)
    assert left.endswith(".partial")
    with making(str(out)) as first:
        Path(first, "first").touch()
        assert os.listdir(place) == [os.path.basename(first)]
        with making(str(out)) as second:
            Path(second, "second").touch()
            assert len(os.listdir(place)) == 2
        if not there:
            (out / "second").rename(tmp_path / "second")
            out.rmdir()
    assert sorted(os.listdir(out)) == (["first", "second"] if there else ["first"])


KILLED = """
import os, signal, sys
from builder.export.destination import writing
with writing(sys.argv[1]) as fd:
    os.write(fd, b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_nothing_is_left_of_what_a_killed_process_wrote(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("before")
    for name in ("there", "new"):
        done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / name)])
        assert done.returncode == -9
    assert os.listdir(tmp_path) == ["there"]
    assert (tmp_path / "there").read_text() == "before"


def test_file_systems_without_nameless_files_are_written_to_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destination, "_nameless", lambda _path: None)
    with destination.writing(str(tmp_path / "new")) as fd:
        os.write(fd, b"whole")
        assert len(os.listdir(tmp_path)) == 1
    assert (tmp_path / "new").read_text() == "whole"


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_an_open_file_is_written_to_and_not_replaced(tmp_path: Path, name: str) -> None:
    code = f"""
import os
from builder.export.destination import writing
with writing({name!r}) as fd:
    os.write(fd, b"told")
"""
    for out in (subprocess.PIPE, (tmp_path / "out").open("wb")):
        done = subprocess.run([sys.executable, "-c", code], stdout=out, stderr=subprocess.PIPE)
        assert (done.returncode, done.stderr) == (0, b"")
        if out == subprocess.PIPE:
            assert done.stdout == b"told"
        else:
            out.close()
    assert (tmp_path / "out").read_bytes() == b"told"
    assert os.listdir(tmp_path) == ["out"]
