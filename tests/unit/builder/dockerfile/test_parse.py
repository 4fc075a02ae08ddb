"""Typed instructions: every form, every mistake and the words under its carets."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.diagnostics import SourceFile
from builder.dockerfile.instructions import (
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Label,
    Maintainer,
    OnBuild,
    Run,
    Shell,
    StopSignal,
    User,
    Volume,
    Word,
    Workdir,
)
from builder.dockerfile.parse import parse
from builder.errors import DockerfileError, DockerfileErrors
from tests.unit.builder.dockerfile.dockerfiles import error_of, marked, no_split, only, read


def texts(words: tuple[Word, ...]) -> list[str]:
    return [word.text for word in words]


class TestForms:
    def test_from(self) -> None:
        (found,) = read("from --platform=linux/amd64 debian:12 As Build").instructions
        assert isinstance(found, From)
        assert found.image.text == "debian:12"
        assert found.name is not None
        assert found.name.text == "build"
        assert found.platform is not None
        assert found.platform.value == "linux/amd64"
        assert found.keyword.text == "from"

    def test_run_shell_and_exec(self) -> None:
        shell = only(Run, "RUN --network=none --mount=type=cache,target=/c echo  a   b")
        assert shell.command.shell_form
        assert texts(shell.command.words) == ["echo  a   b"]
        assert shell.network is not None
        assert shell.network.value == "none"
        assert len(shell.mounts) == 1
        words = only(Run, 'RUN ["echo", "a\\tb"]').command
        assert not words.shell_form
        assert texts(words.words) == ["echo", "a\tb"]

    @pytest.mark.parametrize("text", ['CMD ["x"] # comment', "CMD ['x']", 'CMD ["x",]', "CMD [x"])
    def test_what_is_not_json_is_shell_form(self, text: str) -> None:
        assert only(Cmd, text).command.shell_form

    def test_flags_end_at_the_first_other_word_or_two_dashes(self) -> None:
        assert texts(only(Run, "RUN -- --network=x").command.words) == ["--network=x"]
        assert texts(only(Run, "RUN a --network=x").command.words) == ["a --network=x"]
        assert only(Run, 'RUN --network="none" a').network is not None
        quoted = only(Copy, "COPY --from='a b' x y").from_
        assert quoted is not None
        assert quoted.value == "a b"

    def test_copy(self) -> None:
        found = only(Copy, "COPY --from=0 --chown=a:b --chmod=755 --link a b* c/")
        assert texts(found.sources) == ["a", "b*"]
        assert found.dest.text == "c/"
        assert found.from_ is not None
        assert found.chown is not None
        assert found.chmod is not None
        assert found.link is not None
        assert found.link.value is None
        assert texts(only(Copy, 'COPY ["a b", "c"]').sources) == ["a b"]
        assert only(Copy, "COPY --from= a b").from_ is None
        assert len(only(Copy, "COPY --exclude=a --exclude=b x y").excludes) == 2

    def test_copy_of_here_documents(self) -> None:
        found = only(Copy, "COPY a <<X <<-'Y' /d/\n1\nX\n\t2\n\tY")
        assert texts(found.sources) == ["a"]
        assert [(file.name, file.content(), file.expand) for file in found.files] == [
            ("X", "1\n", True),
            ("Y", "2\n", False),
        ]

    def test_add(self) -> None:
        found = only(Add, "ADD --checksum=sha256:x --unpack=false --keep-git-dir http://a b")
        assert found.checksum is not None
        assert found.unpack is not None
        assert found.keep_git_dir is not None

    def test_env_and_label(self) -> None:
        found = only(Env, "ENV a=1 b=\"x y\" 'c d'=e\\ f g=")
        assert [(pair.name.text, pair.value.text) for pair in found.pairs] == [
            ("a", "1"),
            ("b", '"x y"'),
            ("'c d'", "e\\ f"),
            ("g", ""),
        ]
        assert not found.pairs[0].legacy
        (old,) = only(Env, "ENV name  some value = x").pairs
        assert (old.name.text, old.value.text, old.legacy) == ("name", "some value = x", True)
        assert only(Label, 'LABEL "a b"="c"').pairs[0].name.text == '"a b"'

    def test_arg(self) -> None:
        found = only(Arg, 'ARG a b= c="x y"').arguments
        assert [each.name.text for each in found] == ["a", "b", "c"]
        assert [each.default.text if each.default else None for each in found] == [
            None,
            "",
            '"x y"',
        ]

    def test_the_short_ones(self) -> None:
        assert only(Workdir, "WORKDIR /a b").path.text == "/a b"
        assert only(User, "USER a:b").user.text == "a:b"
        assert only(StopSignal, "STOPSIGNAL $s").signal.text == "$s"
        assert only(Maintainer, "MAINTAINER a <b@c>").name.text == "a <b@c>"
        assert texts(only(Expose, "EXPOSE 80 443/udp $p").ports) == ["80", "443/udp", "$p"]
        assert texts(only(Volume, "VOLUME /a /b").paths) == ["/a", "/b"]
        assert texts(only(Volume, 'VOLUME [" /a "]').paths) == ["/a"]
        assert texts(only(Shell, 'SHELL ["/bin/bash", "-c"]').command.words) == ["/bin/bash", "-c"]
        assert texts(only(Entrypoint, "ENTRYPOINT []").command.words) == []
        assert texts(only(Cmd, "CMD").command.words) == []

    def test_healthcheck(self) -> None:
        found = only(
            Healthcheck,
            "HEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=0 --start-interval=1ms "
            "--retries=3 CMD curl x",
        )
        assert (found.interval, found.timeout, found.start_period) == (90 * 10**9, 1_500_000_000, 0)
        assert (found.start_interval, found.retries) == (1_000_000, 3)
        assert found.command is not None
        assert found.command.shell_form
        assert only(Healthcheck, "HEALTHCHECK none").command is None
        command = only(Healthcheck, 'HEALTHCHECK cmd ["a"]').command
        assert command is not None
        assert not command.shell_form

    def test_onbuild_keeps_its_text(self) -> None:
        found = only(OnBuild, "ONBUILD  RUN --network=none cat <<A\nx\nA")
        assert found.expression == "RUN --network=none cat <<A\nx\nA"
        assert isinstance(found.trigger, Run)
        assert found.trigger.network is not None

    def test_onbuild_keeps_blanks_at_its_end(self) -> None:
        assert only(OnBuild, "ONBUILD CMD []  \n").expression == "CMD []  "
        assert only(OnBuild, "ONBUILD USER x \t\r\n").expression == "USER x \t"

    def test_half_a_surrogate_pair_is_a_replacement_character(self) -> None:
        def strings(text: str) -> list[str]:
            return texts(only(Cmd, f'CMD ["{text}"]').command.words)

        assert strings("\\ud800") == ["\ufffd"]
        assert strings("\\udc00x\\\\ud800") == ["\ufffdx\\ud800"]
        assert strings("\\ud83d\\ude00") == ["\U0001f600"]
        assert strings("\\uD800\\u0041\\ud800\\ud800") == ["\ufffdA\ufffd\ufffd"]

    def test_spans_cover_what_is_written(self) -> None:
        source = "FROM scratch\nRUN a \\\n  --b\nENV x=$y"
        found = read(source).instructions
        assert (found[1].span.line, found[1].span.end_line, found[1].span.end_column) == (2, 3, 6)
        env = found[2]
        assert isinstance(env, Env)
        assert env.pairs[0].value.span.column == 7


@pytest.mark.parametrize(
    ("text", "code", "under", "hint"),
    [
        ("RUNN x", "dockerfile.unknown-instruction", "RUNN", "`RUN`"),
        ("form x", "dockerfile.unknown-instruction", "form", "`from`"),
        ("&& make", "dockerfile.unknown-instruction", "&&", "backslash"),
        ("COPY --form=x a b", "dockerfile.unknown-flag", "--form", "`--from`"),
        ("RUN --x y", "dockerfile.unknown-flag", "--x", "--"),
        ("ENV --x=1 a=b", "dockerfile.unknown-flag", "--x", None),
        ("ARG --x a", "dockerfile.unknown-flag", "--x", None),
        ("STOPSIGNAL --x 9", "dockerfile.unknown-flag", "--x", None),
        ("COPY --chown=a --chown=b x y", "dockerfile.syntax", "--chown=b", None),
        ("COPY --chown x y", "dockerfile.syntax", "--chown", "--chown="),
        ("COPY --link= x y", "dockerfile.syntax", "--link=", None),
        ("COPY --link=maybe x y", "dockerfile.syntax", "--link=maybe", None),
        ("COPY x", "dockerfile.syntax", "x", "COPY x DESTINATION"),
        ("COPY", "dockerfile.syntax", "COPY", None),
        ("COPY a <<E\nE", "dockerfile.syntax", "<<E", "last"),
        ('COPY ["<<E", "b"]', "dockerfile.syntax", '"<<E"', "brackets"),
        ("COPY <<E it's /x", "dockerfile.syntax", "<<E", "close the quote"),
        ("FROM a b", "dockerfile.syntax", "b", "AS"),
        ("FROM", "dockerfile.syntax", "FROM", None),
        ("FROM a AS 1x", "dockerfile.syntax", "1x", "letter"),
        ("FROM a AS x/y", "dockerfile.syntax", "x/y", None),
        ("RUN --network=hots x", "dockerfile.syntax", "hots", "`host`"),
        ("RUN []", "dockerfile.syntax", "RUN", None),
        ('RUN ["a", 1]', "dockerfile.syntax", '["a", 1]', "double quotes"),
        ('CMD ["a\\u0000"]', "dockerfile.syntax", '"a\\u0000"', None),
        ("ENV a", "dockerfile.syntax", "a", "a=VALUE"),
        ("ENV", "dockerfile.syntax", "ENV", None),
        ("ENV =a", "dockerfile.syntax", "=a", None),
        ("ENV a=b c", "dockerfile.syntax", "c", '`a="b c"`'),
        ("LABEL =a", "dockerfile.syntax", "=a", None),
        ("ARG =a", "dockerfile.syntax", "=a", None),
        ("ARG", "dockerfile.syntax", "ARG", None),
        ("SHELL bash -c", "dockerfile.syntax", "bash -c", "SHELL"),
        ("SHELL []", "dockerfile.syntax", "SHELL", None),
        ("VOLUME", "dockerfile.syntax", "VOLUME", None),
        ('VOLUME ["/a", " "]', "dockerfile.syntax", '" "', None),
        ("EXPOSE", "dockerfile.syntax", "EXPOSE", None),
        ("USER", "dockerfile.syntax", "USER", None),
        ("WORKDIR", "dockerfile.syntax", "WORKDIR", None),
        ("HEALTHCHECK", "dockerfile.syntax", "HEALTHCHECK", None),
        ("HEALTHCHECK CMD", "dockerfile.syntax", "CMD", None),
        ("HEALTHCHECK NONE x", "dockerfile.syntax", "x", None),
        ("HEALTHCHECK curl x", "dockerfile.syntax", "curl", "CMD"),
        ("HEALTHCHECK --interval=5 CMD x", "dockerfile.syntax", "5", "`5s`"),
        ("HEALTHCHECK --interval=1us CMD x", "dockerfile.syntax", "1us", "1ms"),
        ("HEALTHCHECK --retries=-1 CMD x", "dockerfile.syntax", "-1", None),
        ("ONBUILD", "dockerfile.syntax", "ONBUILD", None),
        ("ONBUILD FROM x", "dockerfile.syntax", "FROM", None),
        ("ONBUILD ONBUILD RUN x", "dockerfile.syntax", "ONBUILD", None),
        ("ONBUILD RNU x", "dockerfile.unknown-instruction", "RNU", "`RUN`"),
        ("ONBUILD COPY --lnk a b", "dockerfile.unknown-flag", "--lnk", "`--link`"),
    ],
)
def test_a_mistake_is_marked(text: str, code: str, under: str, hint: str | None) -> None:
    error = error_of(read, "FROM scratch\n" + text)
    assert error.code == code
    assert marked(error) == under
    assert error.span is not None
    assert error.span.line == 2
    assert hint is None or (error.hint is not None and hint in error.hint)


def test_independent_mistakes_are_reported_together() -> None:
    error = error_of(read, "FROM scratch\nRUNN x\nCOPY a\nENV a=1\nUSERR x")
    assert isinstance(error, DockerfileErrors)
    assert [marked(each) for each in error.errors] == ["RUNN", "a", "USERR"]
    assert error.span == error.errors[0].span


def test_only_arg_stands_before_the_first_from() -> None:
    error = error_of(read, "ARG a\nENV b=c\nFROM scratch")
    assert marked(error) == "ENV"
    assert error_of(read, "ARG a").code == "dockerfile.empty"
    assert error_of(read, "").code == "dockerfile.empty"


def test_too_many_words_are_refused() -> None:
    error = error_of(read, "FROM scratch\nEXPOSE " + "1 " * 20_001)
    assert "20000 words" in error.message


def test_two_thousand_instructions_are_read_quickly() -> None:
    text = "FROM scratch\n" + 'ENV A=1 B="x y"\nRUN a $A \\\n && b\nCOPY a b c/\nLABEL x=y\n' * 500
    started = time.process_time()
    read(text)
    assert time.process_time() - started < 1


def test_deep_json_is_no_recursion_error() -> None:
    assert only(Cmd, "CMD " + "[" * 60_000).command.shell_form


_LINE = st.one_of(
    st.sampled_from(
        [
            "FROM scratch",
            "FROM a AS b",
            "RUN <<EOF",
            "EOF",
            "COPY <<-'E' a b",
            "E",
            "COPY --from=b --chown=$x a b",
            'RUN ["a", "b"]',
            'SHELL ["a"',
            "ENV a=1 b='2 3'",
            "ENV a b",
            "ARG x=${y:-z}",
            "# escape=`",
            "# check=error=true",
            "\\",
            "",
            "  # c",
            "HEALTHCHECK --interval=1s CMD x",
            "ONBUILD RUN <<EOF",
            "EXPOSE 80-90 $x",
        ]
    ),
    st.text(alphabet="FROMRUNadd \\`'\"$<{}[]=-,:#\t\r\u2028é\0\ufeff", max_size=30),
)


@given(st.lists(_LINE, max_size=12).map("\n".join))
@settings(max_examples=max(400, settings().max_examples))
def test_no_text_raises_anything_but_a_dockerfile_error(text: str) -> None:
    for split in (no_split, None):
        try:
            source = SourceFile("Dockerfile", text)
            parse(source, split=split) if split is not None else parse(source)
        except DockerfileError as error:
            assert error.message


@given(st.text(max_size=80))
@settings(max_examples=max(200, settings().max_examples))
def test_any_unicode_is_read_or_refused(text: str) -> None:
    try:
        read("FROM scratch\n" + text)
    except DockerfileError as error:
        assert error.span is None or error.span.line >= 1
