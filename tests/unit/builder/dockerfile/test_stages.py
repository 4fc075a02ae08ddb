"""Which stages and images a target needs, and what is refused before anything is pulled."""

from __future__ import annotations

import time

import pytest

from builder.dockerfile.stages import BuildPlan, ImageBase, ScratchBase, StageBase
from builder.errors import ReferenceInvalid, UsageError
from tests.unit.builder.dockerfile.dockerfiles import error_of, marked, planned

THREE = """\
FROM debian:12 AS Build
RUN a
FROM alpine AS unused
ADD x y
FROM build AS mid
FROM scratch
COPY --from=BUILD /a /b
COPY --from=busybox /c /d
"""


def indexes(found: BuildPlan) -> list[int]:
    return [stage.index for stage in found.stages]


def references(found: BuildPlan) -> list[str]:
    return [image.reference for image in found.images]


def test_only_what_the_target_needs_is_planned() -> None:
    found = planned(THREE)
    assert indexes(found) == [0, 3]
    assert references(found) == ["docker.io/library/debian:12", "docker.io/library/busybox:latest"]
    assert found.target.base == ScratchBase()
    assert found.target.copied[0] == StageBase(0)
    assert found.target.copied[1] == ImageBase(found.images[1])


def test_a_target_is_named_in_any_case_or_numbered() -> None:
    assert indexes(planned(THREE, target="MID")) == [0, 2]
    assert indexes(planned(THREE, target="0")) == [0]


def test_an_unknown_target_is_refused_with_the_nearest_name() -> None:
    error = error_of(planned, THREE, target="biuld")
    assert error.code == "dockerfile.unknown-stage"
    assert error.hint == "did you mean `build`?"
    assert "`mid`" in error.notes[0]


def test_the_same_image_is_needed_once() -> None:
    found = planned("FROM debian AS a\nFROM docker.io/library/debian:latest\nCOPY --from=a x y")
    assert len(found.images) == 1
    assert found.images[0].span.line == 1


def test_the_last_stage_of_a_name_counts_for_what_follows() -> None:
    found = planned("FROM a AS x\nFROM b AS x\nFROM x")
    assert found.target.base == StageBase(1)


def test_a_stage_name_in_other_letter_case_is_an_image_reference_error() -> None:
    error = error_of(planned, "FROM scratch AS build\nFROM BUILD")
    assert isinstance(error, ReferenceInvalid)
    assert marked(error) == "BUILD"
    assert error.hint == "write the stage's name as `build`"


def test_a_number_in_from_is_an_image() -> None:
    assert references(planned("FROM scratch\nFROM 0")) == ["docker.io/library/0:latest"]


def test_a_stage_that_comes_later_is_no_base() -> None:
    assert references(planned("FROM b AS a\nFROM scratch AS b", target="a")) == [
        "docker.io/library/b:latest"
    ]


@pytest.mark.parametrize(
    ("text", "code", "under"),
    [
        ("FROM scratch AS a\nCOPY --from=a x y", "dockerfile.stage-cycle", "a"),
        ("FROM scratch\nCOPY --from=0 x y", "dockerfile.stage-cycle", "0"),
        (
            "FROM scratch AS a\nCOPY --from=b x y\nFROM scratch AS b\nCOPY --from=a x y",
            "dockerfile.stage-cycle",
            "b",
        ),
        (
            "FROM scratch AS a\nCOPY --from=b x y\nFROM a AS b",
            "dockerfile.stage-cycle",
            "b",
        ),
        ("FROM scratch\nCOPY --from=1 x y", "dockerfile.unknown-stage", "1"),
        ("FROM scratch\nCOPY --from=-1 x y", "dockerfile.unknown-stage", "-1"),
        ("FROM scratch\nCOPY --from=99999999 x y", "dockerfile.unknown-stage", "99999999"),
        (
            "FROM scratch AS build\nFROM scratch\nCOPY --from=Biuld x y",
            "dockerfile.unknown-stage",
            "Biuld",
        ),
        ("FROM scratch\nCOPY --from=$x x y", "dockerfile.syntax", "$x"),
        ("ARG a=\nFROM $a", "dockerfile.bad-expansion", "$a"),
        ("FROM ${a:?none}", "dockerfile.bad-expansion", "${a:?none}"),
        ("FROM x${", "dockerfile.bad-expansion", "${"),
        ("FROM --platform=$x scratch", "dockerfile.bad-expansion", "$x"),
        ("FROM --platform=a/b/c/d scratch", "dockerfile.syntax", "a/b/c/d"),
        ("# syntax=foo/bar:1\nFROM scratch", "dockerfile.unsupported", "foo/bar:1"),
        ("# check=foo=bar\nFROM scratch", "dockerfile.syntax", "foo=bar"),
    ],
)
def test_a_plan_that_cannot_be_made_is_marked(text: str, code: str, under: str) -> None:
    error = error_of(planned, text)
    assert error.code == code
    assert marked(error) == under


@pytest.mark.parametrize(
    "text",
    [
        "# syntax=docker/dockerfile:1.9-labs\nFROM scratch",
        "# syntax = mirror.local/docker/dockerfile-upstream:master@sha256:x\nFROM scratch",
        "FROM scratch\nCOPY --link=false --parents=false a b",
        "FROM scratch\nRUN --security=sandbox --network=host x",
        "FROM --platform=$BUILDPLATFORM debian",
        "FROM --platform=linux/x86_64 debian",
        "FROM scratch\nCOPY --from=scratch a b",
    ],
)
def test_what_changes_nothing_is_accepted(text: str) -> None:
    assert planned(text).stages


def test_a_later_stage_is_refused_only_where_it_is_needed() -> None:
    text = "FROM scratch AS a\nCOPY --from=b x y\nFROM scratch AS b\n"
    error = error_of(planned, text + "FROM a")
    assert error.code == "dockerfile.unknown-stage"
    assert marked(error) == "b"
    assert indexes(planned(text)) == [1]


class TestGlobalArguments:
    def test_a_value_given_wins_over_the_default(self) -> None:
        text = "ARG V=1\nFROM debian:${V}"
        assert references(planned(text)) == ["docker.io/library/debian:1"]
        assert references(planned(text, build_args={"V": "2"})) == ["docker.io/library/debian:2"]

    def test_one_sees_those_before_it(self) -> None:
        assert references(planned("ARG A=x B=$A-y\nARG C=${B%y}z\nFROM $C")) == [
            "docker.io/library/x-z:latest"
        ]

    def test_platform_arguments_are_known_and_can_be_given(self) -> None:
        text = "FROM a:$TARGETOS-$TARGETARCH-$BUILDPLATFORM-x"
        assert error_of(planned, text).code == "reference.invalid"
        text = "FROM a:$TARGETOS-$TARGETARCH$TARGETVARIANT-$TARGETSTAGE"
        assert references(planned(text)) == ["docker.io/library/a:linux-amd64-default"]
        given = planned(text, build_args={"TARGETARCH": "mine"})
        assert references(given) == ["docker.io/library/a:linux-mine-default"]
        assert references(planned(text + " AS last")) == ["docker.io/library/a:linux-amd64-last"]

    def test_a_stage_argument_does_not_reach_from(self) -> None:
        error = error_of(planned, "FROM scratch\nARG base=x\nFROM $base")
        assert error.code == "dockerfile.bad-expansion"

    def test_a_mistyped_one_is_suggested(self) -> None:
        error = error_of(planned, "ARG VERSION=1\nFROM ${VERSOIN}")
        assert error.hint == "did you mean `$VERSION`?"


class TestWarnings:
    def test_an_unused_build_argument_is_warned_of(self) -> None:
        found = planned("FROM scratch\nARG version", build_args={"verzion": "1"})
        (warning,) = found.warnings
        assert warning.code == "UnusedBuildArg"
        assert warning.hint == "did you mean `version`?"

    @pytest.mark.parametrize(
        "name",
        [
            "HTTP_PROXY",
            "no_proxy",
            "TARGETARCH",
            "BUILDOS",
            "SOURCE_DATE_EPOCH",
            "BUILDKIT_CACHE_MOUNT_NS",
        ],
    )
    def test_a_predefined_one_is_always_used(self, name: str) -> None:
        assert planned("FROM scratch", build_args={name: "1"}).warnings == ()

    def test_a_foreign_syntax_cannot_be_given_either(self) -> None:
        error = error_of(planned, "FROM scratch", build_args={"BUILDKIT_SYNTAX": "a/b"})
        assert error.code == "dockerfile.unsupported"

    def test_checks_given_are_read(self) -> None:
        found = planned(
            "FROM scratch", build_args={"BUILDKIT_DOCKERFILE_CHECK": "skip=A, B;error=1"}
        )
        assert found.checks.skip == {"A", "B"}
        assert found.checks.error
        bad = error_of(planned, "FROM scratch", build_args={"BUILDKIT_DOCKERFILE_CHECK": "x"})
        assert isinstance(bad, UsageError)


def test_a_near_stage_is_found_for_an_image_that_is_not_there() -> None:
    found = planned("FROM scratch AS build\nFROM scratch\nCOPY --from=biuld a b")
    assert found.near_stage(found.images[0].reference) == "build"
    assert found.near_stage("docker.io/library/debian:12") is None


def test_many_stages_that_copy_from_each_other_are_planned_quickly() -> None:
    stages = [
        f"FROM scratch AS s{n}\n" + f"COPY --from={999 - n % 2} a b\n" * 18 for n in range(990)
    ]
    started = time.process_time()
    error_of(planned, "".join(stages) + "FROM scratch\n" * 10 + "COPY --from=0 a b")
    assert time.process_time() - started < 5
    assert "stages" in error_of(planned, "FROM scratch\n" * 1001).message
