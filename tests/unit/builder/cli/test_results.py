"""What is left of a build for programs: `--iidfile`, `--metadata-file` and `-q`."""

from __future__ import annotations

import json
import os
from base64 import b64decode
from pathlib import Path
from typing import Any

import msgspec
import pytest

from builder.diagnostics import Diagnostic, Severity, SourceFile, Span
from builder.engine.requests import BuildResult, OutputResult, PlatformImage
from builder.errors import DockerfileError
from builder.oci.descriptor import Descriptor
from builder.oci.digest import Digest
from builder.oci.mediatypes import OCI_INDEX, OCI_MANIFEST
from builder.oci.platform import Platform
from tests.unit.builder.cli.fake import DIGEST, ID, FakeEngine, lapstrake, request_of

OTHER = "sha256:" + "e" * 64
WARNING = Diagnostic(
    severity=Severity.WARNING,
    code="x",
    message="mind the gap",
    notes=("it is wide",),
    span=Span(2, 1, 2, 5),
    source=SourceFile("Dockerfile", "a\nb\n"),
)


def descriptor(media_type: str = OCI_MANIFEST) -> Descriptor:
    return Descriptor(
        media_type=media_type,
        digest=Digest(DIGEST),
        size=559,
        platform=Platform("linux", "amd64") if media_type == OCI_MANIFEST else None,
        annotations=(("a", "b"),),
    )


def result(**more: Any) -> BuildResult:
    plain = BuildResult(
        image_id=ID,
        names=("app:1",),
        digest=None,
        size=1,
        steps=1,
        cached=0,
        seconds=0.1,
        build="b1",
    )
    return msgspec.structs.replace(plain, **more)


def metadata(tmp_path: Path, answer: BuildResult, *words: str) -> dict[str, Any]:
    path = tmp_path / "built.json"
    engine = FakeEngine(build=answer)
    assert lapstrake(engine, "build", *words, "--metadata-file", str(path), ".") == 0
    assert [each for each in os.listdir(tmp_path) if "partial" in each] == []
    return dict(json.loads(path.read_bytes()))


def test_an_image_that_only_the_store_has_is_known_by_its_id(tmp_path: Path) -> None:
    assert metadata(tmp_path, result()) == {
        "buildx.build.ref": "lapstrake/lapstrake/b1",
        "containerimage.config.digest": ID,
        "containerimage.digest": ID,
        "image.name": "docker.io/library/app:1",
    }


def test_an_image_without_a_name_has_none(tmp_path: Path) -> None:
    assert "image.name" not in metadata(tmp_path, result(names=()))


def test_the_last_output_that_is_an_image_counts(tmp_path: Path) -> None:
    outputs = (
        OutputResult(type="oci", descriptor=descriptor(), config=OTHER, names=("x.io/a:1", "b:2")),
        OutputResult(type="tar", dest="x"),
    )
    found = metadata(tmp_path, result(outputs=outputs))
    assert found["containerimage.digest"] == DIGEST
    assert found["containerimage.config.digest"] == OTHER
    assert found["image.name"] == "x.io/a:1,docker.io/library/b:2"
    assert found["containerimage.descriptor"] == {
        "mediaType": OCI_MANIFEST,
        "digest": DIGEST,
        "size": 559,
        "platform": {"os": "linux", "architecture": "amd64"},
        "annotations": {"a": "b"},
    }


def test_what_was_pushed_by_digest_has_the_name_of_its_repository(tmp_path: Path) -> None:
    names = (f"x.io/a@{DIGEST}", f"x.io/b@{OTHER}")
    pushed = OutputResult(type="registry", descriptor=descriptor(), pushed=True, names=names)
    found = metadata(tmp_path, result(outputs=(pushed,)))
    assert found["image.name"] == f"x.io/a,x.io/b@{OTHER}"


def test_several_platforms_are_known_by_their_index(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    platforms = tuple(
        PlatformImage(platform=each, image_id=ID, size=1) for each in ("linux/amd64", "linux/arm64")
    )
    outputs = (OutputResult(type="registry", descriptor=descriptor(OCI_INDEX), pushed=True),)
    answer = result(platforms=platforms, outputs=outputs)
    found = metadata(tmp_path, answer, "-q", "--iidfile", str(tmp_path / "id"))
    assert found["containerimage.digest"] == DIGEST
    assert "containerimage.config.digest" not in found
    assert (tmp_path / "id").read_text() == DIGEST
    assert capsys.readouterr().out == f"{DIGEST}\n"


@pytest.mark.parametrize("value", [None, "0", "no"])
def test_warnings_are_told_only_where_they_are_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value is not None:
        monkeypatch.setenv("BUILDX_METADATA_WARNINGS", value)
    assert "buildx.build.warnings" not in metadata(tmp_path, result(warnings=(WARNING,)))


def test_warnings_are_told_as_buildkit_tells_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUILDX_METADATA_WARNINGS", "1")
    (told,) = metadata(tmp_path, result(warnings=(WARNING,)))["buildx.build.warnings"]
    assert b64decode(told["short"]) == b"mind the gap"
    assert [b64decode(each) for each in told["detail"]] == [b"it is wide"]
    assert told["sourceInfo"] == {"filename": "Dockerfile"}
    assert told["range"] == [
        {"start": {"line": 2, "character": 0}, "end": {"line": 2, "character": 4}}
    ]


def test_provenance_is_named_by_platform_where_there_are_several(tmp_path: Path) -> None:
    one = (("linux/amd64", b'{"a":1}'),)
    assert metadata(tmp_path, result(provenance=one))["buildx.build.provenance"] == {"a": 1}
    both = metadata(tmp_path, result(provenance=(*one, ("linux/arm64", b"{}"))))
    assert both["buildx.build.provenance/linux/amd64"] == {"a": 1}
    assert both["buildx.build.provenance/linux/arm64"] == {}


@pytest.mark.parametrize(
    ("value", "told"),
    [(None, "min"), ("min", "min"), ("max", "max"), ("disabled", ""), ("0", ""), ("odd", "min")],
)
def test_how_much_is_told_of_what_was_built_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None, told: str
) -> None:
    if value is not None:
        monkeypatch.setenv("BUILDX_METADATA_PROVENANCE", value)
    assert request_of("--metadata-file", str(tmp_path / "x"), ".").tell == told
    assert request_of(".").tell == ""


def test_files_of_an_earlier_build_do_not_outlive_one_that_fails(tmp_path: Path) -> None:
    for name in ("id", "built.json"):
        (tmp_path / name).write_text("old")
    words = ("--iidfile", str(tmp_path / "id"), "--metadata-file", str(tmp_path / "built.json"))
    engine = FakeEngine(DockerfileError("x"))
    assert lapstrake(engine, "build", *words, ".") == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("flag", ["--iidfile", "--metadata-file"])
def test_a_file_that_cannot_be_written_is_told_after_the_build(
    tmp_path: Path, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "missing" / "x"
    assert lapstrake(FakeEngine(), "build", flag, str(path), ".") == 1
    text = capsys.readouterr().err
    assert f"the directory `{tmp_path}/missing` does not exist" in text
    assert "the image was built, but" in text


def test_devices_and_links_are_not_removed_before_the_build(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    os.mkfifo(tmp_path / "pipe")
    engine = FakeEngine(DockerfileError("x"))
    for name in ("link", "pipe"):
        assert lapstrake(engine, "build", "--iidfile", str(tmp_path / name), ".") == 1
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe", "real"]


def test_a_dash_is_the_name_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert lapstrake(FakeEngine(), "build", "--iidfile", "-", ".") == 0
    assert (tmp_path / "-").read_text() == ID
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "words",
    [
        ("--iidfile", "{}/x", "--metadata-file", "{}/x"),
        ("--iidfile", "{}/x", "-o", "type=oci,dest={}/y/../x"),
        ("--metadata-file", "{}/x", "-o", "type=tar,dest={}/x"),
    ],
)
def test_results_do_not_replace_one_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    (tmp_path / "x").write_text("before")
    (tmp_path / "y").mkdir()
    given = [word.format(tmp_path) for word in words]
    assert lapstrake(FakeEngine(), "build", *given, ".") == 125
    assert "two results go to" in capsys.readouterr().err
    assert (tmp_path / "x").read_text() == "before"


def test_results_may_share_a_device() -> None:
    null = (
        "--iidfile",
        "/dev/null",
        "--metadata-file",
        "/dev/null",
        "-o",
        "type=tar,dest=/dev/null",
    )
    assert lapstrake(FakeEngine(), "build", *null, ".") == 0


def test_an_empty_word_is_no_file() -> None:
    assert lapstrake(FakeEngine(), "build", "--iidfile", "", "--metadata-file", "", ".") == 0
