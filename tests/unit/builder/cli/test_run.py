from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.builder.cli.fake import FakeEngine, lapstrake


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the real streams, which take over the terminal, away from flags that are only parsed here."""
    double = SimpleNamespace(Streams=SimpleNamespace)
    monkeypatch.setitem(sys.modules, "builder.containers.foreground", double)


def request_of(*words: str) -> Any:
    engine = FakeEngine()
    assert lapstrake(engine, "run", *words) == 0
    [(_, (request,))] = engine.calls
    return request


def test_exit_code_is_that_of_the_command() -> None:
    assert lapstrake(FakeEngine(run=37), "run", "a", "false") == 37


def test_flags_go_before_the_image_and_words_after_it_are_the_command() -> None:
    request = request_of(
        "--rm", "-i", "-w", "/src", "-u", "1:2", "-v", "/a:/b:ro", "--entrypoint", "sh",
        "--network", "host", "alpine", "ls", "--rm=false", "-t", "--", "--help",
    )  # fmt: skip
    assert request.image == "alpine"
    assert request.argv == ("ls", "--rm=false", "-t", "--", "--help")
    assert (request.workdir, request.user, request.entrypoint) == ("/src", "1:2", "sh")
    assert request.volumes == ("/a:/b:ro",)
    assert request.network == "host"
    assert (request.interactive, request.terminal) == (True, False)


def test_later_variables_go_before_earlier_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLER", "here")
    file = tmp_path / "env"
    file.write_text("# comment\n\nA=file\nB=1 2\nCALLER\nABSENT_ANYWHERE\n")
    request = request_of("-e", "A=flag", "--env-file", str(file), "-e", "C=", "alpine")
    assert request.env == ("A=flag", "B=1 2", "CALLER=here", "C=")


def test_env_file_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert lapstrake(FakeEngine(), "run", "--env-file", "/nowhere/x", "a") == 125
    assert (
        "cannot read the file `/nowhere/x` of --env-file: No such file" in capsys.readouterr().err
    )


def test_short_flags_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert lapstrake(FakeEngine(), "run", "-it", "a") == 125
    assert "standard input is not a terminal" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["-d"], ["--name", "x"], ["-p", "80:80"], ["--privileged"], ["-h", "host"]]
)
def test_flags_of_docker_that_are_not_here_are_refused_by_name(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert lapstrake(FakeEngine(), "run", *words, "a") == 125
    text = capsys.readouterr().err
    assert words[0] in text
    assert "is not available in this version" in text
