"""Named contexts, platforms and the arguments that speak to the builder."""

from __future__ import annotations

import msgspec
import pytest

from builder.dockerfile.lower import Lowered
from builder.errors import UsageError
from builder.graph.operations import (
    SCRATCH,
    ContextSource,
    CopyOp,
    CopySource,
    ImageSource,
    Op,
    RunOp,
)
from tests.unit.builder.dockerfile.dockerfiles import BASE, error_of, lowered, marked, planned

FILES = {"files": "local"}


def operations(text: str, contexts: dict[str, str]) -> list[Op]:
    return [vertex.op for vertex in lowered(text, contexts=contexts).graph.vertices]


def runs(found: Lowered) -> list[RunOp]:
    return [vertex.op for vertex in found.graph.vertices if isinstance(vertex.op, RunOp)]


def image(name: str) -> ImageSource:
    return ImageSource(reference=f"docker.io/library/{name}", platform="linux/amd64")


class TestContexts:
    def test_one_stands_for_an_image_to_copy_from(self) -> None:
        assert operations("FROM scratch\nCOPY --from=files a b", FILES)[:2] == [
            ContextSource(name="files"),
            SCRATCH,
        ]
        assert image("other:1") in operations(
            "FROM scratch\nCOPY --from=alpine a b", {"alpine": "image:other:1"}
        )

    def test_one_stands_for_a_stage_which_is_not_built(self) -> None:
        text = "FROM debian AS files\nRUN make\nFROM scratch\nCOPY --from={} a b"
        for name in ("files", "FILES", "0"):
            found = operations(text.format(name), FILES)
            assert ContextSource(name="files") in found
            assert not any(isinstance(each, RunOp) for each in found)
            assert len(found) == 3

    def test_files_to_begin_from_are_the_first_layer(self) -> None:
        found = lowered("FROM files\nCOPY a b", contexts=FILES)
        assert [vertex.op for vertex in found.graph.vertices][:3] == [
            ContextSource(name="files"),
            SCRATCH,
            CopyOp(sources=(CopySource(input=1, paths=("",)),), dest="/"),
        ]
        assert [vertex.inputs for vertex in found.graph.vertices] == [(), (), (1, 0), (), (2, 3)]
        assert [step.vertex for step in found.history] == [2, 4]
        assert found.base is None
        assert found.config.architecture == "amd64"

    def test_an_image_to_begin_from(self) -> None:
        text = "FROM debian AS base\nRUN make\nFROM base\nRUN x"
        found = lowered(text, contexts={"base": "image:other"})
        assert found.base is not None
        assert found.base.reference == "docker.io/library/other:latest"
        assert found.graph.vertices[0].op == image("other:latest")
        assert len(found.graph.vertices) == 2

    def test_the_target_may_be_one(self) -> None:
        found = lowered("FROM debian AS files\nRUN x", contexts=FILES)
        assert type(found.graph.vertices[-1].op) is CopyOp

    def test_scratch_can_take_the_place_of_an_image(self) -> None:
        assert SCRATCH in operations("FROM alpine\nCOPY a b", {"alpine": "image:scratch"})

    @pytest.mark.parametrize("name", ["alpine", "alpine:latest", "docker.io/library/alpine"])
    @pytest.mark.parametrize(
        "written", ["alpine", "alpine:latest", "docker.io/library/alpine:latest"]
    )
    def test_names_compare_as_those_of_images(self, name: str, written: str) -> None:
        found = operations(f"FROM scratch\nCOPY --from={written} a b", {name: "local"})
        assert ContextSource(name=name) in found

    def test_other_tags_are_other_names(self) -> None:
        found = operations("FROM scratch\nCOPY --from=alpine:3 a b", {"alpine": "local"})
        assert image("alpine:3") in found

    def test_one_may_be_for_a_platform(self) -> None:
        contexts = {"a::linux/amd64": "image:b", "a": "image:c"}
        assert image("b:latest") in operations("FROM a\nRUN x", contexts)
        assert image("a:latest") in operations("FROM a\nRUN x", {"a::linux/arm64": "image:b"})

    def test_scratch_and_the_context_itself_are_not_replaced(self) -> None:
        found = operations("FROM scratch\nCOPY --from=scratch a b", {"scratch": "local"})
        assert not any(isinstance(each, ContextSource) for each in found)


class TestPlatforms:
    def test_a_stage_for_another_platform_may_copy(self) -> None:
        text = "FROM --platform=linux/arm64 debian\nCOPY a b\nWORKDIR /x\nENV a=1"
        found = planned(text)
        assert found.images[0].platform == "linux/arm64"
        assert found.target.platform == "linux/arm64"
        assert planned("FROM debian\nCOPY a b", platform="linux/arm64").images[0].platform == (
            "linux/arm64"
        )

    @pytest.mark.parametrize(
        "text",
        [
            "FROM --platform=linux/arm64 base\nCOPY a b\nRUN x",
            "FROM --platform=linux/$TARGETARCH base AS b\nFROM b\nRUN x",
            "FROM scratch\nCOPY a b\nRUN x",
        ],
    )
    def test_commands_say_what_for_their_programs_are(self, text: str) -> None:
        arm = msgspec.structs.replace(BASE, architecture="arm64", variant="v8")
        (run,) = runs(lowered(text, base=arm, platform="linux/arm64"))
        assert run.platform == "linux/arm64"

    def test_that_is_what_the_image_really_holds(self) -> None:
        (run,) = runs(lowered("FROM base\nRUN x", base=BASE, platform="linux/arm64"))
        assert run.platform == "linux/amd64"

    def test_the_machines_own_platform_runs_for_any_target(self) -> None:
        text = "FROM --platform=$BUILDPLATFORM go AS b\nRUN x\nFROM scratch\nCOPY --from=b a b"
        found = lowered(text, platform="linux/arm64")
        assert found.config.architecture == "arm64"
        assert image("go:latest") in [vertex.op for vertex in found.graph.vertices]

    def test_the_image_says_the_platform_that_was_asked_for(self) -> None:
        arm = msgspec.structs.replace(BASE, architecture="arm64", variant="v8")
        found = lowered("FROM base\nCOPY a b", base=arm, others=BASE, platform="linux/arm64")
        assert (found.config.architecture, found.config.variant) == ("arm64", "")
        found = lowered("FROM base\nCOPY a b", base=arm, platform="linux/arm/v6")
        assert (found.config.architecture, found.config.variant) == ("arm", "v6")
        found = lowered("FROM --platform=linux/arm64 base\nCOPY a b", base=arm)
        assert found.config.architecture == "arm64"

    def test_an_empty_one_is_none(self) -> None:
        assert planned("FROM --platform= debian").images[0].platform == "linux/amd64"

    def test_scratch_is_of_the_target(self) -> None:
        found = lowered("FROM --platform=linux/s390x scratch\nCOPY a b")
        assert found.config.architecture == "amd64"


class TestArgumentsToTheBuilder:
    def test_a_time_is_passed_on(self) -> None:
        assert lowered("FROM scratch", build_args={"SOURCE_DATE_EPOCH": "12"}).epoch == 12
        assert lowered("ARG SOURCE_DATE_EPOCH=13\nFROM scratch").epoch == 13
        assert lowered("FROM scratch", build_args={"SOURCE_DATE_EPOCH": ""}).epoch is None
        assert lowered("FROM scratch\nARG SOURCE_DATE_EPOCH=1").epoch is None

    @pytest.mark.parametrize("value", ["yesterday", "1.5", "1_0", " 1", "--1", "9" * 20])
    def test_another_time_is_refused(self, value: str) -> None:
        error = error_of(planned, "FROM scratch", build_args={"SOURCE_DATE_EPOCH": value})
        assert isinstance(error, UsageError)

    def test_another_time_in_the_file_is_refused_where_it_stands(self) -> None:
        error = error_of(
            planned, "ARG SOURCE_DATE_EPOCH=1\nARG SOURCE_DATE_EPOCH=stage\nFROM scratch"
        )
        assert (error.code, marked(error)) == ("dockerfile.syntax", "stage")

    @pytest.mark.parametrize("value", ["context", "Source"])
    def test_a_time_from_elsewhere_is_asked_for_only_by_builds(self, value: str) -> None:
        file = "FROM scratch AS source\nADD http://a/b /\nFROM scratch"
        assert lowered(file, build_args={"SOURCE_DATE_EPOCH": value}).epoch is None

    @pytest.mark.parametrize(
        "stage",
        [
            "FROM debian AS source\nADD http://a/b /",
            "FROM scratch AS source",
            "FROM scratch AS source\nADD http://a/b /\nENV a=b",
            "FROM scratch AS source\nADD http://a/b /\nADD http://a/c /",
            "FROM scratch AS source\nADD http://a/b http://a/c /d/",
            "FROM scratch AS source\nADD <<f /\nf",
        ],
    )
    def test_a_stage_has_a_time_only_if_it_is_one_remote_file(self, stage: str) -> None:
        file = f"ARG SOURCE_DATE_EPOCH=source\n{stage}\nFROM scratch"
        error = error_of(planned, file)
        assert error.code == "dockerfile.syntax"
        assert error.message.startswith("SOURCE_DATE_EPOCH names a stage")
        assert error.span is not None

    def test_what_is_not_done_is_refused_by_name(self) -> None:
        name = "BUILDKIT_MULTI_PLATFORM"
        error = error_of(planned, "FROM scratch", build_args={name: "1"})
        assert isinstance(error, UsageError)
        assert name in error.message

    @pytest.mark.parametrize("value", ["a b", "a\nb", "a#b", "a/b", "x" * 65])
    def test_a_host_cannot_have_any_name(self, value: str) -> None:
        given = {"BUILDKIT_SANDBOX_HOSTNAME": value}
        error = error_of(planned, "FROM scratch", build_args=given)
        assert isinstance(error, UsageError)
        assert "cannot be the name of a host" in error.message

    @pytest.mark.parametrize("name", ["BUILDKIT_INLINE_CACHE", "BUILDKIT_SBOM_SCAN_STAGE"])
    def test_what_has_no_effect_is_told(self, name: str) -> None:
        (warning,) = planned("FROM scratch", build_args={name: "1"}).warnings
        assert f"`{name}` has no effect" in warning.message
        assert planned("FROM scratch", build_args={name: "0"}).warnings == ()
