"""A selection is digested by content, whichever way it is walked, and read only where it changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.dockerfile.ignore import IgnoreRules
from builder.errors import ContextError
from builder.source import select as selecting
from builder.source.known import KnownFiles
from builder.source.listing import contents_digest
from builder.source.select import Digester
from builder.source.stream import ObjectStream
from builder.source.tops import Tree, resolve


@pytest.fixture
def root(tmp_path: Path) -> Path:
    context = tmp_path / "context"
    (context / "src" / "deep").mkdir(parents=True)
    (context / "src" / "a.py").write_text("print(1)\n")
    (context / "src" / "deep" / "b.bin").write_bytes(os.urandom(3000))
    (context / "src.txt").write_text("beside src/ in the order of bytes\n")
    (context / "link").symlink_to("src/a.py")
    (context / "empty").mkdir()
    os.mkfifo(context / "pipe")
    return context


@pytest.fixture
def tree(root: Path) -> Iterator[Tree]:
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    yield Tree(fd)
    os.close(fd)


def digest_of(
    tree: Tree, *paths: str, known: KnownFiles | None = None, owners: bool = False
) -> str:
    digester = Digester(tree, owners=owners, known=known)
    return contents_digest([digester.top(top) for top in resolve(tree, paths)])


def streamed(tree: Tree, path: str, *, owners: bool = False) -> tuple[list[bytes], str]:
    [top] = resolve(tree, (path,))
    stream = ObjectStream(tree, top, b"app", owners=owners, known=None)
    paths = [found.path for found in stream]
    return paths, contents_digest([stream.digest()])


def aged(root: Path) -> None:
    """Make every file old enough for the stat cache to believe its times."""
    for directory, _, names in os.walk(root):
        for name in names:
            os.utime(Path(directory) / name, (1_000_000_000, 1_000_000_000), follow_symlinks=False)


@pytest.mark.parametrize("path", ["", "src", "src/a.py", "link", "empty"])
@pytest.mark.parametrize("owners", [False, True])
def test_selecting_and_streaming_agree_on_the_digest(tree: Tree, path: str, owners: bool) -> None:
    assert streamed(tree, path, owners=owners)[1] == digest_of(tree, path, owners=owners)


def test_a_stream_is_in_the_order_of_a_layer(tree: Tree) -> None:
    assert streamed(tree, "")[0] == [
        b"app/empty",
        b"app/link",
        b"app/pipe",
        b"app/src",
        b"app/src/a.py",
        b"app/src/deep",
        b"app/src/deep/b.bin",
        b"app/src.txt",
    ]


def test_times_do_not_count_but_content_mode_name_and_link_do(tree: Tree, root: Path) -> None:
    before = digest_of(tree, "")
    os.utime(root / "src" / "a.py", (1, 1))
    assert digest_of(tree, "") == before
    digests = {before}
    (root / "src" / "a.py").write_text("print(2)\n")
    digests.add(digest_of(tree, ""))
    (root / "src" / "a.py").chmod(0o755)
    digests.add(digest_of(tree, ""))
    (root / "src" / "a.py").rename(root / "src" / "c.py")
    digests.add(digest_of(tree, ""))
    (root / "link").unlink()
    (root / "link").symlink_to("src/c.py")
    digests.add(digest_of(tree, ""))
    assert len(digests) == 5


def test_owners_count_only_where_a_copy_keeps_them(tree: Tree, root: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("changing owners needs root")
    context, stage = digest_of(tree, "src"), digest_of(tree, "src", owners=True)
    os.chown(root / "src" / "a.py", 7, 7)
    assert digest_of(tree, "src") == context
    assert digest_of(tree, "src", owners=True) != stage


@pytest.mark.parametrize("owners", [False, True])
def test_names_of_one_file_are_another_selection_than_equal_files(
    tree: Tree, root: Path, owners: bool
) -> None:
    (root / "src" / "z.py").write_bytes((root / "src" / "a.py").read_bytes())
    equal = digest_of(tree, "src", owners=owners)
    (root / "src" / "z.py").unlink()
    os.link(root / "src" / "a.py", root / "src" / "z.py")
    assert digest_of(tree, "src", owners=owners) != equal


def test_another_name_outside_of_the_selection_does_not_count(tree: Tree, root: Path) -> None:
    before = digest_of(tree, "src")
    os.link(root / "src" / "a.py", root / "beside.py")
    assert digest_of(tree, "src") == before


def test_unchanged_files_are_not_read_again(
    tree: Tree, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builder.source.known.GRAIN_NANOSECONDS", 0)
    first = KnownFiles(str(tmp_path / "known"), "")
    before = digest_of(tree, "", known=first)
    first.save()
    read: list[str] = []
    real = selecting.file_digest
    monkeypatch.setattr(
        selecting, "file_digest", lambda fd, name: read.append(name) or real(fd, name)
    )
    second = KnownFiles(str(tmp_path / "known"), "")
    assert digest_of(tree, "", known=second) == before
    assert read == []
    (root / "src.txt").write_text("changed\n")
    third = KnownFiles(str(tmp_path / "known"), "")
    assert digest_of(tree, "", known=third) != before
    assert read == ["src.txt"]


def test_a_change_that_keeps_size_and_mtime_is_noticed(
    tree: Tree, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builder.source.known.GRAIN_NANOSECONDS", 0)
    path = root / "src" / "a.py"
    known = KnownFiles(str(tmp_path / "known"), "")
    before = digest_of(tree, "", known=known)
    known.save()
    status = path.stat()
    path.write_text("print(9)\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert digest_of(tree, "", known=KnownFiles(str(tmp_path / "known"), "")) != before


def test_a_file_younger_than_the_clocks_grain_is_read_again(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = KnownFiles(str(tmp_path / "known"), "")
    digest_of(tree, "", known=known)
    known.save()
    read: list[str] = []
    real = selecting.file_digest
    monkeypatch.setattr(
        selecting, "file_digest", lambda fd, name: read.append(name) or real(fd, name)
    )
    digest_of(tree, "", known=KnownFiles(str(tmp_path / "known"), ""))
    assert sorted(read) == ["a.py", "b.bin", "src.txt"]


def test_a_damaged_record_of_known_files_costs_only_time(tree: Tree, tmp_path: Path) -> None:
    before = digest_of(tree, "")
    (tmp_path / "known").write_bytes(b"\xc1 not msgpack")
    assert digest_of(tree, "", known=KnownFiles(str(tmp_path / "known"), "")) == before


def test_a_missing_source_names_its_neighbour(tree: Tree) -> None:
    with pytest.raises(ContextError) as caught:
        resolve(Tree(tree.root_fd), ("src/a.pi",))
    assert caught.value.code == "context.missing-source"
    assert any("src/a.py" in note for note in caught.value.notes)


@pytest.mark.parametrize("target", ["/etc/passwd", "nowhere"])
def test_a_link_that_leads_nowhere_in_the_context_names_its_target(
    tree: Tree, root: Path, target: str
) -> None:
    (root / "astray").symlink_to(target)
    with pytest.raises(ContextError, match=f"`astray` is a link to `{target}`") as caught:
        resolve(tree, ("astray",))
    assert caught.value.code == "context.missing-source"
    assert caught.value.hint is not None


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody read the directory `deep`, not even root."""
    opened = os.open

    def refusing(path: str, flags: int, *rest: int, dir_fd: int | None = None) -> int:
        if path == "deep" and not flags & os.O_PATH:
            raise PermissionError(13, "Permission denied", path)
        return opened(path, flags, *rest, dir_fd=dir_fd)

    def refused(_root: int, path: str, _flags: int) -> int:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("runtime.beneath.open_beneath", refused)
    monkeypatch.setattr(os, "open", refusing)


@pytest.mark.usefixtures("closed")
def test_a_directory_that_may_not_be_read_is_named(tree: Tree) -> None:
    with pytest.raises(ContextError, match="`src/deep` cannot be opened") as caught:
        digest_of(tree, "src")
    assert caught.value.code == "context.unreadable"
    assert caught.value.hint is not None


@pytest.mark.usefixtures("closed")
def test_a_hidden_directory_that_may_not_be_read_is_passed_by(tree: Tree, tmp_path: Path) -> None:
    tree.rules = IgnoreRules.parse("src/deep\n!**/*.bin\n", ".dockerignore")
    paths, digest = streamed(tree, "src")
    assert paths == [b"app/a.py"]
    assert digest_of(tree, "src") == digest
    known = KnownFiles(str(tmp_path / "known"), "rules")
    assert digest_of(tree, "src", known=known) == digest
    with pytest.raises(ContextError, match="`src/deep` is excluded"):
        digest_of(tree, "src/deep")


def test_a_pattern_selects_in_order_and_may_match_nothing(tree: Tree) -> None:
    assert [top.path for top in resolve(tree, ("s*",))] == ["src", "src.txt"]
    assert resolve(tree, ("nothing*",)) == []


def test_no_path_leads_out_of_the_context(tree: Tree, root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("host\n")
    (root / "out").symlink_to("../secret")
    (root / "absolute").symlink_to(str(tmp_path / "secret"))
    for path in ("out", "absolute", "../secret"):
        with pytest.raises(ContextError):
            resolve(Tree(tree.root_fd), (path,))
