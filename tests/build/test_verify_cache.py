"""Cached steps are run again on request, and what comes out otherwise is told with the difference."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.diagnostics import Diagnostic
from builder.events import VertexDone, VertexStarted, Warned
from tests.build.workshop import Built, Workshop

RANDOM = "cat /proc/sys/kernel/random/uuid"
TEXT = f"""
FROM base
COPY a /a
WORKDIR /w
RUN cat /a > /same
RUN mkdir /d; {RANDOM} > /d/one; {RANDOM} > /two; echo same > /d/three
RUN cat /two
"""


def warnings(built: Built) -> list[Diagnostic]:
    return [each.diagnostic for each in built.watch.events if isinstance(each, Warned)]


def verified(built: Built) -> list[str]:
    """Return the notes of what was run again."""
    again = {
        each.id
        for each in built.watch.events
        if isinstance(each, VertexStarted) and each.name.startswith("[verify] ")
    }
    return sorted(
        each.note
        for each in built.watch.events
        if isinstance(each, VertexDone) and each.id in again
    )


@pytest.fixture
def project(context: Path) -> Path:
    (context / "a").write_text("a")
    return context


def test_a_step_that_comes_out_otherwise_is_told_with_what_differs(
    fresh: Workshop, project: Path
) -> None:
    first = fresh.build(project, TEXT)
    again = fresh.build(project, verify_cache=100)
    assert again.id == first.id
    assert (again.result.steps, again.result.cached) == (5, 5)
    assert (
        verified(again) == ["differs from the cache"] + ["verified: the same as in the cache"] * 4
    )
    [warning] = warnings(again)
    assert warning.code == "build.cache-differs"
    assert warning.notes == ("/d/one: content", "/two: content")
    assert warning.span is not None
    assert warning.span.line == 5
    # What came out is dropped: the cache holds what it held.
    assert fresh.build(project).id == first.id


def test_a_wrong_record_is_found(fresh: Workshop, project: Path) -> None:
    fresh.build(project, "COPY a /a\nRUN echo 1 > /f; chmod 600 /f\nRUN echo 2 > /g")
    store = fresh.engine._store
    rows = store.db.rows("SELECT key, diff_id FROM records WHERE instr(parts, ?)", (b"echo ",))
    (one, _), (_, other) = rows
    store.db.execute("UPDATE records SET diff_id = ? WHERE key = ?", (other, one))
    notes = {
        note
        for warning in warnings(fresh.build(project, verify_cache=100))
        for note in warning.notes
    }
    assert notes in (
        {"/f: added", "/g: removed"},
        {"/f: removed", "/g: added"},
    )


def test_a_step_that_fails_when_run_again_ends_no_build(fresh: Workshop, project: Path) -> None:
    flag = "--mount=type=cache,target=/c"
    first = fresh.build(project, f"RUN {flag} mkdir /c/once\nRUN true")
    again = fresh.build(project, verify_cache=100)
    assert again.id == first.id
    [warning] = warnings(again)
    assert warning.notes[0].startswith("run again, it fails: the command exited with code 1")
    assert fresh.leftovers() == []


def test_a_sample_is_a_share_of_the_steps_and_one_at_least(fresh: Workshop, project: Path) -> None:
    fresh.build(project, TEXT)
    assert len(verified(fresh.build(project, verify_cache=40))) == 2
    assert len(verified(fresh.build(project, verify_cache=1))) == 1


def test_what_is_executed_anyway_is_not_run_twice(fresh: Workshop, project: Path) -> None:
    assert verified(fresh.build(project, TEXT, verify_cache=100)) == []
