"""`--check`, `--call`, `fmt` and `context ls` on the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from builder.diagnostics import Diagnostic, Severity, SourceFile
from builder.engine.calls import Checked, Found
from tests.unit.builder.cli.fake import FakeEngine, lapstrake

WARNING = Diagnostic(severity=Severity.WARNING, code="StageNameCasing", message="odd")
ERROR = Diagnostic(severity=Severity.ERROR, code="dockerfile.syntax", message="broken")


def answer(*, warnings: int = 0, errors: int = 0) -> Checked:
    return Checked(
        source=SourceFile("Dockerfile", ""),
        warnings=(Found(WARNING, 0, 0),) * warnings,
        errors=(Found(ERROR, 0, 0),) * errors,
        remarks=(),
    )


def ask(result: Checked, *words: str) -> tuple[int, Any]:
    engine = FakeEngine(call=result)
    code = lapstrake(engine, "build", *words)
    [(name, (request,))] = engine.calls
    assert name == "call"
    return code, request


@pytest.mark.parametrize("words", [["--check"], ["--call=check"], ["--call", "lint"]])
def test_a_check_is_asked_instead_of_a_build(words: list[str]) -> None:
    code, request = ask(
        answer(), *words, "-f", "D", "--target=t", "--build-arg=A=1", "-t", "x", "."
    )
    assert code == 0
    assert (request.method, request.context, request.dockerfile) == ("check", ".", "D")
    assert (request.target, request.build_args) == ("t", (("A", "1"),))


def test_a_check_is_given_named_contexts_too() -> None:
    _, request = ask(answer(), "--check", "--build-context", "a=docker-image://b", ".")
    assert request.contexts == (("a", "docker-image://b"),)


@pytest.mark.parametrize(
    ("result", "words", "code"),
    [
        (answer(warnings=2), ["--check"], 1),
        (answer(warnings=2), ["--call=check,ignorestatus"], 0),
        (answer(warnings=2), ["--call=check,ignorestatus=false"], 1),
        (answer(errors=1), ["--check"], 1),
        (answer(errors=1), ["--call=check,ignorestatus=true"], 1),
        (answer(warnings=1), ["--check", "--call=check,ignorestatus"], 0),
    ],
)
def test_exit_codes_are_those_of_docker(result: Checked, words: list[str], code: int) -> None:
    assert ask(result, *words, ".")[0] == code


def test_json_goes_to_standard_output_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(answer(warnings=1, errors=1), "--call=check,format=json", ".")[0] == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["buildError"]["message"] == "broken"
    assert err == ""


def test_errors_of_a_check_are_told_as_errors(capsys: pytest.CaptureFixture[str]) -> None:
    ask(answer(warnings=1, errors=2), "--check", ".")
    out, err = capsys.readouterr()
    assert "warning[StageNameCasing]: odd" in out
    assert err.count("error[dockerfile.syntax]: broken") == 2


def test_the_first_twenty_errors_are_shown_and_the_others_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ask(answer(errors=23), "--check", ".")
    err = capsys.readouterr().err
    assert err.count("error[dockerfile.syntax]: broken") == 20
    assert "note: 3 more mistakes are not shown" in err
    ask(answer(errors=23), "--call=check,format=json", ".")
    assert len(json.loads(capsys.readouterr().out)["errors"]) == 23


@pytest.mark.parametrize(
    "call",
    ["chekc", "check,format=xml", "check,foo=1", "check,outline", "check,ignorestatus=x"],
)
def test_calls_that_mean_nothing_are_refused(call: str, capsys: pytest.CaptureFixture[str]) -> None:
    engine = FakeEngine()
    assert lapstrake(engine, "build", f"--call={call}", ".") == 125
    assert engine.calls == []
    assert call.split(",")[-1].partition("=")[2] in capsys.readouterr().err


def test_a_call_to_build_builds() -> None:
    engine = FakeEngine()
    assert lapstrake(engine, "build", "--call=build", ".") == 0
    assert [name for name, _ in engine.calls] == ["build"]


def test_a_check_and_another_call_contradict_each_other() -> None:
    assert lapstrake(FakeEngine(), "build", "--check", "--call=targets", ".") == 125


class TestFormat:
    def test_a_file_is_printed_listed_or_written(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "D"
        path.write_text("from  scratch\n")
        path.chmod(0o640)
        engine = FakeEngine()
        assert lapstrake(engine, "fmt", str(path)) == 0
        assert capsys.readouterr().out == "FROM scratch\n"
        assert lapstrake(engine, "fmt", "--check", str(path)) == 1
        assert capsys.readouterr().out == f"{path}\n"
        assert lapstrake(engine, "fmt", "-w", str(path)) == 0
        assert path.read_text() == "FROM scratch\n"
        assert path.stat().st_mode & 0o777 == 0o640
        assert os.listdir(tmp_path) == ["D"]
        assert lapstrake(engine, "fmt", "--check", str(path)) == 0
        assert engine.calls == []

    def test_a_link_stays_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "D").write_text("from a\n")
        (tmp_path / "link").symlink_to("D")
        assert lapstrake(FakeEngine(), "fmt", "-w", str(tmp_path / "link")) == 0
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "D").read_text() == "FROM a\n"

    def test_what_cannot_be_done_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "bad").write_text("FRM a\n")
        os.mkfifo(tmp_path / "fifo")
        engine = FakeEngine()
        assert lapstrake(engine, "fmt", str(tmp_path / "bad")) == 1
        assert lapstrake(engine, "fmt", str(tmp_path / "none")) == 125
        assert lapstrake(engine, "fmt", str(tmp_path / "fifo")) == 125
        assert lapstrake(engine, "fmt", "-w", "--check", str(tmp_path / "bad")) == 125
        assert lapstrake(engine, "fmt", "a", "b") == 125


class TestContext:
    @pytest.fixture
    def context(self, tmp_path: Path) -> Path:
        for name in ("logs/a.log", "logs/keep", "logs/deep/x", "src/main.c"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text("12345")
        (tmp_path / "link").symlink_to("/etc")
        (tmp_path / ".dockerignore").write_text("# c\nlogs\n!logs/keep\n")
        return tmp_path

    def listed(
        self, capsys: pytest.CaptureFixture[str], context: Path, *words: str
    ) -> tuple[list[str], str]:
        assert lapstrake(FakeEngine(), "context", "ls", *words, str(context)) == 0
        out, err = capsys.readouterr()
        return out.splitlines(), err

    def test_what_is_sent_is_listed_sorted(
        self, context: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lines, err = self.listed(capsys, context)
        assert lines == [".dockerignore", "link", "logs/keep", "src/main.c"]
        assert err == "4 files, 30B; 2 excluded\n"

    def test_what_is_excluded_names_its_line(
        self, context: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lines, _ = self.listed(capsys, context, "--excluded")
        assert lines == [
            "logs/a.log  (.dockerignore:2: logs)",
            "logs/deep/  (.dockerignore:2: logs)",
        ]

    def test_sizes_and_json(self, context: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.listed(capsys, context, "--size")[0][-1] == "      5B  src/main.c"
        documents = [json.loads(line) for line in self.listed(capsys, context, "--json")[0]]
        assert documents[2] == {
            "path": "logs/keep",
            "type": "file",
            "size": 5,
            "sent": True,
            "line": 3,
            "rule": "!logs/keep",
        }

    @pytest.mark.parametrize(
        ("path", "words"),
        [
            ("logs/a.log", "excluded by line 2"),
            ("./logs/keep", "brought back by line 3"),
            ("src/main.c", "no line excludes it"),
            ("logs/none", "excluded by line 2"),
        ],
    )
    def test_one_path_is_explained(
        self, context: Path, capsys: pytest.CaptureFixture[str], path: str, words: str
    ) -> None:
        lines, _ = self.listed(capsys, context, "--why", path)
        assert words in lines[0]
        assert ("does not exist" in lines[0]) is path.endswith("none")
        assert self.listed(capsys, context, "--why", str(context / path))[0] == lines

    @pytest.mark.parametrize(
        ("path", "line", "remark"),
        [
            (
                "logs",
                "`logs` is excluded by line 2",
                "may be brought back, by line 3: `!logs/keep`",
            ),
            ("logs/deep/x", "`logs/deep/x` is excluded by line 2", "matches `logs`"),
            ("old/deep/x", "leads to `logs/deep/x`, is excluded by line 2", "matches `logs`"),
            ("old/keep", "leads to `logs/keep`, is part of the context", ""),
            ("src/main.d", "does not exist in the context; no line", "`src/main.c`"),
            ("../src", "`src` is part of the context", "`../src` means `src`"),
            ("/src", "`src` is part of the context", "`/src` means `src`"),
        ],
    )
    def test_what_may_surprise_is_remarked(
        self,
        context: Path,
        capsys: pytest.CaptureFixture[str],
        path: str,
        line: str,
        remark: str,
    ) -> None:
        (context / "old").symlink_to("logs")
        lines, err = self.listed(capsys, context, "--why", path)
        assert line in lines[0]
        assert remark in err
        assert bool(err) is bool(remark)

    def test_a_path_relative_to_elsewhere_is_recognised(
        self, context: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(context / "logs")
        _, err = self.listed(capsys, context, "--why", "deep/x")
        assert "write `logs/deep/x`" in err

    def test_where_a_link_leads_is_for_machines_too(
        self, context: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (context / "old").symlink_to("logs")
        (context / b"bad\xff".decode("utf-8", "surrogateescape")).touch()
        [text] = self.listed(capsys, context, "--why", "old/a.log", "--json")[0]
        answer = json.loads(text)
        assert (answer["path"], answer["leads_to"]) == ("old/a.log", "logs/a.log")
        assert (answer["sent"], answer["line"]) == (False, 2)
        listed = [json.loads(line) for line in self.listed(capsys, context, "--json")[0]]
        assert "bad\\xff" in [each["path"] for each in listed]

    def test_a_mistake_in_the_flags_points_at_the_help_of_the_verb(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert lapstrake(FakeEngine(), "context", "ls", "--why") == 125
        assert "`lapstrake context ls --help`" in capsys.readouterr().err

    def test_the_ignore_file_beside_a_dockerfile_comes_first(
        self, context: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (context / "D").write_text("")
        (context / "D.dockerignore").write_text("*\n!src\n")
        assert self.listed(capsys, context, "-f", str(context / "D"))[0] == ["src/main.c"]

    def test_what_is_no_directory_is_refused(self, tmp_path: Path) -> None:
        assert lapstrake(FakeEngine(), "context", "ls", str(tmp_path / "none")) == 1
        assert (
            lapstrake(FakeEngine(), "context", "ls", "--why", "a", "--size", str(tmp_path)) == 125
        )
        assert lapstrake(FakeEngine(), "context") == 125
