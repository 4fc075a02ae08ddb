"""Questions about a Dockerfile, and the answers as text and as JSON."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from builder.engine.calls import CallResult, Checked, call
from builder.engine.contexts import Beginning
from builder.engine.requests import CallRequest
from builder.engine.texts import context_of, dockerfile_of
from builder.errors import DockerfileError
from builder.oci.config import ContainerConfig, ImageConfig
from builder.oci.platform import Platform
from builder.ui.calls import as_json, as_text

OUTLINE = """\
# VERSION is the version
ARG VERSION=1.0
ARG BASE=scratch
ARG UNUSED=$VERSION
# base does things
FROM $BASE AS base
# FOO foo arg
ARG FOO=bar BAZ
ARG VERSION
FROM --platform=$BUILDPLATFORM base AS other
ARG OTHER=$FOO
# final is last
FROM base AS final
RUN --mount=type=secret,id=tok,required=true --mount=type=ssh,id=k --mount=type=secret,target=/x/y true
COPY --from=other /a /b
FROM scratch AS unneeded
ARG NOT
"""


def ask(directory: Path, method: str, text: str, /, **options: Any) -> CallResult:
    """Ask about a text; images are those of `images`, by canonical reference."""
    (directory / "Dockerfile").write_text(text)
    images: dict[str, ImageConfig] = options.pop("images", {})
    kinds: tuple[tuple[str, str], ...] = options.pop("kinds", ())

    def config_of(reference: str, _platform: Platform) -> ImageConfig | None:
        return images.get(reference)

    beginning = Beginning(
        source=dockerfile_of(str(directory), None), context=context_of(str(directory), None)
    )
    request = CallRequest(method=method, context=str(directory), **options)
    return call(request, beginning, config_of, kinds)


def checked(directory: Path, text: str, **options: Any) -> Checked:
    """Check a text."""
    result = ask(directory, "check", text, **options)
    assert isinstance(result, Checked)
    return result


def codes(found: Any) -> list[str]:
    return [each.diagnostic.code for each in found]


def test_a_target_is_outlined_as_buildkit_does(tmp_path: Path) -> None:
    result = ask(tmp_path, "outline", OUTLINE, target="final")
    lines = as_text(result).splitlines()
    assert [line.split() for line in lines] == [
        ["TARGET:", "final"],
        ["DESCRIPTION:", "is", "last"],
        [],
        ["BUILD", "ARG", "VALUE", "DESCRIPTION"],
        ["VERSION", "1.0", "is", "the", "version"],
        ["BASE", "scratch"],
        ["FOO", "bar", "foo", "arg"],
        ["BAZ"],
        ["OTHER", "bar"],
        [],
        ["SECRET", "REQUIRED"],
        ["tok", "true"],
        ["y"],
        [],
        ["SSH", "REQUIRED"],
        ["k"],
    ]


def outlined(directory: Path, text: str, **options: Any) -> list[tuple[int, str, str | None]]:
    """Return line, name and value of each argument of a target."""
    arguments = json.loads(as_json(ask(directory, "outline", text, **options)))["args"]
    return [
        (each["location"]["ranges"][0]["start"]["line"], each["name"], each.get("value"))
        for each in arguments
    ]


def test_the_last_arg_of_a_name_in_a_stage_counts_and_the_target_before_others(
    tmp_path: Path,
) -> None:
    text = "FROM scratch AS a\nARG X=1\nARG Y=1\nARG X=2\nFROM a\nARG Y=3\n"
    assert outlined(tmp_path, text) == [(4, "X", "2"), (6, "Y", "3")]


def test_global_arguments_that_others_are_made_of_count(tmp_path: Path) -> None:
    text = "ARG A=1\nARG B=$A\nARG B=x$B\nARG TARGETOS\nFROM x:$B AS a\nARG TARGETOS\nFROM a\n"
    assert outlined(tmp_path, text) == [(1, "A", "1"), (3, "B", "x1"), (4, "TARGETOS", None)]


def test_triggers_of_stages_are_outlined_where_they_are_brought_in(tmp_path: Path) -> None:
    text = "FROM scratch AS a\nONBUILD ARG X=1\nFROM a\n"
    assert outlined(tmp_path, text) == [(3, "X", "1")]


def test_an_outline_has_the_values_that_are_given(tmp_path: Path) -> None:
    result = ask(tmp_path, "outline", OUTLINE, target="base", build_args=(("FOO", "z"),))
    document = json.loads(as_json(result))
    assert document["name"] == "base"
    assert {each["name"]: each.get("value") for each in document["args"]} == {
        "VERSION": "1.0",
        "BASE": "scratch",
        "FOO": "z",
        "BAZ": None,
    }
    assert document["args"][2]["location"] == {
        "ranges": [{"start": {"line": 8}, "end": {"line": 8}}]
    }
    assert b64decode(document["sources"][0]).decode() == OUTLINE


def test_targets_are_listed_with_the_default(tmp_path: Path) -> None:
    text = "# a first\nFROM x AS a\nFROM --platform=linux/amd64 a\n"
    result = ask(tmp_path, "targets", text)
    assert [line.split() for line in as_text(result).splitlines()] == [
        ["TARGET", "DESCRIPTION"],
        ["a", "first"],
        ["(default)"],
    ]
    assert json.loads(as_json(result))["targets"] == [
        {
            "name": "a",
            "description": "first",
            "base": "x",
            "location": {"ranges": [{"start": {"line": 2}, "end": {"line": 2}}]},
        },
        {
            "default": True,
            "base": "a",
            "platform": "linux/amd64",
            "location": {"ranges": [{"start": {"line": 3}, "end": {"line": 3}}]},
        },
    ]


def test_an_unknown_target_or_a_broken_file_is_no_outline(tmp_path: Path) -> None:
    with pytest.raises(DockerfileError):
        ask(tmp_path, "outline", OUTLINE, target="finel")
    with pytest.raises(DockerfileError):
        ask(tmp_path, "targets", "FROM\n")


def test_all_stages_are_checked_unless_one_is_asked_for(tmp_path: Path) -> None:
    text = "FROM scratch AS first\nCOPY $foo .\nFROM scratch AS second\nCOPY $bar .\n"
    assert len(checked(tmp_path, text).warnings) == 2
    assert len(checked(tmp_path, text, target="second").warnings) == 1


def test_findings_and_mistakes_are_told_together(tmp_path: Path) -> None:
    result = checked(tmp_path, "FROM scratch AS Foo\nRUM y\nMAINTAINER x\nFOO a\n")
    assert codes(result.warnings) == ["StageNameCasing", "MaintainerDeprecated"]
    assert codes(result.errors) == ["dockerfile.unknown-instruction"] * 2


def test_mistakes_that_only_a_build_meets_are_told(tmp_path: Path) -> None:
    result = checked(tmp_path, "FROM scratch\nSTOPSIGNAL nonsense\n")
    assert codes(result.errors) == ["dockerfile.syntax"]
    assert codes(checked(tmp_path, "FROM a AS b\nCOPY --from=7 a /\n").errors) == [
        "dockerfile.unknown-stage"
    ]


def test_what_an_image_may_set_is_no_mistake_until_the_image_is_known(tmp_path: Path) -> None:
    text = "FROM base\nWORKDIR ${HOME_OF_APP:?is not set}\n"
    assert not checked(tmp_path, text).errors
    known = {"docker.io/library/base:latest": ImageConfig(architecture="amd64", os="linux")}
    assert codes(checked(tmp_path, text, images=known).errors) == ["dockerfile.bad-expansion"]
    config = ContainerConfig(env=("HOME_OF_APP=/app",))
    known = {k: ImageConfig(architecture="amd64", os="linux", config=config) for k in known}
    found = checked(tmp_path, text, images=known, platform="linux/amd64")
    assert (found.errors, found.warnings) == ((), ())


def test_triggers_of_images_that_are_here_take_part(tmp_path: Path) -> None:
    config = ContainerConfig(on_build=("COPY $no /", "ENV TOP=1", "STOPSIGNAL x"))
    image = ImageConfig(architecture="amd64", os="linux", config=config)
    text = "FROM base\nWORKDIR /$TOP\n"
    found = checked(tmp_path, text, images={"docker.io/library/base:latest": image})
    assert codes(found.errors) == ["dockerfile.syntax"]
    assert [each.diagnostic.code for each in found.warnings] == ["UndefinedVar"]
    assert found.warnings[0].first_line == 1
    assert found.warnings[0].diagnostic.notes == (
        "an ONBUILD trigger of the base asks for `COPY $no /`",
    )


def test_findings_made_errors_are_one_error_beside_the_warnings(tmp_path: Path) -> None:
    result = checked(tmp_path, "# check=error=true\nFROM scratch\nMAINTAINER x\n")
    assert codes(result.warnings) == ["MaintainerDeprecated"]
    (error,) = result.errors
    expected = "lint violation found for rules: MaintainerDeprecated"
    assert error.diagnostic.message == expected
    assert json.loads(as_json(result))["buildError"]["message"] == expected


def test_the_ignore_file_is_read(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text("a\n")
    assert codes(checked(tmp_path, "FROM scratch\nCOPY a /\n").warnings) == ["CopyIgnoredFile"]
    (tmp_path / ".dockerignore").write_text("a\n!\n")
    assert codes(checked(tmp_path, "FROM scratch\nCOPY a /\n").errors) == ["context.bad-ignore"]


def test_an_unused_build_argument_is_a_remark_and_no_finding(tmp_path: Path) -> None:
    result = checked(tmp_path, "FROM scratch\n", build_args=(("x", "1"),))
    assert result.warnings == ()
    assert [each.code for each in result.remarks] == ["UnusedBuildArg"]


def test_json_has_the_lines_that_buildkit_names(tmp_path: Path) -> None:
    text = "FROM scratch\nCMD x\nCMD \\\n y\nCOPY <<E $z\nbody\nE\nCOPY a \\\n\n b\n"
    document = json.loads(as_json(checked(tmp_path, text)))
    places = {}
    for warning in document["warnings"]:
        (place,) = warning["location"]["ranges"]
        places[warning["ruleName"]] = (place["start"]["line"], place["end"]["line"])
    assert places == {
        "MultipleInstructionsDisallowed": (2, 2),
        "JSONArgsRecommended": (3, 4),
        "UndefinedVar": (5, 7),
        "NoEmptyContinuation": (10, 10),
    }
    first = document["warnings"][0]
    assert first["url"].startswith("https://docs.docker.com/go/dockerfile/rule/")
    assert first["description"]
    assert first["diagnostic"]["place"]["column"] == 1
    assert document["sources"][0]["language"] == "Dockerfile"


def test_text_counts_the_findings(tmp_path: Path) -> None:
    none = checked(tmp_path, "FROM scratch\n")
    one = checked(tmp_path, "FROM scratch\nMAINTAINER x\n")
    broken = checked(tmp_path, "FROM scratch\nFOO\n")
    assert as_text(none) == "Check complete, no warnings found\n"
    assert as_text(one).startswith("Check complete, 1 warning has been found\n\nwarning[Main")
    assert as_text(broken) == ""


@pytest.mark.parametrize(
    "text",
    [
        "FROM scratch AS a\nENVV A=1\nCOPY . /$A\nFROM a\nCOPY . /$A\n",
        "FROM scratch\nsomething\nCOPY . /$A\n",
        "ARGG V=1\nFROM x:$V\n",
    ],
)
def test_a_line_that_cannot_be_read_brings_no_warning_of_undefined_variables(
    tmp_path: Path, text: str
) -> None:
    result = checked(tmp_path, text)
    assert codes(result.warnings) == []
    assert codes(result.errors) == ["dockerfile.unknown-instruction"]


def test_a_named_context_takes_the_place_of_a_stage(tmp_path: Path) -> None:
    text = "FROM scratch AS a\nEXPOSE x\nFROM a\n"
    assert codes(checked(tmp_path, text).errors) == ["dockerfile.syntax"]
    assert codes(checked(tmp_path, text, kinds=(("a", "local"),)).errors) == []


@pytest.mark.parametrize(
    ("text", "rule", "hint"),
    [
        ("CMD ['a', 'b']", "JSONArgsRecommended", 'write `CMD ["a", "b"]`'),
        ('ENTRYPOINT ["a", b]', "JSONArgsRecommended", 'write `ENTRYPOINT ["a", "b"]`'),
        ("ENV A =b", "LegacyKeyValueFormat", "write `ENV A=b`"),
        ("ENV A = b", "LegacyKeyValueFormat", "write `ENV A=b`"),
        ("ENV A = b c", "LegacyKeyValueFormat", 'write `ENV A="…"`'),
        ("LABEL a=$VERSION", "UndefinedVar", "add `ARG VERSION` to this stage"),
        ('RUN a \\\n\nCMD ["b"]', "NoEmptyContinuation", "remove the backslash above it"),
    ],
)
def test_a_warning_says_what_is_meant(tmp_path: Path, text: str, rule: str, hint: str) -> None:
    [found] = checked(tmp_path, f"ARG VERSION=1\nFROM scratch\n{text}\n").warnings
    assert found.diagnostic.code == rule
    assert found.diagnostic.hint is not None
    assert hint in found.diagnostic.hint


@pytest.mark.parametrize(
    "text",
    [
        "ARG VERSION=1\nFROM x:$VERSON\n",
        "FROM x AS build Stage\n",
        "FROM scratch\nEXPOSE 80:80/tcp/x\n",
        "FROM scratch\nENV A=${B\n",
    ],
)
def test_what_is_an_error_is_not_warned_of_as_well(tmp_path: Path, text: str) -> None:
    result = checked(tmp_path, text)
    assert codes(result.warnings) == []
    assert len(result.errors) == 1
