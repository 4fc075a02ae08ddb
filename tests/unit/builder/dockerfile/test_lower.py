"""The graph, the configuration and the history that a Dockerfile comes to."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.dockerfile.lower import Lowered
from builder.errors import DockerfileError, LapstrakeError
from builder.graph.operations import (
    SCRATCH,
    ContextSource,
    CopyOp,
    CopySource,
    ImageSource,
    MakeDirOp,
    RunOp,
)
from builder.graph.vertex import Vertex
from builder.oci.config import ContainerConfig, Healthcheck, ImageConfig
from tests.unit.builder.dockerfile.dockerfiles import BASE, error_of, lowered, marked

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def config(text: str, *, base: ContainerConfig | None = None) -> ContainerConfig:
    below = msgspec.structs.replace(BASE, config=base or ContainerConfig())
    return lowered("FROM base\n" + text, base=below).config.config


def last(found: Lowered) -> Vertex:
    assert found.graph.target is not None
    return found.graph.vertices[found.graph.target]


def run(text: str, *, build_args: dict[str, str] | None = None) -> RunOp:
    operation = last(lowered(text, build_args=build_args)).op
    assert isinstance(operation, RunOp)
    return operation


def copy(text: str) -> CopyOp:
    operation = last(lowered("FROM base\n" + text)).op
    assert isinstance(operation, CopyOp)
    return operation


def created(text: str) -> list[str]:
    return [step.created_by for step in lowered("FROM base\n" + text).history]


class TestGraph:
    def test_two_stages(self) -> None:
        found = lowered(
            "FROM debian AS build\nWORKDIR /src\nCOPY . .\nRUN make\n"
            "FROM scratch\nCOPY --from=build /src/out /bin/\nCOPY x y\n"
        )
        operations = [vertex.op for vertex in found.graph.vertices]
        assert [type(each) for each in operations] == [
            ImageSource,
            MakeDirOp,
            ContextSource,
            CopyOp,
            RunOp,
            ImageSource,
            CopyOp,
            CopyOp,
        ]
        assert operations[5] == SCRATCH
        assert [vertex.inputs for vertex in found.graph.vertices] == [
            (),
            (0,),
            (),
            (1, 2),
            (3,),
            (),
            (5, 4),
            (6, 2),
        ]
        assert found.graph.target == 7
        assert found.base is None
        assert found.stages == ("build", "build", "", "build", "build", "", "stage-1", "stage-1")

    def test_inputs_come_before_what_uses_them(self) -> None:
        found = lowered("FROM a AS x\nRUN 1\nFROM b AS y\nRUN 2\nFROM x\nCOPY --from=y a b\nRUN 3")
        for index, vertex in enumerate(found.graph.vertices):
            assert all(each < index for each in vertex.inputs)

    def test_names_in_progress(self) -> None:
        text = "FROM debian\n" + "RUN x\n" * 10 + "WORKDIR /\nCOPY a b"
        names = [vertex.name for vertex in lowered(text).graph.vertices]
        assert names[0] == "[ 1/13] FROM docker.io/library/debian:latest"
        assert names[1] == "[ 2/13] RUN x"
        assert names[-2] == "[internal] load build context"
        assert names[-1] == "[12/13] COPY a b"

    def test_names_show_values(self) -> None:
        text = "FROM scratch\nARG v=1\nrun echo $v '$v' $HOME\nCOPY \"a b$v\" $v/\nRUN <<E\n\necho\nx\nE\n"
        names = [vertex.name for vertex in lowered(text.replace('"a b$v"', "a$v")).graph.vertices]
        assert names[1] == "[1/3] RUN echo 1 '$v' $HOME"
        assert names[3] == "[2/3] COPY a1 1/"
        assert names[4] == "[3/3] RUN <<E (echo...)"

    def test_configuration_alone_needs_no_vertex(self) -> None:
        found = lowered("FROM scratch\nENV a=b")
        assert found.graph.vertices == ()
        assert found.graph.target is None
        image = lowered("FROM debian\nENV a=b")
        assert image.graph.target == 0
        assert image.base is not None

    def test_a_copy_from_an_empty_stage_or_scratch(self) -> None:
        found = lowered("FROM scratch AS a\nENV x=y\nFROM debian\nCOPY --from=a x y")
        assert found.graph.vertices[last(found).inputs[1]].op == SCRATCH
        direct = lowered("FROM debian\nCOPY --from=scratch x y")
        assert direct.graph.vertices[last(direct).inputs[1]].op == SCRATCH

    def test_spans_cover_the_instruction(self) -> None:
        span = last(lowered("FROM scratch\nRUN a \\\n b <<E\nx\nE")).span
        assert span is not None
        assert (span.line, span.end_line) == (2, 3)


class TestRun:
    def test_the_shell_form(self) -> None:
        assert run("FROM scratch\nRUN a  'b'").argv == ("/bin/sh", "-c", "a  'b'")
        assert run("FROM scratch\nRUN").argv == ("/bin/sh", "-c", "")
        found = run('FROM scratch\nSHELL ["/bin/bash", "-euc"]\nRUN a')
        assert found.argv == ("/bin/bash", "-euc", "a")

    def test_the_exec_form(self) -> None:
        assert run('FROM scratch\nSHELL ["x"]\nRUN ["a", "$b"]').argv == ("a", "$b")

    def test_a_here_document_alone_is_the_command(self) -> None:
        assert run("FROM scratch\nRUN <<E\na $x\nb\nE").argv[-1] == "a $x\nb\n"
        assert run("FROM scratch\nRUN <<-E\n\ta\n\tE").argv[-1] == "a\n"

    def test_with_a_command_all_goes_to_the_shell(self) -> None:
        found = run("FROM scratch\nRUN cat <<A <<-B && x\na\nA\n\tb\n\tB\n")
        assert found.argv[-1] == "cat <<A <<-B && x\na\nA\n\tb\nB"
        assert found.script is None

    def test_a_body_that_names_its_program_is_a_script(self) -> None:
        found = run("FROM scratch\nRUN <<E\n#!/usr/bin/env python3\nprint()\nE")
        assert found.argv == ("/bin/sh", "-c", "/dev/pipes/E")
        assert found.script == b"#!/usr/bin/env python3\nprint()\n"

    def test_a_script_cannot_leave_its_directory(self) -> None:
        error = error_of(lowered, "FROM scratch\nRUN <<../x\n#!/bin/sh\n../x")
        assert marked(error) == "<<../x"

    def test_environment_directory_and_user(self) -> None:
        found = run("FROM scratch\nENV a=1\nARG b=2\nENV c=$b\nWORKDIR /x/../y/\nUSER u:g\nRUN z")
        assert found.env == (PATH, "a=1", "b=2", "c=2")
        assert (found.cwd, found.user, found.network) == ("/y", "u:g", "default")
        assert run("FROM scratch\nRUN --network=none z").network == "none"

    def test_an_argument_without_a_value_is_not_in_the_environment(self) -> None:
        assert run("FROM scratch\nARG a\nRUN z").env == (PATH,)

    def test_env_after_arg_wins_over_what_is_given(self) -> None:
        found = run("FROM scratch\nARG a=1\nENV a=env\nRUN z", build_args={"a": "given"})
        assert found.env == (PATH, "a=env")

    def test_an_argument_after_env_is_for_the_commands_only(self) -> None:
        text = "FROM scratch\nENV a=env\nARG a=1 b\nRUN z"
        found = lowered(text, build_args={"a": "given"})
        operation = last(found).op
        assert isinstance(operation, RunOp)
        assert operation.env == (PATH, "a=given")
        assert found.config.config.env == (PATH, "a=env")
        assert found.history[-1].created_by.startswith("RUN |2 a=given b= /bin/sh")

    def test_proxies_are_there_but_do_not_count(self) -> None:
        found = run("FROM scratch\nRUN z", build_args={"http_proxy": "p", "FTP_PROXY": ""})
        assert found.env == (PATH,)
        assert found.hidden_env == ("HTTP_PROXY=p", "http_proxy=p")
        declared = run("FROM scratch\nARG http_proxy\nRUN z", build_args={"http_proxy": "p"})
        assert declared.env == (PATH, "http_proxy=p")
        assert declared.hidden_env == ("HTTP_PROXY=p",)


class TestArguments:
    def test_global_ones_must_be_declared_again(self) -> None:
        assert run("ARG a=1\nFROM scratch\nRUN z").env == (PATH,)
        assert run("ARG a=1\nFROM scratch\nARG a\nRUN z").env == (PATH, "a=1")
        assert run("ARG a=1\nFROM scratch\nARG a=2\nRUN z").env == (PATH, "a=2")

    def test_they_pass_on_to_a_stage_built_on_theirs(self) -> None:
        text = "FROM scratch AS x\nARG a=1\nENV e=2\nFROM x\nRUN z\nFROM scratch\nRUN y\nCOPY --from=1 a b"
        found = lowered(text)
        steps = [vertex.op for vertex in found.graph.vertices if isinstance(vertex.op, RunOp)]
        assert steps[0].env == ("a=1", PATH, "e=2")
        assert steps[1].env == (PATH,)

    def test_in_a_stage_built_on_theirs_a_variable_of_the_image_wins(self) -> None:
        text = "FROM scratch AS x\nENV a=env\nARG a=1\nENV b=$a\nFROM x\nRUN z $a"
        found = lowered(text)
        operation = last(found).op
        assert isinstance(operation, RunOp)
        assert operation.env == (PATH, "a=env", "b=1")
        assert found.history[-1].created_by == "RUN |1 a=env /bin/sh -c z $a # buildkit"

    def test_they_see_those_before_them_on_the_line(self) -> None:
        assert run("FROM scratch\nARG a=1 b=$a$c c=3\nRUN z").env == (PATH, "a=1", "b=1", "c=3")

    def test_platform_arguments_are_there_after_arg(self) -> None:
        found = run("FROM scratch\nARG TARGETARCH BUILDPLATFORM\nRUN z")
        assert found.env == (PATH, "TARGETARCH=amd64", "BUILDPLATFORM=linux/amd64")

    def test_a_blank_name_after_expansion_is_refused(self) -> None:
        assert error_of(config, "ENV $x=1").code == "dockerfile.bad-expansion"
        assert marked(error_of(config, "LABEL a=b $x=1")) == "$x"


class TestCopy:
    def test_sources_and_destination_are_cleaned(self) -> None:
        found = copy('WORKDIR /w\nCOPY a/ ./b/../c /d* ../../e . "" x/')
        assert found.sources == (CopySource(input=1, paths=("a", "c", "d*", "e", "", "")),)
        assert found.dest == "/w/x/"

    @pytest.mark.parametrize(
        ("dest", "expected"),
        [
            (".", "/w/"),
            ("./", "/w/"),
            ("x", "/w/x"),
            ("/x", "/x"),
            ("/x/", "/x/"),
            ("/x/.", "/x/"),
            ("/", "/"),
            ("..", "/"),
            ("/a/../b/", "/b/"),
            ("$d", "/v"),
        ],
    )
    def test_the_destination_is_absolute(self, dest: str, expected: str) -> None:
        assert copy(f"WORKDIR /w\nENV d=/v\nCOPY a {dest}").dest == expected

    def test_owner_and_mode_expand(self) -> None:
        found = copy("ARG u=5\nCOPY --chown=$u:g --chmod=07${u}5 a b")
        assert (found.owner, found.mode) == ("5:g", 0o755)
        empty = copy("COPY --chown=$u --chmod=$m a b")
        assert (empty.owner, empty.mode) == (None, None)

    def test_files_from_here_documents(self) -> None:
        found = copy("ENV v=1\nCOPY a <<X <<'Y' <<-Z /d/\n$v '$v' \\$v\nX\n$v\nY\n\t$v\n\tZ")
        assert found.sources == (
            CopySource(input=1, paths=("a",)),
            CopySource(input=0, inline=(("X", b"1 '1' $v\n"), ("Y", b"$v\n"), ("Z", b"1\n"))),
        )

    def test_here_documents_alone_need_no_context(self) -> None:
        found = lowered("FROM base\nCOPY <<X /x\nX")
        assert last(found).inputs == (0,)
        assert len(found.graph.vertices) == 2

    @pytest.mark.parametrize("name", ["a/b", "..", "/x"])
    def test_a_here_document_is_no_path(self, name: str) -> None:
        assert "file" in error_of(copy, f"COPY <<{name} /x\n{name}").message

    @pytest.mark.parametrize(
        "source", ["http://a/b", "https://a/b.git", "git@github.com:a/b", "git://a/b", "$u"]
    )
    def test_a_url_is_refused(self, source: str) -> None:
        error = error_of(copy, f"ENV u=https://x\nCOPY {source} b")
        assert marked(error) == source


class TestWorkdir:
    def test_it_makes_the_directory_as_the_user(self) -> None:
        found = lowered("FROM base\nUSER joe:staff\nWORKDIR a/\nWORKDIR ../b/./c")
        operations = [vertex.op for vertex in found.graph.vertices[1:]]
        assert operations == [
            MakeDirOp(path="/a", owner="joe:staff"),
            MakeDirOp(path="/b/c", owner="joe:staff"),
        ]
        assert found.config.config.working_dir == "/b/c"

    def test_an_absolute_one_keeps_its_spelling(self) -> None:
        assert config("WORKDIR /a/../b/").working_dir == "/a/../b/"
        assert config("WORKDIR app/").working_dir == "/app"
        assert config("WORKDIR $none", base=ContainerConfig(working_dir="/x")).working_dir == "/x"

    def test_the_root_is_no_layer(self) -> None:
        found = lowered("FROM base\nWORKDIR /\nWORKDIR .")
        assert found.graph.target == 0
        assert [step.vertex for step in found.history] == [None, None]

    def test_another_name_of_the_root_is_one(self) -> None:
        found = lowered("FROM base\nWORKDIR //\nWORKDIR /..")
        assert [step.vertex for step in found.history] == [1, 2]


class TestConfiguration:
    def test_scratch_begins_with_a_path(self) -> None:
        found = lowered("FROM scratch\nENV a=1").config
        assert found.config.env == (PATH, "a=1")
        assert found.config.working_dir == "/"
        assert (found.os, found.architecture) == ("linux", "amd64")

    def test_a_base_keeps_what_is_not_changed(self) -> None:
        base = ImageConfig(
            architecture="amd64",
            os="linux",
            created="2020-01-01T00:00:00Z",
            author="them",
            diff_ids=("sha256:a",),
            config=ContainerConfig(env=("A=1", "PATH=/x", "B=2"), user="u", labels=(("k", "v"),)),
            extra=(("x", b"1"),),
            extra_config=(("Hostname", b'"h"'),),
        )
        found = lowered("FROM base\nENV B=3 C=4\nENV A=5", base=base).config
        assert found.config.env == ("A=5", "PATH=/x", "B=3", "C=4")
        assert (found.config.user, found.author, found.created) == ("u", "them", "")
        assert (found.diff_ids, found.extra, found.extra_config) == (
            base.diff_ids,
            base.extra,
            base.extra_config,
        )

    def test_all_pairs_of_one_env_see_the_values_before_it(self) -> None:
        assert config("ENV a=1\nENV a=2 b=$a c=${b:-x}").env[1:] == ("a=2", "b=1", "c=x")

    def test_env_resolves_quotes_and_escapes(self) -> None:
        assert config("ENV a=\"x y\" b='$z' c=d\\ e\nENV f g  'h'").env[1:] == (
            "a=x y",
            "b=$z",
            "c=d e",
            "f=g  h",
        )

    def test_commands(self) -> None:
        assert config("CMD a $b").cmd == ("/bin/sh", "-c", "a $b")
        assert config('CMD ["a", "$b"]').cmd == ("a", "$b")
        assert config("CMD []").cmd is None
        assert config("CMD a").args_escaped
        assert config('SHELL ["x"]\nENTRYPOINT a').entrypoint == ("x", "a")
        base = ContainerConfig(shell=("y", "-c"))
        assert config("CMD a", base=base).cmd == ("y", "-c", "a")

    def test_an_entrypoint_clears_an_inherited_command_only(self) -> None:
        base = ContainerConfig(cmd=("old",), entrypoint=("e",))
        assert config("ENTRYPOINT []", base=base) == config("ENTRYPOINT []")
        assert config("ENTRYPOINT []", base=base).entrypoint is None
        assert config('CMD ["new"]\nENTRYPOINT ["x"]', base=base).cmd == ("new",)
        stage = lowered('FROM scratch AS a\nCMD ["c"]\nFROM a\nENTRYPOINT ["x"]').config
        assert stage.config.cmd is None

    def test_expose(self) -> None:
        found = config(
            "ENV p='90 91/UDP'\nEXPOSE 443 80/tcp $p 8000-8002/sctp 127.0.0.1:81:82 [::1]:5:6"
        )
        assert set(found.exposed_ports) == {
            "443/tcp",
            "80/tcp",
            "90/tcp",
            "91/udp",
            "8000/sctp",
            "8001/sctp",
            "8002/sctp",
            "82/tcp",
            "6/tcp",
        }

    @pytest.mark.parametrize(
        "port", ["x", "80/icmp", "70000", "9-8", "80-", "a:80:80", "1-2:3-5", ":", "/tcp", "-1"]
    )
    def test_a_bad_port_is_refused(self, port: str) -> None:
        assert marked(error_of(config, f"EXPOSE 1 {port}")) == port

    def test_too_many_ports_are_refused(self) -> None:
        assert "ports" in error_of(config, "EXPOSE 0-65535 0-65535").message

    def test_volume(self) -> None:
        assert config('VOLUME /b a $x/c\nVOLUME ["/d e"]').volumes == ("/b", "/c", "/d e", "a")
        assert error_of(config, "VOLUME $none").code == "dockerfile.bad-expansion"

    def test_labels(self) -> None:
        found = lowered("FROM base\nLABEL b=1 'a x'=\"$v\" c=3", labels={"b": "$2", "d": "4"})
        assert found.config.config.labels == (("a x", ""), ("b", "$2"), ("c", "3"), ("d", "4"))
        assert len(found.history) == 1

    @pytest.mark.parametrize("signal", ["9", "SIGTERM", "term", "SIGRTMIN+3", "RTMAX-14", "$s"])
    def test_a_stop_signal(self, signal: str) -> None:
        expected = "USR1" if signal == "$s" else signal
        assert config(f"ENV s=USR1\nSTOPSIGNAL {signal}").stop_signal == expected

    @pytest.mark.parametrize("signal", ["0", "TREM", "SIGRTMIN+16", "-9", "RTMIN+03", "$none"])
    def test_no_signal(self, signal: str) -> None:
        assert marked(error_of(config, f"STOPSIGNAL {signal}")) == signal

    def test_the_rest(self) -> None:
        found = lowered(
            "FROM base\nMAINTAINER me\nUSER $u${x:-1}\nHEALTHCHECK --retries=2 --interval=5s CMD a $b"
        ).config
        assert found.author == "me"
        assert found.config.user == "1"
        assert found.config.healthcheck == Healthcheck(
            test=("CMD-SHELL", "a $b"), interval=5 * 10**9, retries=2
        )
        assert config("HEALTHCHECK NONE").healthcheck == Healthcheck(test=("NONE",))
        exec_form = config('HEALTHCHECK CMD ["a", "b"]').healthcheck
        assert exec_form is not None
        assert exec_form.test == ("CMD", "a", "b")


def test_history_reads_as_dockers() -> None:
    text = """\
ARG a=1 b
ENV c=$a "d e"=f
LABEL x="y z"
WORKDIR w/
RUN echo $a
RUN ["x", "y z"]
COPY --chown=1:2 --chmod=644 $a x dest/
COPY <<E /f
E
EXPOSE 80 443/udp
VOLUME /v w
USER u
SHELL ["/bin/bash", "-c"]
CMD a "b"
ENTRYPOINT ["x\\ty"]
STOPSIGNAL 9
MAINTAINER me
HEALTHCHECK --interval=90s --timeout=1500ms CMD c
WORKDIR /
"""
    assert created(text) == [
        "ARG a=1 b",
        "ENV c=1 d e=f",
        "LABEL x=y z",
        "WORKDIR /w",
        "RUN |2 a=1 b= /bin/sh -c echo $a # buildkit",
        "RUN |2 a=1 b= x y z # buildkit",
        "COPY --chown=1:2 --chmod=644 1 x dest/ # buildkit",
        "COPY <<E /f # buildkit",
        "EXPOSE [443/udp 80/tcp]",
        "VOLUME [/v w]",
        "USER u",
        "SHELL [/bin/bash -c]",
        'CMD ["/bin/bash" "-c" "a \\"b\\""]',
        'ENTRYPOINT ["x\\ty"]',
        "STOPSIGNAL 9",
        "MAINTAINER me",
        "HEALTHCHECK {Test:[CMD-SHELL c] Interval:1m30s Timeout:1.5s StartPeriod:0s StartInterval:0s Retries:0}",
        "WORKDIR /",
    ]


def test_an_argument_declared_twice_is_listed_once() -> None:
    assert created("ARG a=1\nARG b=2\nARG a=3\nRUN x")[-1] == (
        "RUN |2 a=3 b=2 /bin/sh -c x # buildkit"
    )


def test_history_tells_which_lines_have_layers() -> None:
    found = lowered("FROM base AS a\nRUN 1\nENV x=1\nFROM a\nWORKDIR /w\nCMD z")
    assert [step.vertex for step in found.history] == [1, None, 2, None]
    assert {step.comment for step in found.history} == {"buildkit.dockerfile.v0"}
    assert found.base is not None
    assert found.base.reference == "docker.io/library/base:latest"


def test_warnings_can_be_errors_or_skipped() -> None:
    text = "FROM scratch\nRUN a \\\n\n b"
    (warning,) = lowered(text).warnings
    assert warning.code == "NoEmptyContinuation"
    error = error_of(lowered, "# check=error=true\n" + text)
    assert isinstance(error, DockerfileError)
    assert error.code == "dockerfile.check-failed"
    assert error.message == "lint violation found for rules: NoEmptyContinuation"
    assert lowered("# check=skip=NoEmptyContinuation;error=true\n" + text).warnings == ()
    unused = lowered("# check=error=true\nFROM scratch", build_args={"x": "1"}).warnings
    assert [each.code for each in unused] == ["UnusedBuildArg"]


class TestLimits:
    def test_values_that_grow_without_end_are_refused(self) -> None:
        text = "FROM scratch\nENV a=xxxxxxxxxx\n" + "ENV a=$a$a$a$a$a$a$a$a\n" * 30
        assert error_of(lowered, text).code == "dockerfile.bad-expansion"

    def test_many_large_values_are_refused(self) -> None:
        text = "FROM scratch\nARG a\n" + "RUN x\n" * 1000
        error = error_of(lowered, text, build_args={"a": "x" * 1_000_000})
        assert "MiB" in error.message

    def test_a_body_named_many_times_is_refused(self) -> None:
        body = "x" * 60_000 + "\n"
        text = "FROM scratch\nCOPY " + "<<A " * 5000 + "/x/\n" + "A\n" * 4999 + body * 20 + "A\n"
        assert "MiB" in error_of(lowered, text).message


_LINES = [
    "FROM a AS x",
    "FROM scratch",
    "FROM x AS y",
    "ARG v=1",
    "ARG v",
    "ENV v=$v$v b=${v%1}",
    "RUN a $v",
    "RUN <<E",
    "E",
    "COPY <<E --from=x /a/",
    "COPY --from=x a b/",
    "COPY $v ${v:?no}",
    "COPY --chmod=$v a b",
    "WORKDIR $v",
    "EXPOSE $v",
    "VOLUME $v",
    "STOPSIGNAL $v",
    "USER $v",
    'CMD ["a"]',
    "ENTRYPOINT x",
    "LABEL $v=$b",
    "ADD a http://x/$v --chmod=$v /d/",
    "ADD --checksum=$v $v /d/",
    "ONBUILD COPY --from=x a b",
    "ONBUILD ENV v=$v",
    "COPY --parents --exclude=c --link a/./b $v /d/",
    "# check=error=true",
    "HEALTHCHECK CMD x",
]


@given(st.lists(st.sampled_from(_LINES), max_size=12).map("\n".join))
@settings(max_examples=max(500, settings().max_examples))
def test_nothing_raises_anything_but_our_errors(text: str) -> None:
    try:
        found = lowered(text)
    except LapstrakeError as error:
        assert error.message
        return
    for index, vertex in enumerate(found.graph.vertices):
        assert all(each < index for each in vertex.inputs)
    assert len(found.stages) == len(found.graph.vertices)
