from __future__ import annotations

from importlib import import_module

import pytest

from builder.cli.catalogue import VERBS, verb_of
from builder.diagnostics import SourceFile, Span
from builder.errors import (
    Cancelled,
    ContainerError,
    DockerfileError,
    DockerfileErrors,
    ImageError,
    RunFailed,
)
from builder.solve.translate import translate
from runtime.errors import JobFailed, Unsupported
from tests.unit.builder.cli.fake import FakeEngine, lapstrake


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_has_help_and_the_summary_of_the_catalogue(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lapstrake(FakeEngine(), name, "--help") == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: lapstrake {name}")
    assert "--root" in text
    command = import_module(f"builder.cli.{VERBS[name].module}").command
    assert command.name == name
    assert command.short_help == VERBS[name].summary
    assert all(
        option.help for option in command.params if "--" in option.opts[0][:2] if not option.hidden
    )


def test_help_of_the_program_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert lapstrake(FakeEngine()) == 0
    bare = capsys.readouterr().out
    assert lapstrake(FakeEngine(), "--help") == 0
    assert capsys.readouterr().out == bare
    for name, entry in VERBS.items():
        assert f"  {name} " in bare
        assert entry.summary in bare


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (
            ["bulid", "."],
            "unknown command: `bulid`",
            "did you mean `build`? Run `lapstrake --help`",
        ),
        (["ps"], "`ps` is not available in this version", "run `lapstrake --help`"),
        (["build", "--targt", "x"], "unknown flag: `--targt`", "did you mean `--target`?"),
        (["build", "--nonsense"], "unknown flag: `--nonsense`", "run `lapstrake build --help`"),
        (["build", "-Z", "."], "unknown shorthand flag: `-Z`", "run `lapstrake build --help`"),
        (["build", "-t"], "flag needs a value: `--tag`", "run `lapstrake build --help`"),
        (["build"], "`lapstrake build` needs a context", "`lapstrake build .`"),
        (["build", "a", "b"], "unexpected extra argument", "run `lapstrake build --help`"),
        (["tag", "a"], "`lapstrake tag` needs an argument: TARGET", "run `lapstrake tag --help`"),
        (["build", "--network", "x", "."], "`x` is not one of", "run `lapstrake build --help`"),
        (["--nonsense"], "unknown flag: `--nonsense`", "run `lapstrake --help`"),
        (["build", "--no-cache=maybe", "."], "`maybe` for `--no-cache` is neither", ""),
    ],
)
def test_mistakes_on_the_command_line_end_with_125_and_the_nearest_right_word(
    words: list[str], message: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lapstrake(FakeEngine(), *words) == 125
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error[usage]: ")
    assert message in captured.err
    assert hint in captured.err


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ImageError("No such image: a", code="image.not-found"), 1, "error[image.not-found]"),
        (RunFailed("the command exited with code 7", command_exit_code=7), 1, "with code 7"),
        (ContainerError("no", code="container.start-failed"), 125, "container.start-failed"),
        (Cancelled(signal_number=15), 143, "interrupted"),
        (Cancelled(), 130, "interrupted"),
        (Unsupported("a user namespace", "EPERM", hint="be root"), 125, "= hint: be root"),
        (ValueError("odd\nthing"), 1, "error[internal]: ValueError: odd thing\n"),
    ],
)
def test_errors_become_diagnostics_and_exit_codes(
    error: Exception, code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lapstrake(FakeEngine(error), "tag", "a", "b") == code
    captured = capsys.readouterr()
    assert text in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_each_mistake_of_a_dockerfile_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    source = SourceFile("Dockerfile", "FRM a\nRUNN b\n")
    errors = tuple(
        DockerfileError(f"mistake {line}", span=Span(line, 1, line, 4), source=source)
        for line in (1, 2)
    )
    assert lapstrake(FakeEngine(DockerfileErrors(errors)), "tag", "a", "b") == 1
    text = capsys.readouterr().err
    assert " --> Dockerfile:1:1\n1 | FRM a\n  | ^^^\n" in text
    assert " --> Dockerfile:2:1\n" in text


def test_traceback_of_an_unforeseen_error_is_shown_on_request(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAPSTRAKE_DEBUG", "1")
    assert lapstrake(FakeEngine(ValueError("odd")), "tag", "a", "b") == 1
    text = capsys.readouterr().err
    assert "Traceback" in text
    assert text.index("Traceback") < text.index("error[internal]: ValueError: odd")


def test_keyboard_interrupt_ends_with_130(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        lapstrake(FakeEngine(KeyboardInterrupt()), "tag", "a", "b")
    assert "error" not in capsys.readouterr().err


def test_variable_that_cannot_be_meant_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAPSTRAKE_ISOLATION", "hyperv")
    assert lapstrake(FakeEngine(), "images") == 125
    assert "`hyperv` in $LAPSTRAKE_ISOLATION" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["--root", "/s", "tag", "a", "b"],
        ["tag", "--root=/s", "a", "b"],
        ["tag", "a", "b", "--root", "/s"],
    ],
)
def test_root_is_accepted_before_and_after_the_verb(words: list[str]) -> None:
    engine = FakeEngine()
    assert lapstrake(engine, *words) == 0
    assert engine.settings is not None
    assert engine.settings.root == "/s"
    assert engine.calls == [("tag", ("a", "b"))]


@pytest.mark.parametrize(
    ("words", "verb"),
    [
        (["build", "."], "build"),
        (["--root", "run", "images"], "images"),
        (["--root=/s", "-v", "pull", "run"], "pull"),
        (["--help"], None),
        ([], None),
    ],
)
def test_verb_is_found_without_parsing_flags(words: list[str], verb: str | None) -> None:
    assert verb_of(words) == verb


@pytest.mark.parametrize(("debug", "shown"), [("1", True), ("0", False)])
def test_traceback_of_a_job_behind_the_launcher_is_shown_on_request(
    debug: str, shown: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAPSTRAKE_DEBUG", debug)
    job = JobFailed("odd", kind="KeyError", detail={"traceback": "File far.py, line 7"})
    assert lapstrake(FakeEngine(translate(job)), "tag", "a", "b") == 1
    text = capsys.readouterr().err
    assert ("File far.py, line 7" in text) is shown
    assert "error[internal]: a step of the builder failed: KeyError: odd" in text
