"""Which files are read as texts, and what is said of the others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.engine.texts import MAX_TEXT, context_of, dockerfile_of, read_text
from builder.errors import ContextError, DockerfileError


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


def test_a_dockerfile_that_is_not_there_names_what_may_be_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c").mkdir()
    for name in ("Containerfile", "dockerfile.dev", "dockerfile.dev.dockerignore", "service.df"):
        (tmp_path / "c" / name).write_text("")

    def notes(given: str | None) -> tuple[str, ...]:
        with pytest.raises(DockerfileError) as caught:
            dockerfile_of(str(tmp_path / "c"), given)
        return caught.value.notes

    assert notes(None) == ("there is `c/Containerfile`, `c/dockerfile.dev`",)
    assert notes("c/servce.df")[0].startswith("there is `c/service.df`")
    assert notes("none/Dockerfile") == ()


@pytest.mark.parametrize("name", ["Dockerfile", ".dockerignore", "Dockerfile.dockerignore"])
def test_a_link_out_of_the_context_is_refused_and_what_it_leads_to_is_not_shown(
    tmp_path: Path, name: str
) -> None:
    context = tmp_path / "c"
    context.mkdir()
    (tmp_path / "secret").write_text("hunter2")
    (context / name).symlink_to("../secret")
    read = dockerfile_of if name == "Dockerfile" else context_of
    with pytest.raises(ContextError) as caught:
        read(str(context), None)
    assert caught.value.message == f"`{context}/{name}` leads out of the build context"
    assert caught.value.hint
    assert "hunter2" not in str(caught.value.notes)


def test_a_link_that_stays_in_the_context_is_followed(tmp_path: Path) -> None:
    (tmp_path / "c/docker").mkdir(parents=True)
    (tmp_path / "c/docker/file").write_text("FROM scratch")
    (tmp_path / "c/Dockerfile").symlink_to("docker/file")
    (tmp_path / "link").symlink_to("c")
    assert dockerfile_of(str(tmp_path / "link"), None).text == "FROM scratch"


def test_the_directory_of_a_dockerfile_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/Dockerfile").write_text("FROM scratch")
    (tmp_path / "c/docker").symlink_to("../shared")
    named = str(tmp_path / "c/docker/Dockerfile")
    assert dockerfile_of(str(tmp_path / "c"), named).text == "FROM scratch"


def test_a_dockerfile_beside_the_context_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "real").write_text("FROM scratch")
    (tmp_path / "Dockerfile").symlink_to("real")
    assert dockerfile_of(str(tmp_path / "c"), str(tmp_path / "Dockerfile")).text == "FROM scratch"
