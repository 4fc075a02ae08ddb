"""Which files are read as texts, and what is said of the others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.engine.texts import MAX_TEXT, context_of, dockerfile_of, read_text
from builder.errors import ContextError


def refusal(path: Path) -> str:
    with pytest.raises(ContextError) as caught:
        read_text(str(path))
    assert caught.value.code == "context.unreadable"
    assert caught.value.hint
    return caught.value.message


def test_a_text_is_read_and_what_is_not_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"text\xff")
    assert read_text(str(tmp_path / "a")) == "text\udcff"
    assert read_text(str(tmp_path / "b")) is None
    assert read_text(str(tmp_path / "a/b")) is None


def test_what_is_no_text_file_is_refused_by_its_path(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"`{tmp_path}` is a directory, not a text file"
    os.mkfifo(tmp_path / "fifo")
    assert refusal(tmp_path / "fifo") == f"`{tmp_path}/fifo` is not a regular file"
    with (tmp_path / "large").open("wb") as file:
        file.truncate(MAX_TEXT + 1)
    assert "is larger than the 16 MiB" in refusal(tmp_path / "large")


def test_a_directory_is_neither_dockerfile_nor_ignore_file(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").mkdir()
    with pytest.raises(ContextError, match=r"/\.dockerignore` is a directory"):
        context_of(str(tmp_path), None)
    with pytest.raises(ContextError, match="is a directory"):
        dockerfile_of(str(tmp_path), str(tmp_path))
