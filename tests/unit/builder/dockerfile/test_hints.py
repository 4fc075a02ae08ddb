"""What a person is told to do about a mistake that people make: the place, and the words of notes and hint."""

from __future__ import annotations

import pytest

from builder.diagnostics import SourceFile
from builder.dockerfile.arguments import repaired_list
from builder.dockerfile.bases import prospect
from builder.dockerfile.lower import look_further
from builder.dockerfile.parse import read
from builder.dockerfile.stages import PlanRequest
from builder.errors import LapstrakeError
from builder.oci.config import ImageConfig
from tests.unit.builder.dockerfile.dockerfiles import HOST, marked, no_split

BASE = ImageConfig(architecture="amd64", os="linux")


def mistakes(text: str) -> list[LapstrakeError]:
    """Return all mistakes of a text; no image is here but those called `base`."""
    found = prospect(
        read(SourceFile("Dockerfile", text), split=no_split),
        PlanRequest(host_platform=HOST, all_stages=True),
        lambda image: BASE if "base" in image.reference else None,
    )
    if found.plan is not None and found.complete:
        look_further(found.plan, found.bases, found.mistakes)
    return list(found.mistakes.told())


@pytest.mark.parametrize(
    ("text", "under", "said"),
    [
        # FROM
        ("FROM base as", "as", "the name after AS is missing"),
        ("FROM base 3.18", "3.18", "`FROM base:3.18` if this is the tag"),
        ("FROM base: latest", "latest", "`FROM base:latest`, without the blank"),
        ("FROM base AS build stage", "build stage", "`build-stage`"),
        ("FROM base sa build", "sa build", "`FROM base AS build`"),
        ("FROM base # c", "# c", "line of its own"),
        ("FROM base AS a # c", "# c", "line of its own"),
        ("FROM", "FROM", "`FROM IMAGE`"),
        ("FROM Base", "Base", "write `base`"),
        ("FROM base:", "base:", "leave the colon out"),
        ("FROM https://x/y", "https://x/y", "leave the scheme out"),
        ("FROM ../x", "../x", "a directory can be given as `--build-context NAME=PATH`"),
        ("FROM x@sha256:12", "x@sha256:12", "64 hexadecimal digits"),
        ('FROM ""', '""', "`scratch`"),
        ("ARG VERSION=1\nFROM base:$VERSON", "base:$VERSON", "`VERSON` is not set"),
        ("ARG VERSION=1\nFROM base:$VERSON", "base:$VERSON", "did you mean `$VERSION`?"),
        ("FROM base:$V", "base:$V", "write `ARG V=…` above the first FROM"),
        ("ARG V=\nFROM $V", "$V", "give the argument a value"),
        # flags
        ("FROM base\nCOPY --From=x a b", "--From", "lower case: `--from`"),
        ("FROM base\nCOPY --form=x a b", "--form", "did you mean `--from`?"),
        ("FROM base\nCOPY --from x a b", "--from", "one word"),
        ("FROM --x base", "--x", "its only flag is `--platform`"),
        # pairs
        ("FROM base\nENV B= c", "c", "remove the blank after `B=`"),
        ("FROM base\nENV G=hello big world H=1", "big", '`G="hello big world"`'),
        ("FROM base\nENV A=b # c", "#", "line of its own"),
        ("FROM base\nENV A=\\\n  B C=1 D", "B", "remove the blank after `A=`"),
        # arrays
        ('FROM base\nCOPY ["a",]', '["a",]', '["SOURCE", "DESTINATION"]'),
        ("FROM base\nCOPY a", "a", "`COPY a DESTINATION`"),
        # ports, signals, durations
        ("FROM base\nEXPOSE 80,443", "80,443", "`80 443`, with blanks"),
        ("FROM base\nEXPOSE 80-70", "80-70", "`70-80`"),
        ("FROM base\nEXPOSE 80/tpc", "80/tpc", "did you mean `tcp`?"),
        ("FROM base\nEXPOSE 99999", "99999", "1 to 65535"),
        ("FROM base\nEXPOSE 80 # x", "#", "line of its own"),
        ("FROM base\nSTOPSIGNAL SIGKIL", "SIGKIL", "`SIGKILL`"),
        ("FROM base\nHEALTHCHECK --interval=5 CMD x", "5", "`5s`"),
        ("FROM base\nHEALTHCHECK CMDD x", "CMDD", "did you mean `CMD`?"),
        ("FROM base\nUSER", "USER", "`USER NAME`"),
        # quotes and braces
        ("FROM base\nWORKDIR ${X", "${X", "write `${X}`"),
        ("FROM base\nWORKDIR 'x", "'x", "close it"),
        # lines that begin with no instruction
        (
            "FROM base\nRUN a &&\n  b c",
            "b",
            "end line 2 with a backslash if this continues its RUN",
        ),
        ("FROM base\nRUN a \\\n  b\n  c d", "c", "end line 3 with a backslash"),
        ("FROM base\nRUN a \\ # why\n  b c", "b", "a comment follows the backslash"),
        ("# escape=`\nFROM base\nRUN a\n  b c", "b", "end line 3 with a backtick"),
        ("FROM base\napk add x", "apk", "write `RUN apk …`"),
        ("FROM base\nCMD a <<EOF\nhello\nEOF", "hello", "CMD takes no here-document"),
        ("FROM base\n<<<<<<< HEAD\nRUN a", "<<<<<<<", "merge conflict"),
        ("```dockerfile\nFROM base", "```dockerfile", "Markdown"),
        ("\u200bFROM base", "\u200bFROM", "the invisible character U+200B"),
        ("FROM base\nRUN\u00a0ls", "RUN\u00a0ls", "a usual blank"),
        ("services:\n  web:\n    image: x", "services:", "looks like YAML"),
        ("#!/bin/sh\nset -e\necho x", "set", "looks like a script"),
        ('{\n"a": 1\n}', "{", "looks like JSON"),
        ("<html>\n<body>x", "<html>", "looks like HTML"),
        # what a backslash makes of the next line
        ("FROM base\nENV A=1 \\\nCMD x", "CMD", "line 3, `CMD x`, belongs to it: line 2 ends"),
        # stages
        (
            "FROM base AS builder\nFROM base\nCOPY --from=buidler a b\nRUNN x",
            "buidler",
            "`builder`",
        ),
    ],
)
def test_a_person_is_told_what_to_do(text: str, under: str, said: str) -> None:
    error = mistakes(text)[0]
    assert marked(error) == under
    told = " ".join([error.message, *error.notes, error.hint or ""])
    assert said in told


def test_each_wrong_flag_of_a_line_is_told() -> None:
    found = mistakes("FROM base\nCOPY --chwon=a --form=b --link --link x y")
    assert [marked(each) for each in found] == ["--chwon", "--form", "--link"]


def test_text_in_utf_16_is_named() -> None:
    for text in ("\udcff\udcfeF\0R\0O\0M\0", "F\0R\0O\0M\0 \0x\0", "\0F\0R\0O\0M\0 \0x"):
        [error] = mistakes(text)
        assert "UTF-16" in error.message


def test_a_name_near_a_stage_is_suspected_only_where_something_else_is_wrong() -> None:
    text = "FROM base AS node1\nFROM base\nCOPY --from=node a b\n"
    assert mistakes(text) == []
    assert [marked(each) for each in mistakes(text + "EXPOSE x")] == ["node", "x"]
    assert [marked(each) for each in mistakes(text.replace("=node", "=node:18") + "EXPOSE x")] == [
        "x"
    ]


def test_a_quote_that_is_not_closed_is_told_also_where_variables_are_not_certain() -> None:
    found = mistakes("FROM base\nENVV A=1\nWORKDIR ${A\nUSER ${A:?}")
    assert [marked(each) for each in found] == ["ENVV", "${A"]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("['a', 'b']", '["a", "b"]'),
        ("[\u201ca\u201d, \u201cb c\u201d]", '["a", "b c"]'),
        ('["a", b]', '["a", "b"]'),
        ('["a" "b"]', '["a", "b"]'),
        ('["a", "b",]', '["a", "b"]'),
        ('["a", "b"', '["a", "b"]'),
        ("['C:\\x']", '["C:\\\\x"]'),
        ("[ -f x ] && y", None),
        ('["a]', None),
        ("a", None),
    ],
)
def test_an_array_is_repaired_where_it_is_clear_what_is_meant(text: str, meant: str | None) -> None:
    assert repaired_list(text) == meant


def test_of_what_is_no_dockerfile_nothing_else_is_said() -> None:
    (only,) = mistakes("\udce9\udcfe x\n\udcfe y\n\udcff \\\n z\n")
    assert only.code == "dockerfile.unknown-instruction"
    assert only.notes == (
        "no line of `Dockerfile` begins with an instruction: it is no Dockerfile",
    )
