from __future__ import annotations

import io
import json
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from builder.diagnostics import Diagnostic, Severity
from builder.errors import DockerfileError
from runtime.spec import IsolationName
from tests.unit.builder.cli.fake import DIGEST, ID, FakeEngine, lapstrake, refusal, request_of


def test_request_holds_what_the_flags_say() -> None:
    request = request_of(
        "-t", "a", "--tag=b:1", "-fother/Dockerfile", "--target", "base", "--pull", "--no-cache",
        "--build-arg", "A=1=2", "--label", "x=y", "--label", "z", "--platform", "linux/amd64",
        "--network", "none", "--push", ".",
    )  # fmt: skip
    assert request.context == "."
    assert request.tags == ("a", "b:1")
    assert request.dockerfile == "other/Dockerfile"
    assert request.target == "base"
    assert request.pull
    assert request.no_cache
    assert request.build_args == (("A", "1=2"),)
    assert request.labels == (("x", "y"), ("z", ""))
    assert request.platforms == ("linux/amd64",)
    assert request.network == "none"
    assert request.push


def test_request_without_flags_is_the_default() -> None:
    request = request_of("dir")
    assert request.context == "dir"
    assert (request.tags, request.build_args, request.outputs) == ((), (), ())
    assert (request.pull, request.no_cache, request.push) == (False, False, False)
    assert (request.dockerfile, request.target, request.platforms) == (None, None, ())


@pytest.mark.parametrize(
    ("words", "no_cache"),
    [
        (["--no-cache=true", "."], True),
        (["--no-cache=1", "."], True),
        (["--no-cache=false", "."], False),
        (["--no-cache", "--no-cache=false", "."], False),
        (["--target", "--no-cache=true", "."], False),
        (["-t", "--no-cache", "."], False),
        (["--", "--no-cache=true"], False),
    ],
)
def test_booleans_may_have_values_as_in_go(words: list[str], no_cache: bool) -> None:
    assert request_of(*words).no_cache is no_cache


@pytest.mark.parametrize(
    ("words", "tags"),
    [
        (["-t", "a"], ("a",)),
        (["-ta"], ("a",)),
        (["-t=a"], ("a",)),
        (["--tag=a", "-t", "-b"], ("a", "-b")),
        (["-qt", "a"], ("a",)),
        (["-qta"], ("a",)),
    ],
)
def test_short_flags_are_written_as_in_docker(words: list[str], tags: tuple[str, ...]) -> None:
    assert request_of(*words, ".").tags == tags


def test_build_argument_without_a_value_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FROM_ENV", "1=2")
    monkeypatch.delenv("NOT_THERE", raising=False)
    request = request_of("--build-arg", "FROM_ENV", "--build-arg", "NOT_THERE", ".")
    assert request.build_args == (("FROM_ENV", "1=2"),)


def test_steps_to_run_again_are_named_in_several_ways() -> None:
    words = ("--no-cache-filter", "a,b:3", "--no-cache-filter=7", "--cache-ttl", "1d")
    request = request_of(*words, ".")
    assert request.no_cache_filter == ("a", "b:3", "7")
    assert request.cache_ttl == 86_400


@pytest.mark.parametrize(
    ("words", "percent"),
    [
        ((), 0),
        (("--verify-cache",), 100),
        (("--verify-cache=10%",), 10),
        (("--verify-cache=7",), 7),
    ],
)
def test_the_share_of_steps_to_verify_may_be_left_out(words: tuple[str, ...], percent: int) -> None:
    request = request_of(*words, ".")
    assert (request.verify_cache, request.context) == (percent, ".")


@pytest.mark.parametrize("share", ["0", "101", "x", "10%%", ""])
def test_other_shares_are_refused(share: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys, f"--verify-cache={share}", ".")
    assert "`--verify-cache` for all" in said


def test_explanations_and_an_archive_cannot_share_standard_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = refusal(capsys, "--explain=json", "-o", "type=tar,dest=-", ".")
    assert "cannot both have standard output" in said


def test_noise_is_named_with_commas_or_all_of_it() -> None:
    assert request_of("--cache-normalize", "pyc,gzip", ".").cache_normalize == ("pyc", "gzip")
    whole = ("gzip", "pyc", "ldconfig", "logs")
    assert request_of("--cache-normalize=all", ".").cache_normalize == whole


def test_unknown_noise_is_refused_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean `logs`?" in refusal(capsys, "--cache-normalize=gzip,log", ".")


@pytest.mark.parametrize(
    "words",
    [
        ["--platform", "linux/amd64,arm64"],
        ["--platform=linux/amd64", "--platform", "arm64"],
        ["--platform", "linux/amd64,arm64,"],
    ],
)
def test_several_platforms_are_listed_or_repeated(words: list[str]) -> None:
    assert request_of(*words, ".").platforms == ("linux/amd64", "arm64")


def test_isolation_goes_to_the_engine_with_the_settings() -> None:
    engine = FakeEngine()
    assert lapstrake(engine, "build", "--isolation", "rootless", ".") == 0
    assert engine.settings is not None
    assert engine.settings.isolation is IsolationName.ROOTLESS


@pytest.mark.parametrize(
    ("word", "output"),
    [
        ("dir", ("local", "dir", ())),
        ("type=tar,dest=a.tar", ("tar", "a.tar", ())),
        ("type=oci,dest=d,tar=false", ("oci", "d", (("tar", "false"),))),
        ('type=docker,"dest=a,b.tar"', ("docker", "a,b.tar", ())),
        ("-", ("tar", "-", ())),
    ],
)
def test_outputs(word: str, output: tuple[object, ...]) -> None:
    [found] = request_of("-o", word, ".").outputs
    assert (found.type, found.dest, found.attributes) == output


@pytest.mark.parametrize("word", ["type=docker", "type=image,push=true", "type=cacheonly"])
def test_outputs_to_the_store_have_no_destination(word: str) -> None:
    [found] = request_of("-t", "a", "--output", word, ".").outputs
    assert found.dest is None


def test_archives_without_a_destination_go_to_standard_output() -> None:
    assert [each.dest for each in request_of("-o", "type=tar", ".").outputs] == ["-"]


def test_load_adds_an_output_only_beside_others() -> None:
    assert request_of("--load", ".").outputs == ()
    kinds = [each.type for each in request_of("--load", "-o", "out", ".").outputs]
    assert kinds == ["local", "docker"]


@pytest.mark.parametrize(
    ("word", "attributes"),
    [
        ("a.b=c=d", (("annotation.a.b", "c=d"),)),
        ("manifest:a=b", (("annotation-manifest.a", "b"),)),
        (
            "index,manifest[linux/amd64]:a=b",
            (("annotation-index.a", "b"), ("annotation-manifest[linux/amd64].a", "b")),
        ),
        ("index-descriptor:a=", (("annotation-index-descriptor.a", ""),)),
    ],
)
def test_annotations(word: str, attributes: tuple[tuple[str, str], ...]) -> None:
    assert request_of("--annotation", word, ".").annotations == attributes


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("a", "not understood"),
        ("=b", "not understood"),
        ("index:=b", "not understood"),
        (":a=b", "not understood"),
        ("indx:a=b", "did you mean `index`?"),
        ("index[:a=b", "not closed"),
    ],
)
def test_malformed_annotations_are_refused(
    word: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refusal(capsys, "--annotation", word, ".")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("type=local", "lacks a destination"),
        ("type=oci,tar=false", "lacks a destination"),
        ("type=docker,context=x", "no Docker engine"),
        ("dest=x", "lacks a type"),
        ("type=zip,dest=x", "`zip` is not a type of output"),
        ("type=registry,nam=x", "did you mean `name`?"),
        ("type=local,dest=-", "a directory cannot be written to standard output"),
        ("type=tar,dest", "`dest` in `--output type=tar,dest` is not KEY=value"),
        ('type=tar,"dest=x', "quotes"),
        ("", "`--output` is empty"),
    ],
)
def test_malformed_outputs_are_refused(
    word: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refusal(capsys, "-o", word, ".")


def test_two_outputs_cannot_share_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert "only one" in refusal(capsys, "-o", "-", "-o", "type=oci,dest=-", ".")


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["--sbom", "true"], "--sbom"),
        (["--sbom=true"], "--sbom"),
        (["--policy", "x"], "--policy"),
        (["--sbom=true"], "--sbom"),
    ],
)
def test_dockers_flags_that_are_not_here_are_refused_by_name(
    words: list[str], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"`{name}` is not available in this version" in refusal(capsys, *words, ".")


@pytest.mark.parametrize(
    "words", [["--compress"], ["--rm"], ["--force-rm=true"], ["--squash"], ["--security-opt", "x"]]
)
def test_flags_that_docker_ignores_are_accepted_with_a_note(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    request_of(*words, ".")
    text = capsys.readouterr().err
    assert f"note: `{words[0].partition('=')[0]}` has no effect, as in Docker" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--push"], "`--push` needs a name"),
        (["--progress", "fancy"], "`fancy` in --progress"),
        (["--isolation", "hyperv"], "`hyperv` in --isolation"),
        (["--build-arg", "=x"], "has no name"),
        (["--label", ""], "has no name"),
    ],
)
def test_what_cannot_be_done_is_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refusal(capsys, *words, ".")


@pytest.mark.parametrize("words", [["-"], ["-f-", "."]])
def test_standard_input_that_is_a_terminal_is_not_read(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    assert "standard input, which is a terminal" in refusal(capsys, *words)


def test_contexts_are_given_by_name_and_the_last_of_a_name_counts() -> None:
    request = request_of("--build-context", "a=x", "--build-context", "a=b=c", ".")
    assert request.contexts == (("a", "b=c"),)


@pytest.mark.parametrize("word", ["a", "=b", "a="])
def test_a_named_context_needs_a_name_and_a_value(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"`--build-context={word}` is not understood" in refusal(
        capsys, "--build-context", word, "."
    )


def test_progress_and_summary_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    request_of("-t", "a:latest", ".")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "#1 [1/1] FROM scratch\n"
        "#1 CACHED\n"
        "Built a:latest (0123456789ab, 12.3MB) in 0.2s, the only step was cached\n"
    )


def test_push_tells_the_digest(capsys: pytest.CaptureFixture[str]) -> None:
    request_of("-t", "a", "--push", ".")
    assert capsys.readouterr().err.endswith(f", pushed as {DIGEST}\n")


def test_quiet_prints_just_the_id(capsys: pytest.CaptureFixture[str]) -> None:
    request_of("-q", ".")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == (f"{ID}\n", "")


def test_quiet_leaves_standard_output_to_an_archive(capsys: pytest.CaptureFixture[str]) -> None:
    request_of("-q", "-o", "-", ".")
    assert capsys.readouterr().out == ""


def test_warnings_are_repeated_at_the_end_once(capsys: pytest.CaptureFixture[str]) -> None:
    engine = FakeEngine()
    engine.warnings = (Diagnostic(severity=Severity.WARNING, code="rule.x", message="odd"),)
    assert lapstrake(engine, "build", ".") == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines.count("warning[rule.x]: odd") == 1
    assert lines[-1].startswith("Built ")


def test_warnings_are_told_when_the_build_fails_too(capsys: pytest.CaptureFixture[str]) -> None:
    engine = FakeEngine(DockerfileError("bad"))
    engine.warnings = (Diagnostic(severity=Severity.WARNING, code="rule.x", message="odd"),)
    assert lapstrake(engine, "build", ".") == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[-2:] == ["warning[rule.x]: odd", "error[dockerfile.syntax]: bad"]


def test_rawjson_is_json_to_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert lapstrake(FakeEngine(DockerfileError("bad")), "build", "--progress=rawjson", ".") == 1
    documents = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert documents[0]["type"] == "VertexStarted"
    assert documents[-1]["type"] == "Diagnostic"
    assert documents[-1]["diagnostic"]["message"] == "bad"


def test_id_is_written_to_a_file(tmp_path: Any) -> None:
    file = tmp_path / "id"
    request_of("--iidfile", str(file), ".")
    assert file.read_text() == ID


def test_id_of_an_earlier_build_does_not_outlive_a_failed_one(tmp_path: Any) -> None:
    file = tmp_path / "id"
    file.write_text("old")
    assert lapstrake(FakeEngine(DockerfileError("x")), "build", "--iidfile", str(file), ".") == 1
    assert not file.exists()


def test_archive_is_not_written_to_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    assert "not written to a terminal" in refusal(capsys, "-o", "-", ".")


def test_failed_steps_are_kept_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not request_of(".").keep_failed
    assert request_of("--keep-failed", ".").keep_failed
    assert request_of("--on-fail=keep", ".").keep_failed
    assert not request_of("--on-fail", "stop", ".").keep_failed
    monkeypatch.setenv("LAPSTRAKE_KEEP_FAILED", "1")
    assert request_of(".").keep_failed


def test_a_shell_after_a_failure_needs_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert "`--on-fail=shell` needs a terminal" in refusal(capsys, "--on-fail=shell", ".")


@pytest.mark.parametrize(
    ("given", "first"), [("linux/arm64,linux/amd64", "linux/arm64"), ("local,x", None), ("", None)]
)
def test_where_there_can_be_one_platform_the_first_by_default_is_meant(
    monkeypatch: pytest.MonkeyPatch, given: str, first: str | None
) -> None:
    monkeypatch.setenv("DOCKER_DEFAULT_PLATFORM", given)
    engine = FakeEngine()
    lapstrake(engine, "run", "image")
    assert engine.calls[-1][1][0].platform == first
