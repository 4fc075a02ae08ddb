"""Printing undoes parsing, formatting changes no meaning, rewriting changes one place."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from builder import dockerfile
from builder.diagnostics import Span
from builder.dockerfile import Edit, words
from builder.dockerfile.formatting import meaning
from builder.errors import DockerfileError
from tests.unit.builder.dockerfile.texts import dockerfiles

SAMPLE = """\
# syntax=docker/dockerfile:1

arg   VERSION=1.0
  # base is for all
from   debian:12   as  base
run  --network=none   make   all && \\
       make install
copy  a  b   \\
  # why

      c/
env A=1    B="x  y" \\
  C=3
cmd   ["a",   "b"]
copy <<END  /x
  body
END
"""

EVEN = """\
# syntax=docker/dockerfile:1

ARG VERSION=1.0
# base is for all
FROM debian:12 AS base
RUN --network=none make   all && \\
       make install
COPY a b \\
    # why
    c/
ENV A=1 B="x  y" \\
    C=3
CMD ["a",   "b"]
COPY <<END  /x
  body
END
"""


def parsed(text: str) -> dockerfile.Dockerfile:
    return dockerfile.parse_dockerfile(text)


@given(dockerfiles())
@settings(max_examples=300)
def test_printing_undoes_parsing(text: str) -> None:
    try:
        found = parsed(text)
    except DockerfileError:
        return
    assert dockerfile.print_dockerfile(found) == text


@given(dockerfiles())
@settings(max_examples=500)
def test_formatting_changes_no_meaning_and_nothing_the_second_time(text: str) -> None:
    try:
        before = parsed(text)
    except DockerfileError:
        return
    once = dockerfile.format_dockerfile(text)
    assert meaning(parsed(once)) == meaning(before)
    assert dockerfile.format_dockerfile(once) == once


def test_segments_are_instructions_and_what_stands_between() -> None:
    text = "# a\nFROM scratch\n\nRUN a \\\n  b\nCOPY <<E /\nx\nE\n# end"
    found = dockerfile.segments(parsed(text))
    assert [(each.line, each.instruction is not None) for each in found] == [
        (1, False),
        (2, True),
        (3, False),
        (4, True),
        (6, True),
        (9, False),
    ]
    assert found[4].text == "COPY <<E /\nx\nE\n"


def test_layout_is_made_even_and_commands_stay_as_they_are() -> None:
    assert dockerfile.format_dockerfile(SAMPLE) == EVEN


def test_a_byte_order_mark_and_line_ends_stay() -> None:
    text = "\ufefffrom  scratch\r\ncopy  a \\\r\n b\r\n"
    assert dockerfile.format_dockerfile(text) == "\ufeffFROM scratch\r\nCOPY a \\\r\n    b\r\n"


def test_an_image_is_replaced_in_one_stage() -> None:
    text = "FROM a AS one\nFROM  a\n"
    newer = dockerfile.replace_base(parsed(text), "ONE", "b:2@sha256:" + "0" * 64)
    assert newer.source.text == text.replace("FROM a AS", f"FROM b:2@sha256:{'0' * 64} AS")
    assert dockerfile.replace_base(parsed(text), 1, "z").source.text == "FROM a AS one\nFROM  z\n"
    with pytest.raises(DockerfileError) as caught:
        dockerfile.replace_base(parsed(text), "onn", "b")
    assert caught.value.hint == "did you mean `one`?"


def test_a_default_is_set_wherever_there_is_one_or_else_at_the_first_declaration() -> None:
    text = "\ufeffARG V=1 W\nFROM a\nARG V\nARG  X= \nARG V='2 3'  \n"
    assert dockerfile.set_argument(parsed(text), "V", "4").source.text == (
        "\ufeffARG V=4 W\nFROM a\nARG V\nARG  X= \nARG V=4  \n"
    )
    assert "ARG V=1 W=a\n" in dockerfile.set_argument(parsed(text), "W", "a").source.text
    assert "ARG  X=b \n" in dockerfile.set_argument(parsed(text), "X", "b").source.text
    with pytest.raises(DockerfileError):
        dockerfile.set_argument(parsed(text), "Y", "1")


@pytest.mark.parametrize("value", ["", "a b", 'q"r', "$x", "back\\slash", "'s'", "é", "a`b"])
@pytest.mark.parametrize("escape", ["\\", "`"])
def test_values_are_quoted_so_that_they_are_read_back(value: str, escape: str) -> None:
    text = dockerfile.quoted(value, escape)
    assert words.expand(text, words.nothing, escape=escape) == value


def test_edits_may_not_overlap_nor_lie_outside() -> None:
    found = parsed("FROM scratch\n")
    for edits in (
        [Edit(Span(1, 1, 1, 5), "A"), Edit(Span(1, 4, 1, 6), "B")],
        [Edit(Span(3, 1, 3, 2), "A")],
        [Edit(Span(1, 50, 1, 51), "A")],
    ):
        with pytest.raises(ValueError, match=r"overlap|line"):
            dockerfile.rewrite(found, edits)
    with pytest.raises(DockerfileError):
        dockerfile.rewrite(found, [Edit(Span(1, 1, 1, 5), "FRM")])


def test_unknown_names_are_no_part_of_the_library() -> None:
    assert not hasattr(dockerfile, "nonsense")
    assert all(getattr(dockerfile, name) is not None for name in dockerfile.__all__)
