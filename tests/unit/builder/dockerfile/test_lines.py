"""From physical to logical lines: continuations, here-documents, directives, places."""

from __future__ import annotations

import pytest

from builder.diagnostics import SourceFile
from builder.dockerfile.lines import LogicalLine, read
from builder.errors import DockerfileError
from tests.unit.builder.dockerfile.dockerfiles import marked


def logical(text: str) -> tuple[LogicalLine, ...]:
    return read(SourceFile("Dockerfile", text)).logical


def one(text: str) -> LogicalLine:
    (line,) = logical(text)
    return line


def refused(text: str) -> DockerfileError:
    with pytest.raises(DockerfileError) as caught:
        logical(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("RUN a", "RUN a"),
        ("  RUN a  ", "RUN a"),
        ("\ufeffRUN a\n", "RUN a"),
        ("RUN a\r\n", "RUN a"),
        ("RUN a \\\n b", "RUN a  b"),
        ("RUN a \\\r\n b\r\n", "RUN a  b"),
        ("RUN a \\ \t\n b", "RUN a  b"),
        ("RUN a\\\nb", "RUN ab"),
        ("RUN a \\\n# comment\n  # another\n b", "RUN a  b"),
        ("RUN a \\\n\n \nb", "RUN a b"),
        ("\\\nRUN a", "RUN a"),
        ("RUN a \\", "RUN a"),
        ("RUN a \\\n", "RUN a"),
        ("RUN a \\\n\\\nb", "RUN a b"),
        ("RUN a \\\\", "RUN a \\\\"),
        ("RUN a \\\\\\", "RUN a \\\\\\"),
        ("# escape=`\nRUN a `\n b\\", "RUN a  b\\"),
        ("RUN a # not a comment", "RUN a # not a comment"),
    ],
)
def test_a_logical_line_is_joined(text: str, expected: str) -> None:
    assert one(text).text == expected


def test_an_escaped_escape_character_does_not_continue_the_line() -> None:
    assert [line.text for line in logical("RUN a \\\\\nRUN b")] == ["RUN a \\\\", "RUN b"]


def test_every_character_knows_its_place() -> None:
    source = "\n  RUN one \\\n# comment\n   two \\\n\n three"
    line = one(source)
    lines = source.split("\n")
    for offset, char in enumerate(line.text):
        at, column = line.position(offset)
        assert lines[at - 1][column - 1] == char
    assert (line.start_line, line.last_line, line.end_line) == (2, 6, 6)


def test_an_empty_continuation_line_is_warned_of() -> None:
    found = read(SourceFile("Dockerfile", "RUN a \\\n\n b\nRUN c"))
    (warning,) = found.warnings
    assert warning.code == "NoEmptyContinuation"
    assert warning.span is not None
    assert warning.span.line == 2


def test_comments_right_above_belong_to_an_instruction() -> None:
    first, second = logical(
        "# syntax=docker/dockerfile:1\n# lost\n#\n# kept\n\n# too\nRUN a\nRUN b"
    )
    assert first.comments == ("kept", "too")
    assert second.comments == ()


class TestHeredocs:
    def test_a_body_is_attached_and_never_read_as_instructions(self) -> None:
        first, second = logical("RUN <<EOF\nCOPY . .\n# no comment \\\nEOF\nRUN x")
        (body,) = first.heredocs
        assert body.body == "COPY . .\n# no comment \\\n"
        assert (body.name, body.expand, body.strip_tabs, body.descriptor) == ("EOF", True, False, 0)
        assert (first.last_line, first.end_line) == (1, 4)
        assert second.text == "RUN x"

    def test_several_follow_each_other(self) -> None:
        line = one("COPY <<A <<'B' <<-C 3<<\"D\" /x/\na\nA\nb\nB\n\tc\n\tC\nd\nD")
        assert [(h.name, h.body, h.expand, h.strip_tabs, h.descriptor) for h in line.heredocs] == [
            ("A", "a\n", True, False, 0),
            ("B", "b\n", False, False, 0),
            ("C", "\tc\n", True, True, 0),
            ("D", "d\n", False, False, 3),
        ]

    def test_leading_tabs_go_where_that_is_asked(self) -> None:
        assert one("RUN <<-E\n\t\ta\n\t b\n\tE").heredocs[0].content() == "a\n b\n"

    def test_a_name_may_be_partly_quoted_or_apart(self) -> None:
        assert one("RUN <<E'O'F\nx\nEOF").heredocs[0].expand is False
        assert one("RUN << EOF\nx\nEOF").heredocs[0].name == "EOF"
        assert one("RUN <<E$x\na\nE$x").heredocs[0].name == "E$x"

    def test_a_carriage_return_stays_in_the_body(self) -> None:
        assert one("RUN <<E\r\na\r\nE\r\n").heredocs[0].body == "a\r\n"

    @pytest.mark.parametrize(
        "text",
        [
            "CMD <<EOF",
            "ENV a=<<EOF",
            'RUN ["a", "<<EOF"]',
            "RUN cat <<<EOF",
            "RUN echo '<<EOF'",
            "RUN echo \\<<EOF it's",
            'RUN echo "a <<EOF b"',
            "ONBUILD ONBUILD RUN <<EOF",
        ],
    )
    def test_what_only_looks_like_one_is_none(self, text: str) -> None:
        first = logical(text + "\nEOF\nb\n")[0]
        assert first.heredocs == ()
        assert first.end_line == 1

    def test_triggers_have_them_too(self) -> None:
        assert one("ONBUILD RUN <<EOF\nx\nEOF").heredocs[0].body == "x\n"

    def test_one_that_does_not_end_is_refused_at_its_start(self) -> None:
        found = read(SourceFile("D", "RUN cat <<EOF && b\nx\n"))
        [error] = found.errors
        assert marked(error) == "<<EOF"
        assert "EOF" in error.message
        assert found.logical[0].open

    @pytest.mark.parametrize(
        ("opening", "end", "note"),
        [
            ("<<EOF", "EOF  ", "blanks after it"),
            ("<<EOF", "  EOF", "blanks before it"),
            ("<<EOF", "eof", "`eof`"),
            ("<<-EOF", " EOF", "blanks before it"),
        ],
    )
    def test_what_is_nearly_its_end_is_named_and_reading_goes_on_there(
        self, opening: str, end: str, note: str
    ) -> None:
        found = read(SourceFile("D", f"RUN cat {opening}\nx\n{end}\nCMD x"))
        [error] = found.errors
        assert note in error.notes[0]
        assert [line.text for line in found.logical] == [f"RUN cat {opening}", "CMD x"]


class TestDirectives:
    def test_they_stand_on_top(self) -> None:
        found = read(
            SourceFile(
                "D", "#Syntax = docker/dockerfile:1 \n# check=skip=all\n# escape=`\nRUN a `\nb"
            )
        ).directives
        assert found.syntax is not None
        assert found.check is not None
        assert (found.syntax.text, found.check.text, found.escape) == (
            "docker/dockerfile:1",
            "skip=all",
            "`",
        )
        assert found.syntax.span.column == 11

    @pytest.mark.parametrize(
        "top", ["# comment", "", "# unknown=directive", "RUN x", "#!/usr/bin/env x"]
    )
    def test_anything_else_ends_them(self, top: str) -> None:
        assert read(SourceFile("D", f"{top}\n# escape=`\nRUN a\\")).directives.escape == "\\"

    def test_the_syntax_is_found_after_a_program_line(self) -> None:
        found = read(SourceFile("D", "#!/usr/bin/x\n# syntax=a/b\nRUN a")).directives
        assert found.syntax is not None

    def test_one_that_comes_twice_is_refused(self) -> None:
        error = refused("# escape=`\n# ESCAPE=\\\nRUN a")
        assert "second time" in error.message
        assert error.span is not None
        assert error.span.line == 2

    def test_other_escape_characters_are_refused(self) -> None:
        assert marked(refused("# escape = x\nRUN a")) == "x"


class TestLimits:
    def test_a_line_may_have_65535_bytes(self) -> None:
        assert len(one("RUN " + "a" * 65531).text) == 65535
        assert "65535" in refused("RUN " + "a" * 65532).message
        assert "65535" in refused("FROM x\nRUN " + "ä" * 32766).message

    def test_a_file_without_instructions_is_empty(self) -> None:
        assert refused("# only\n\n").code == "dockerfile.empty"
        assert refused("\\\n").code == "dockerfile.empty"

    @pytest.mark.parametrize(
        ("text", "place"),
        [
            ("RUN a\0b", (1, 6)),
            ("RUN a \\\n \udc80", (2, 2)),
            ("F\0R\0", (1, 2)),
            ("MAINTAINER a\0", (1, 13)),
            ("RUN <<'E'\na\n b\udce9\nE", (3, 3)),
            ("COPY <<E /\n\udce9\nE", (2, 1)),
            ("COPY <<'E' /\n\ud800\nE", (2, 1)),
            ("ONBUILD COPY <<'E' /\n\udce9\nE", (2, 1)),
        ],
    )
    def test_what_is_no_text_is_refused(self, text: str, place: tuple[int, int]) -> None:
        found = read(SourceFile("Dockerfile", text))
        (error,) = found.errors
        assert "UTF-8" in error.message
        assert error.span is not None
        assert (error.span.line, error.span.column) == place
        assert found.logical[0].open

    def test_all_that_is_to_be_saved_in_utf_8_is_one_mistake(self) -> None:
        text = "RUN \udce9\nRUN a\nRUN \udce9\nENV a=\udce9\nCOPY <<A /\n\udce9\nA\n"
        first, other = read(SourceFile("D", text)).errors
        assert first.span is not None
        assert (first.span.line, first.notes) == (1, ("2 other instructions are not either",))
        assert other.hint == "write `<<'A'`, which copies bytes as they are"

    def test_bytes_are_of_no_account_in_comments(self) -> None:
        found = read(SourceFile("D", "# \udce9 \0\nRUN a \\\n# \udce9\n b\n"))
        assert not found.errors
        assert found.logical[0].text == "RUN a  b"
        assert found.logical[0].comments == ("\ufffd \ufffd",)

    def test_bytes_of_labels_and_authors_become_replacement_characters(self) -> None:
        first, second = logical("MAINTAINER Ren\udce9\nlabel a=\udce9")
        assert first.text == "MAINTAINER Ren\ufffd"
        assert second.text == "label a=\ufffd"

    def test_bytes_of_a_file_with_a_quoted_name_stay(self) -> None:
        assert one("ADD <<'E' /\n\udce9\0\nE").heredocs[0].body == "\udce9\0\n"

    def test_too_many_instructions_are_refused(self) -> None:
        assert "instructions" in refused("A\n" * 20_001).message

    def test_a_huge_file_is_refused(self) -> None:
        assert "MiB" in refused("#" * (4 << 20) + "##").message
