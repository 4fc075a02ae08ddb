from __future__ import annotations

import json
import textwrap

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from builder.diagnostics import Diagnostic, Severity, SourceFile, Span
from builder.ui.cells import width
from builder.ui.diagnostic import render, to_json
from builder.ui.style import COLOURED


def about(
    text: str,
    span: Span | None,
    *,
    message: str = "the command exited with code 2",
    notes: tuple[str, ...] = (),
    hint: str | None = None,
) -> Diagnostic:
    return Diagnostic(
        severity=Severity.ERROR,
        code="build.run-failed",
        message=message,
        span=span,
        source=SourceFile("Dockerfile", text),
        notes=notes,
        hint=hint,
    )


def shown(diagnostic: Diagnostic, columns: int = 120) -> str:
    return "\n" + render(diagnostic, columns=columns)


def block(text: str) -> str:
    return textwrap.dedent(text)


def test_place_is_shown_with_the_line_before_and_carets() -> None:
    text = "FROM a\nWORKDIR /x\nARG b\nCOPY --from=build /out /app\nRUN pip install .\nCMD x\n"
    diagnostic = about(
        text,
        Span(5, 5, 5, 18),
        notes=('last output: "ERROR: no distribution"',),
        hint="to look around, run `lapstrake run`",
    )
    assert shown(diagnostic) == block("""
        error[build.run-failed]: the command exited with code 2
         --> Dockerfile:5:5
        4 | COPY --from=build /out /app
        5 | RUN pip install .
          |     ^^^^^^^^^^^^^
          = note: last output: "ERROR: no distribution"
          = hint: to look around, run `lapstrake run`
        """)


def test_margin_is_as_wide_as_the_line_number() -> None:
    text = "FROM a\n" * 9 + "RUN a\n"
    assert shown(about(text, Span(10, 1, 10, 4), hint="b")) == block("""
        error[build.run-failed]: the command exited with code 2
          --> Dockerfile:10:1
         9 | FROM a
        10 | RUN a
           | ^^^
           = hint: b
        """)


def test_span_over_lines_is_marked_on_each() -> None:
    text = "FROM a\nRUN a && \\\n    b && \\\n\n    c --bad\n"
    assert shown(about(text, Span(2, 5, 5, 8))) == block("""
        error[build.run-failed]: the command exited with code 2
         --> Dockerfile:2:5
        1 | FROM a
        2 | RUN a && \\
          |     ^^^^^^
        3 |     b && \\
          |     ^^^^^^
        4 |
        5 |     c --bad
          |     ^^^
        """)


def test_long_span_is_shown_by_its_ends() -> None:
    text = "RUN <<E\n" + "".join(f"line {n}\n" for n in range(2, 20)) + "E\n"
    lines = shown(about(text, Span(1, 1, 20, 2))).splitlines()
    assert [line for line in lines if "|" in line and "^" not in line] == [
        " 1 | RUN <<E",
        " 2 | line 2",
        " 3 | line 3",
        " … |",
        "19 | line 19",
        "20 | E",
    ]


def test_end_at_the_start_of_a_line_does_not_show_that_line() -> None:
    assert "2 |" not in shown(about("RUN a\nRUN b\n", Span(1, 1, 2, 1)))


def test_tabs_and_wide_characters_keep_the_carets_in_place() -> None:
    assert shown(about("\tRUN 日本 x\n", Span(1, 6, 1, 8))) == block("""
        error[build.run-failed]: the command exited with code 2
         --> Dockerfile:1:6
        1 |     RUN 日本 x
          |         ^^^^
        """)


def test_long_line_is_cut_around_the_span() -> None:
    text = "RUN " + "x" * 300 + " --bad " + "y" * 300
    lines = shown(about(text, Span(1, 306, 1, 311)), columns=60).splitlines()
    assert max(map(len, lines[2:])) <= 60
    assert "x --bad y" in lines[3]
    assert lines[3].startswith("1 | …")
    assert lines[3].endswith("…")
    assert lines[4].index("^") == lines[3].index("--bad")
    assert lines[4].count("^") == 5


def test_caret_at_the_end_of_a_line_points_behind_it() -> None:
    assert shown(about("FROM\n", Span(1, 5, 1, 5))).endswith("1 | FROM\n  |     ^\n")


@pytest.mark.parametrize("span", [Span(99, 1, 99, 5), Span(1, 999, 1, 1005), Span(3, 4, 1, 1)])
def test_span_outside_the_text_does_no_harm(span: Span) -> None:
    assert "the command exited" in shown(about("FROM a\n", span))


def test_without_a_place_only_message_notes_and_hint_are_shown() -> None:
    diagnostic = Diagnostic(
        severity=Severity.WARNING, code="x", message="m", notes=("one\ntwo",), hint="h"
    )
    assert shown(diagnostic) == block("""
        warning[x]: m
          = note: one
                  two
          = hint: h
        """)


def test_text_from_outside_cannot_reach_the_terminal() -> None:
    diagnostic = about(
        "RUN \x1b[2J\n", Span(1, 1, 1, 4), message="m\x1b]0;t\x07", notes=("\x9b2J",), hint="\x1bc"
    )
    text = render(diagnostic)
    assert text.isascii() is False
    assert not any(ord(character) < 32 and character != "\n" for character in text)
    assert "\x9b" not in text


def test_colours_mark_severity_and_carets() -> None:
    text = render(about("RUN a\n", Span(1, 1, 1, 4)), palette=COLOURED)
    assert text.startswith("\x1b[1;31merror[build.run-failed]\x1b[0m: ")
    assert "\x1b[1;31m^^^\x1b[0m" in text


def test_json_has_the_place_and_not_the_text() -> None:
    document = json.loads(to_json(about("RUN secret\n", Span(1, 5, 1, 11), hint="h")))
    assert document == {
        "severity": "error",
        "code": "build.run-failed",
        "message": "the command exited with code 2",
        "place": {"file": "Dockerfile", "line": 1, "column": 5, "end_line": 1, "end_column": 11},
        "notes": [],
        "hint": "h",
    }


numbers = st.integers(1, 12)


@example("0000\u0e5c\u2d68", Span(1, 7, 1, 1), 1)
@given(st.text(), st.builds(Span, numbers, numbers, numbers, numbers), st.integers(1, 60))
def test_any_span_in_any_text_renders_within_the_columns(
    text: str, span: Span, columns: int
) -> None:
    lines = render(about(text, span), columns=columns).splitlines()
    assert all(width(line) <= max(columns, 12) for line in lines[2:])
