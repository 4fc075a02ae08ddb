"""The time of a build that is taken from a context or a stage, and what a build has of it."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.engine.requests import BuildRequest, Output
from builder.errors import DockerfileError
from tests.build.test_add import OLD, Archive
from tests.build.test_contexts import send
from tests.build.workshop import Built, Watch, Workshop, workshop_in
from tests.support.file_server import File, FileServer, serving_files
from tests.support.git_server import GitServer, serving

MODIFIED = "Wed, 14 Jun 2023 10:00:00 GMT"
THEN = "2023-06-14T10:00:00Z"
TEXT = "FROM scratch\nCOPY a /\n"


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving_files() as server:
        yield server


@pytest.fixture
def git(tmp_path: Path) -> Iterator[GitServer]:
    root = tmp_path / "served"
    root.mkdir()
    with serving(root) as git:
        yield git


def created(built: Built) -> str:
    text: str = built.image.document["created"]
    assert {line["created"] for line in built.image.document["history"]} == {text}
    return text


def from_context(shop: Workshop, tmp_path: Path, url: str, **more: Any) -> Built:
    arguments = (("SOURCE_DATE_EPOCH", "context"),)
    return send(shop, b"", tmp_path, context=url, build_args=arguments, **more)


def committed(git: GitServer, name: str = "one") -> int:
    return int(git.git(name, "log", "-1", "--format=%ct"))


def test_a_repository_gives_the_time_of_its_commit_to_the_image_and_the_files(
    workshop: Workshop, git: GitServer, tmp_path: Path
) -> None:
    git.create("one", {"Dockerfile": TEXT, "a": "of no other test"})
    git.git("one", "commit", "--quiet", "--amend", "--no-edit", "--date=2001-01-01T00:00:00Z")
    built = from_context(workshop, tmp_path, git.url("one"))
    assert created(built) == _text(committed(git))
    assert built.image.tree["a"].mtime == committed(git)


def test_a_download_gives_the_time_that_the_server_says(
    workshop: Workshop, server: FileServer, tmp_path: Path
) -> None:
    archive = Archive().add("Dockerfile", TEXT).add("a", "1")
    server.files["/c"] = File(archive.data(), Last_Modified=MODIFIED)
    assert created(from_context(workshop, tmp_path, server.url("/c"))) == THEN


def test_of_an_archive_without_one_the_newest_file_counts(
    workshop: Workshop, server: FileServer, tmp_path: Path
) -> None:
    archive = Archive().add("Dockerfile", TEXT).add("a", "1")
    server.files["/c"] = File(gzip.compress(archive.data()))
    assert created(from_context(workshop, tmp_path, server.url("/c"))) == _text(OLD)


def test_a_directory_has_no_time_which_is_said(workshop: Workshop, context: Path) -> None:
    (context / "a").touch()
    built = workshop.build(context, TEXT, build_args=(("SOURCE_DATE_EPOCH", "context"),))
    assert "." in built.image.document["created"]
    assert [each.code for each in built.result.warnings] == ["build.no-epoch"]


def test_a_named_context_gives_its_time(
    workshop: Workshop, context: Path, git: GitServer, server: FileServer
) -> None:
    git.create("one", {"a": "1"})
    server.files["/f"] = File(b"text", Last_Modified=MODIFIED)
    contexts = (("code", git.url("one")), ("file", server.url("/f")), ("here", str(context)))
    times = {"code": _text(committed(git)), "file": THEN}
    for name, time in times.items():
        built = workshop.build(
            context,
            f"# \nARG SOURCE_DATE_EPOCH={name}\nFROM scratch\nLABEL a=b\nCOPY Dockerfile /",
            contexts=contexts,
        )
        assert created(built) == time


def test_a_stage_gives_the_time_of_what_it_adds(
    workshop: Workshop, context: Path, git: GitServer, server: FileServer
) -> None:
    git.create("one", {"a": "1"})
    server.files["/f-2"] = File(b"text", Last_Modified=MODIFIED)
    url = server.url("/f-${VERSION}")
    for source, time in ((url, THEN), (f"{git.url('one')}#main", _text(committed(git)))):
        built = workshop.build(
            context,
            "# \nARG SOURCE_DATE_EPOCH=source\n"
            f"FROM scratch AS source\nARG VERSION=1\nADD {source} /\n"
            "FROM box\nARG SOURCE_DATE_EPOCH\nRUN echo $SOURCE_DATE_EPOCH > /f",
            build_args=(("VERSION", "2"),),
        )
        assert built.image.document["created"] == time
        assert _text(int(built.image.tree["f"].text)) == time


def test_a_stage_whose_source_is_local_has_no_time(workshop: Workshop, context: Path) -> None:
    (context / "a").touch()
    error = workshop.refused(
        context, "# \nARG SOURCE_DATE_EPOCH=s\nFROM scratch AS s\nADD a /\nFROM scratch\nCOPY a /"
    )
    assert isinstance(error, DockerfileError)
    assert error.code == "dockerfile.syntax"
    assert error.span is not None
    assert error.span.line == 3


def test_the_variable_reaches_steps_that_declare_it(tmp_path: Path, context: Path) -> None:
    with workshop_in(tmp_path, source_date_epoch="12") as shop:
        image = shop.build(
            context,
            "ARG SOURCE_DATE_EPOCH\nRUN echo ${SOURCE_DATE_EPOCH-unset} > /f\n"
            "FROM base\nRUN echo ${SOURCE_DATE_EPOCH-unset} > /g",
        ).image
        assert image.tree["g"].text == "unset\n"
        (context / "Dockerfile").unlink()
        image = shop.build(context, "ARG SOURCE_DATE_EPOCH\nRUN echo $SOURCE_DATE_EPOCH > /f").image
    assert image.tree["f"].text == "12\n"
    assert image.document["created"] == "1970-01-01T00:00:12Z"


def _text(seconds: int) -> str:
    from builder.engine.catalogue import rfc3339

    return rfc3339(seconds)


def test_times_of_commands_are_named_where_an_epoch_was_given_but_not_to_files(
    workshop: Workshop, context: Path
) -> None:
    def noted(text: str, *outputs: Output, epoch: str = "1600000000") -> bool:
        workshop.write(context, text)
        arguments = (("SOURCE_DATE_EPOCH", epoch),) if epoch else ()
        request = BuildRequest(context=str(context), build_args=arguments, outputs=outputs)
        found = workshop.engine.build(request, Watch()).warnings
        assert {each.code for each in found} <= {"build.times-kept"}
        return bool(found)

    rewriting = (("name", "set"), ("rewrite-timestamp", "true"))
    assert noted("RUN touch /a")
    assert noted("RUN touch /a\nFROM base\nRUN touch /b\nWORKDIR /w\nRUN true")
    assert not noted("RUN touch /a", epoch="")
    assert not noted("RUN touch /a", Output(type="image", attributes=rewriting))
    assert not noted("WORKDIR /w\nRUN true")
    assert not noted("RUN touch /a\nFROM base\nWORKDIR /w")
