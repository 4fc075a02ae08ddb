"""ONBUILD: what is kept, what runs in a child, and where mistakes are told."""

from __future__ import annotations

import time

import msgspec
import pytest

from builder.dockerfile.lower import Lowered
from builder.dockerfile.triggers import MAX_TRIGGERS
from builder.errors import DockerfileError
from builder.graph.operations import CopyOp, CopySource, ImageSource, RunOp
from builder.graph.vertex import Vertex
from builder.oci.config import ContainerConfig, ImageConfig
from tests.unit.builder.dockerfile.dockerfiles import BASE, error_of, lowered, marked, planned


def base(*texts: str) -> ImageConfig:
    return msgspec.structs.replace(BASE, config=ContainerConfig(on_build=texts))


def built(text: str, *texts: str) -> Lowered:
    """Lower a text, whose image `base` has these triggers, and no other image any."""
    plain = msgspec.structs.replace(BASE, author="other")
    return lowered(text, base=base(*texts), others=plain)


def steps(found: Lowered) -> list[Vertex]:
    return [vertex for vertex in found.graph.vertices if isinstance(vertex.op, RunOp | CopyOp)]


class TestKept:
    def test_the_text_is_kept_as_it_is_and_leaves_no_history(self) -> None:
        found = lowered(
            "FROM scratch\nONBUILD   copy --chown=$u \\\n # c\n  a   /x\n"
            'ONBUILD COPY <<"E" /x\n  $a\nE\nONBUILD RUN --mount=target=/a x\n'
        )
        assert found.config.config.on_build == (
            "copy --chown=$u   a   /x",
            'COPY <<"E" /x\n  $a\nE',
            "RUN --mount=target=/a x",
        )
        assert found.history == ()
        assert found.graph.target is None

    def test_those_of_the_base_are_not(self) -> None:
        assert built("FROM base", "ENV a=1").config.config.on_build == ()
        kept = built("FROM base\nONBUILD ENV b=2", "ENV a=1").config.config
        assert kept.on_build == ("ENV b=2",)
        assert "a=1" in kept.env

    def test_nor_those_of_an_earlier_stage(self) -> None:
        found = lowered("FROM scratch AS a\nONBUILD ENV a=1\nFROM a AS b\nFROM b")
        assert found.config.config.on_build == ()
        assert found.config.config.env.count("a=1") == 1
        assert len(found.history) == 1


class TestRun:
    def test_they_run_before_the_childs_own_steps(self) -> None:
        found = built("FROM base AS c\nRUN own", "ARG v=1", "RUN made $v", "ENV w=$v")
        assert [step.created_by for step in found.history] == [
            "ARG v=1",
            "RUN |1 v=1 /bin/sh -c made $v # buildkit",
            "ENV w=1",
            "RUN |1 v=1 /bin/sh -c own # buildkit",
        ]
        assert [vertex.name for vertex in found.graph.vertices] == [
            "[1/3] FROM docker.io/library/base:latest",
            "[2/3] ONBUILD RUN made 1",
            "[3/3] RUN own",
        ]

    def test_those_of_a_stage_too_but_not_in_grandchildren(self) -> None:
        text = "FROM scratch AS a\nONBUILD RUN t\nRUN 1\nFROM a AS b\nRUN 2\nFROM b\nRUN 3"
        argv = [
            vertex.op.argv[-1] for vertex in steps(lowered(text)) if isinstance(vertex.op, RunOp)
        ]
        assert argv == ["1", "t", "2", "3"]

    def test_here_documents_in_them(self) -> None:
        found = built("FROM base", "COPY <<E /x\n $HOME$v\nE", "RUN <<F\necho\nF")
        copy, run = [vertex.op for vertex in steps(found)]
        assert isinstance(copy, CopyOp)
        assert copy.sources == (CopySource(input=0, inline=(("E", b" \n"),)),)
        assert isinstance(run, RunOp)
        assert run.argv[-1] == "echo\n"

    def test_they_may_need_stages_and_images_of_their_own(self) -> None:
        text = "FROM scratch AS tools\nRUN make\nFROM base"
        found = built(text, "COPY --from=tools /a /b", "COPY --from=alpine /c /d")
        make, tool, other = steps(found)
        assert make.op.argv[-1] == "make" if isinstance(make.op, RunOp) else False
        assert found.graph.vertices[tool.inputs[1]] == make
        assert found.graph.vertices[other.inputs[1]].op == ImageSource(
            reference="docker.io/library/alpine:latest", platform="linux/amd64"
        )

    def test_the_usual_escape_character_counts_in_them(self) -> None:
        text = "# escape=`\nFROM scratch AS a\nONBUILD ENV a=b` c\nFROM a"
        assert error_of(lowered, text).code == "dockerfile.syntax"
        fine = "# escape=`\nFROM scratch AS a\nONBUILD ENV a=C:\\d\nFROM a"
        assert lowered(fine).config.config.env[-1] == "a=C:\\d"

    def test_spans_are_those_of_the_name_that_brought_them_in(self) -> None:
        (vertex,) = steps(built("FROM base\n", "RUN x"))
        assert vertex.span is not None
        assert (vertex.span.line, vertex.span.column, vertex.span.end_column) == (1, 6, 10)
        text = "FROM scratch AS a\nONBUILD RUN x\nFROM a"
        (vertex,) = steps(lowered(text))
        assert vertex.span is not None
        assert vertex.span.line == 2


class TestMistakes:
    @pytest.mark.parametrize(
        ("trigger", "code"),
        [
            ("RNU x", "dockerfile.unknown-instruction"),
            ("FROM x", "dockerfile.syntax"),
            ("RUN a\nRUN b", "dockerfile.syntax"),
            ("", "dockerfile.empty"),
            ("# x", "dockerfile.empty"),
            ("COPY <<E /x\na", "dockerfile.syntax"),
            ("ENV a=${b:?no}", "dockerfile.bad-expansion"),
            ("COPY --from=9 a b", "dockerfile.unknown-stage"),
            ("RUN --mount=type=cash x", "dockerfile.syntax"),
            ("RUN --device=a x", "dockerfile.unsupported"),
            ("ENV \0=1", "dockerfile.syntax"),
        ],
    )
    def test_one_in_a_base_is_told_where_it_is_named(self, trigger: str, code: str) -> None:
        error = error_of(lambda text: built(text, trigger), "FROM scratch\nFROM base\nENV a=1")
        assert (error.code, marked(error)) == (code, "base")

    def test_the_trigger_is_named(self) -> None:
        error = error_of(lambda text: built(text, "ENV a=${b:?no}"), "FROM base")
        assert error.notes[-1] == "an ONBUILD trigger of the base asks for `ENV a=${b:?no}`"
        error = error_of(lambda text: built(text, "RNU x"), "FROM base")
        assert error.notes[-1] == "an ONBUILD trigger of the base asks for `RNU x`"

    def test_one_of_a_stage_is_told_where_it_stands(self) -> None:
        error = error_of(lowered, "FROM scratch AS a\nONBUILD ENV a=${b:?no}\nFROM a")
        assert error.span is not None
        assert error.span.line == 2

    def test_a_cycle_through_one(self) -> None:
        error = error_of(lowered, "FROM scratch AS a\nONBUILD COPY --from=b x y\nFROM a AS b")
        assert error.code == "dockerfile.stage-cycle"
        error = error_of(lambda text: built(text, "COPY --from=b x y"), "FROM base AS b")
        assert error.code == "dockerfile.stage-cycle"

    def test_too_many(self) -> None:
        texts = ("ENV a=1",) * (MAX_TRIGGERS + 1)
        error = error_of(lambda text: built(text, *texts), "FROM base")
        assert ("triggers" in error.message, marked(error)) == (True, "base")
        text = "FROM scratch AS a\n" + "ONBUILD ENV b=1\n" * 5000 + "FROM a\n" * 900
        started = time.process_time()
        assert "triggers" in error_of(planned, text).message
        assert time.process_time() - started < 5

    def test_a_plan_made_without_them_is_not_lowered(self) -> None:
        from builder.dockerfile.lower import lower

        plan = planned("FROM base")
        with pytest.raises(ValueError, match="triggers of docker"):
            lower(plan, dict.fromkeys(plan.images, base("ENV a=1")))

    def test_only_a_base_has_triggers(self) -> None:
        found = built("FROM scratch\nCOPY --from=base a b", "RUN x")
        assert not any(isinstance(vertex.op, RunOp) for vertex in found.graph.vertices)

    def test_errors_are_ours(self) -> None:
        assert isinstance(error_of(lambda text: built(text, "X"), "FROM base"), DockerfileError)
