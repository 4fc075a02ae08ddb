"""A destination is resolved inside the image, and all that was looked at can be looked at again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import BuildError
from builder.solve.steps.destination import Destination, observe, spelled, unspelled


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    (path / "etc").mkdir(parents=True)
    (path / "etc/passwd").write_text("root:x:0:0::/:\nann:x:5:6::/:\n")
    (path / "file").write_text("x")
    return path


@pytest.fixture
def root_fd(root: Path) -> Iterator[int]:
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.mark.parametrize(
    ("links", "asked", "found"),
    [
        ({}, "/a/b", "a/b"),
        ({}, "/a//./b/", "a/b"),
        ({}, "/../../a", "a"),
        ({}, "/", ""),
        ({"l": "/etc"}, "/l/x", "etc/x"),
        ({"l": "etc"}, "/l/x", "etc/x"),
        ({"l": "../../../etc"}, "/l", "etc"),
        ({"l": "/none/../other"}, "/l/x", "other/x"),
        ({"l": "m", "m": "n", "n": "/etc"}, "/l", "etc"),
        ({"etc/l": "x"}, "/etc/l", "etc/x"),
        ({"etc/l": ".."}, "/etc/l/file", "file"),
        ({"l": "/"}, "/l/l/l/a", "a"),
    ],
)
def test_paths_are_resolved_inside_the_root(
    root: Path, root_fd: int, links: dict[str, str], asked: str, found: str
) -> None:
    for name, target in links.items():
        (root / name).symlink_to(target)
    assert Destination(root_fd).resolve(asked) == found.encode()


@pytest.mark.parametrize(
    ("links", "asked", "said"),
    [
        ({"l": "l"}, "/l", "too many links"),
        ({"l": "m", "m": "l"}, "/l/x", "too many links"),
        ({}, "/file/x", "not a directory"),
        ({"l": "file"}, "/l/x", "not a directory"),
    ],
)
def test_paths_that_lead_nowhere_are_refused(
    root: Path, root_fd: int, links: dict[str, str], asked: str, said: str
) -> None:
    for name, target in links.items():
        (root / name).symlink_to(target)
    with pytest.raises(BuildError, match=said):
        Destination(root_fd).resolve(asked)


def test_nothing_exists_where_there_is_no_root() -> None:
    destination = Destination(None)
    assert destination.resolve("/a/b") == b"a/b"
    assert destination.observations == (("/a", "absent"), ("/a/b", "absent"))


def test_what_was_observed_is_observed_again(root: Path, root_fd: int) -> None:
    name = b"l\xe9\\x41\n"
    os.symlink(b"etc/\xff", os.fsencode(root) + b"/" + name)
    destination = Destination(root_fd)
    destination.look(name)
    destination.resolve("/etc/new")
    destination.look(b"file")
    destination.owner("ann")
    seen = dict(destination.observations)
    assert seen["/file"] == "file"
    assert seen["/etc"] == "directory"
    assert seen["/etc/new"] == "absent"
    assert seen["owner ann"] == "5:6"
    assert seen["/" + spelled(name)] == "link etc/\\xff"
    for text in seen.values():
        text.encode()
    assert observe(root_fd, list(seen)) == list(seen.values())


def test_an_owner_that_is_gone_is_no_observation(root: Path, root_fd: int) -> None:
    (root / "etc/passwd").write_text("")
    assert observe(root_fd, ["owner ann"]) == []


@given(st.binary(max_size=40).filter(lambda path: b"\0" not in path))
def test_any_path_is_spelled_as_text_and_back(path: bytes) -> None:
    assert unspelled(spelled(path)) == path
    spelled(path).encode()
