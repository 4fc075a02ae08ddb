"""The adapter of dockerfile-parse, and that our own reading counts."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from builder.diagnostics import SourceFile
from builder.dockerfile.lines import read
from builder.dockerfile.parse import parse
from builder.dockerfile.split import SplitInstruction, plain_text, split
from builder.errors import DockerfileError
from tests.unit.builder.dockerfile.dockerfiles import no_split


def plain(text: str) -> str:
    return plain_text(read(SourceFile("Dockerfile", text)))


def test_the_package_splits_keyword_and_value() -> None:
    assert split(plain("FROM a\nrun x \\\n  # c\n  y\n")) == (
        SplitInstruction("FROM", "a", 1, 1),
        SplitInstruction("RUN", "x   y", 2, 4),
    )


def test_bodies_of_here_documents_are_not_handed_over() -> None:
    found = split(plain("RUN <<EOF\nCOPY . .\nEOF\nRUN b"))
    assert [(each.keyword, each.start_line) for each in found] == [("RUN", 1), ("RUN", 4)]


def test_an_empty_continuation_line_does_not_end_an_instruction() -> None:
    (found,) = split(plain("RUN a \\\n\n  b"))
    assert found.value == "a   b"


def test_a_backslash_at_the_end_of_the_file_loses_nothing() -> None:
    assert [each.keyword for each in split(plain("FROM a\nRUN b \\"))] == ["FROM", "RUN"]


def test_the_escape_directive_is_passed_on() -> None:
    (found,) = split(plain("# syntax=x/dockerfile\n# escape=`\nRUN a `\n b"))
    assert found.value == "a  b"


def test_a_wrong_answer_changes_nothing() -> None:
    source = SourceFile("Dockerfile", "FROM scratch\nRUN a && b\n")

    def wrong(_text: str) -> tuple[SplitInstruction, ...]:
        return (SplitInstruction("COPY", ". .", 2, 2), SplitInstruction("R", "UN a && b", 2, 2))

    assert parse(source, split=wrong) == parse(source, split=no_split)


@given(
    st.lists(
        st.sampled_from(
            [
                "FROM a",
                "RUN b \\",
                " c",
                "",
                "# x",
                "RUN d \\\\",
                "COPY <<E f",
                "E",
                "ENV a=b",
                "\\",
                "  ",
            ]
        ),
        max_size=10,
    ).map("\n".join)
)
@settings(max_examples=max(200, settings().max_examples))
def test_the_package_never_changes_the_result(text: str) -> None:
    source = SourceFile("Dockerfile", text)
    try:
        expected = parse(source, split=no_split)
    except DockerfileError:
        return
    assert parse(source) == expected
