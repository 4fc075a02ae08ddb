"""File systems that cannot hold a store are refused, with what they lack; nothing is left there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from builder.errors import StoreError
from builder.store.poor import refuse_poor


def refusal(place: Path) -> str:
    """Return what is said to be lacking."""
    with pytest.raises(StoreError) as caught:
        refuse_poor(f"{place}/tmp")
    assert caught.value.code == "store.unusable"
    assert str(place) in caught.value.message
    assert os.listdir(place / "tmp") == []
    return caught.value.notes[0]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a room for what is temporary."""
    (tmp_path / "tmp").mkdir()
    return tmp_path


def test_an_ordinary_file_system_is_taken(place: Path) -> None:
    refuse_poor(f"{place}/tmp")
    assert os.listdir(place / "tmp") == []


@pytest.mark.parametrize(("call", "what"), [("link", "hard links"), ("symlink", "symbolic links")])
def test_one_without_links_is_refused(
    call: str, what: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, "no")

    monkeypatch.setattr(os, call, refused)
    assert refusal(place) == f"it has no {what}: Operation not permitted"


def test_one_that_keeps_no_modes_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "chmod", lambda *_: None)
    assert refusal(place) == "it has no modes of files"


def test_one_that_takes_names_of_other_case_for_the_same_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os.path, "exists", lambda path: "HEADER-" in path)
    assert refusal(place) == "it has no names that differ only by case"
