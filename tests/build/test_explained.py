"""A step that is not in the cache says why, at once and long afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from builder.cli.application import main
from builder.cli.invocation import Invocation
from builder.events import Explained, Outcome, VertexStarted
from builder.solve.given import SecretSource
from tests.build.workshop import Built, Workshop

TEXT = """
FROM base
ARG WHO=you
ENV API_URL=one
WORKDIR /w
COPY src /app/
RUN cat /app/a > /f
"""


def reasons(built: Built) -> dict[str, str]:
    """Return why each step was executed, by its text as far as the first space after the keyword."""
    names = {
        event.id: event.name.partition("] ")[2]
        for event in built.watch.events
        if isinstance(event, VertexStarted)
    }
    return {
        names[event.id]: event.reason
        for event in built.watch.events
        if isinstance(event, Explained)
    }


@pytest.fixture
def project(context: Path) -> Path:
    """A context with a few files."""
    (context / "src/deep").mkdir(parents=True)
    for name in ("a", "b", "deep/c"):
        (context / "src" / name).write_text(name)
    return context


def test_what_was_never_built_says_so_and_what_is_cached_says_nothing(
    fresh: Workshop, project: Path
) -> None:
    first = reasons(fresh.build(project, TEXT))
    assert set(first.values()) == {"never built before"}
    assert len(first) == 3
    assert reasons(fresh.build(project)) == {}


def test_files_are_named_as_they_are_called_in_the_context(fresh: Workshop, project: Path) -> None:
    fresh.build(project, TEXT)
    (project / "src/deep/c").write_text("changed")
    (project / "src/b").chmod(0o755)
    found = reasons(fresh.build(project))
    assert found["COPY src /app/"] == "2 files changed: src/b, src/deep/c"
    assert found["RUN cat /app/a > /f"] == "a step before it made other files: COPY src /app/"
    (project / "src/new").write_text("x")
    assert reasons(fresh.build(project))["COPY src /app/"] == "1 file added: src/new"
    (project / "src/a").unlink()
    (project / "src/b").write_text("other")
    found = reasons(fresh.build(project, TEXT.replace("RUN", "# RUN")))
    assert found == {"COPY src /app/": "2 files changed: src/a, src/b"}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("API_URL=one", "API_URL=two", "ENV API_URL changed"),
        ("WHO=you", "WHO=me", "ARG WHO changed"),
        ("cat /app/a", "cat /app/b", "the command changed"),
        ("RUN cat", "USER ann\nRUN cat", "the user changed: none is now ann"),
        ("RUN cat", "RUN --network=none cat", "the network changed: default is now none"),
        ("ARG WHO=you\n", "", "ARG WHO is gone"),
        ("RUN cat", "RUN --mount=type=tmpfs,target=/t cat", "mount /t is new"),
    ],
)
def test_what_was_edited_is_named(
    workshop: Workshop, project: Path, old: str, new: str, expected: str
) -> None:
    text = TEXT.replace("> /f", "> /dev/null")
    workshop.build(project, text)
    found = reasons(workshop.build(project, text.replace(old, new)))
    assert any(each.startswith(expected) for each in found.values()), found


def test_a_new_base_is_named_with_its_digest(fresh: Workshop, project: Path) -> None:
    fresh.build(project, "FROM base\nRUN echo 1 > /base", tags=("python:3.12",))
    fresh.build(project, "FROM python:3.12\nRUN echo 2 > /f")
    built = fresh.build(project, "FROM base\nRUN echo 3 > /base", tags=("python:3.12",))
    found = reasons(fresh.build(project, "FROM python:3.12\nRUN echo 2 > /f"))
    assert found == {
        "RUN echo 2 > /f": f"the base changed: python:3.12 is now {built.id[:19]}…",
    }


def test_a_bind_mount_that_changed_is_named(fresh: Workshop, project: Path) -> None:
    text = "RUN --mount=type=bind,source=src,target=/src cat /src/a > /f"
    fresh.build(project, text)
    (project / "src/deep/c").write_text("changed")
    built = fresh.build(project)
    [reason] = [why for step, why in reasons(built).items() if step.startswith("RUN")]
    assert reason == "a bind mount changed: /src"


def test_a_flag_that_asks_for_it_is_named_and_so_is_a_change_beside_it(
    fresh: Workshop, project: Path
) -> None:
    fresh.build(project, TEXT)
    assert set(reasons(fresh.build(project, no_cache=True)).values()) == {"--no-cache"}
    text = TEXT.replace("API_URL=one", "API_URL=two")
    found = reasons(fresh.build(project, text, no_cache=True))
    assert found["RUN cat /app/a > /f"] == "--no-cache; ENV API_URL changed"


def test_a_result_that_was_lost_is_told_from_a_change(fresh: Workshop, project: Path) -> None:
    fresh.build(project, TEXT)
    fresh.engine._store.db.execute("DELETE FROM records")
    assert set(reasons(fresh.build(project)).values()) == {"its result is no longer in the store"}


def test_what_another_project_has_built_is_known_here_once_it_was_used(
    fresh: Workshop, project: Path, tmp_path: Path
) -> None:
    fresh.build(project, TEXT)
    other = tmp_path / "other"
    (other / "src/deep").mkdir(parents=True)
    for name in ("a", "b", "deep/c"):
        (other / "src" / name).write_text(name)
    assert fresh.build(other, TEXT).executed == []
    found = reasons(fresh.build(other, TEXT.replace("API_URL=one", "API_URL=two")))
    assert found == {"RUN cat /app/a > /f": "ENV API_URL changed"}


def test_the_time_before_with_most_in_common_is_compared_with(
    fresh: Workshop, project: Path
) -> None:
    text = "ENV A=1\nENV B=1\nRUN echo $A$B"
    fresh.build(project, text)
    fresh.build(project, "ENV A=2\nENV B=2\nRUN echo $A$B")
    found = reasons(fresh.build(project, "ENV A=1\nENV B=3\nRUN echo $A$B"))
    assert list(found.values()) == ["ENV B changed"]


def test_values_that_sound_like_secrets_are_kept_nowhere(
    fresh: Workshop, project: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "token"
    secret.write_text("hidden-value-one")
    # The values differ, so that each build has something to explain.
    text = "ENV APP_PASSWORD=hunter-NUMBER\nRUN --mount=type=secret,id=t cat /run/secrets/t > /dev/null; : $APP_PASSWORD\nRUN true"
    given: dict[str, Any] = {"secrets": (SecretSource(id="t", path=str(secret)),)}
    fresh.build(project, text.replace("NUMBER", "alpha"), **given)
    built = fresh.build(project, text.replace("NUMBER", "bravo"), **given)
    assert {reason.partition(";")[0] for reason in reasons(built).values()} == {
        "ENV APP_PASSWORD changed"
    }
    kept = b"".join(path.read_bytes() for path in (fresh.root / "traces").iterdir())
    assert b"APP_PASSWORD" in kept
    for value in (b"hunter-alpha", b"hunter-bravo", b"hidden-value-one"):
        assert value not in kept
    events = [each for each in built.watch.events if isinstance(each, Explained)]
    assert len(events) == 2
    assert "hunter" not in repr(events)


def said(fresh: Workshop, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a verb on the store and return what it says."""
    capsys.readouterr()
    assert main(["--root", str(fresh.root), *words], Invocation()) == 0
    return capsys.readouterr().out


def test_the_whole_difference_is_there_later_even_when_the_layers_are_not(
    fresh: Workshop, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh.build(project, TEXT)
    for name in ("a", "b", "deep/c"):
        (project / "src" / name).write_text("changed")
    fresh.build(project, TEXT.replace("API_URL=one", "API_URL=two"))
    fresh.build(project)
    fresh.engine._store.db.execute("DELETE FROM layers")
    builds = said(fresh, capsys, "builds", "-q").split()
    overview = said(fresh, capsys, "why", builds[1]).splitlines()
    assert overview[0] == "#1 [2/4] WORKDIR /w  CACHED"
    assert "EXECUTED  3 files changed: src/a, src/b, …" in overview[1]
    for step in ("#2", "5"):
        whole = said(fresh, capsys, "why", f"{builds[1]}:{step}")
        for name in ("a", "b", "deep/c"):
            assert f"    src/{name}  (content)\n" in whole
    whole = said(fresh, capsys, "why", f"{builds[1]}:#3")
    assert "    before  one\n    now     two\n" in whole
    assert "cached: everything that it reads is what it was" in said(fresh, capsys, "why", "#2")


def test_programs_get_a_line_a_step(
    fresh: Workshop, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh.build(project, TEXT)
    (project / "src/a").write_text("changed")
    lines = said(fresh, capsys, "build", "--explain=json", "--progress=plain", str(project))
    first, copy, run = [json.loads(line) for line in lines.splitlines()]
    assert (first["outcome"], copy["outcome"], run["outcome"]) == ("cached", "executed", "executed")
    assert (copy["line"], copy["reason"]) == (5, "1 file changed: src/a")
    assert copy["differences"] == [
        {
            "cause": "files",
            "subject": "files",
            "files": [{"path": "src/a", "how": "content"}],
            "total": 1,
        }
    ]
    assert copy["since"] > 0
    assert run["differences"][0]["cause"] == "below"


def test_a_result_as_before_is_another_word_than_cached_or_executed(
    fresh: Workshop, project: Path
) -> None:
    fresh.build(project, "RUN echo 1 > /f\nRUN cat /f")
    built = fresh.build(project, "RUN echo  1 > /f\nRUN cat /f")
    assert built.watch.outcomes() == [
        ("RUN echo  1 > /f", Outcome.SAME),
        ("RUN cat /f", Outcome.CACHED),
    ]


def test_a_long_chain_of_steps_leaves_little(fresh: Workshop, project: Path) -> None:
    text = "COPY src/a /a\n" + "".join(f"COPY src/a /a{number}\n" for number in range(60))
    fresh.build(project, f"{text}RUN true")
    (project / "src/a").write_text("changed")
    found = reasons(fresh.build(project))
    assert found["RUN true"] == "a step before it made other files: COPY src/a /a"
    [path] = [each for each in (fresh.root / "traces").iterdir() if each.stat().st_size > 10_000]
    assert path.stat().st_size / (2 * 62) < 1_200


def test_what_was_cached_when_a_build_failed_is_known_too(
    fresh: Workshop, project: Path, tmp_path: Path
) -> None:
    fresh.build(project, "RUN echo 1 > /f\nRUN cat /f")
    other = tmp_path / "other"
    other.mkdir()
    fresh.refused(other, "RUN echo 1 > /f\nRUN cat /f\nRUN false")
    found = reasons(fresh.build(other, "RUN echo 1 > /f\nRUN cat  /f\nRUN true"))
    assert found["RUN cat  /f"] == "the command changed"


def test_a_disk_that_takes_no_traces_ends_no_build(fresh: Workshop, project: Path) -> None:
    for path in (fresh.root / "traces").iterdir():
        path.unlink()
    (fresh.root / "traces").rmdir()
    (fresh.root / "traces").write_text("")
    fresh.build(project, TEXT)
    assert set(reasons(fresh.build(project, TEXT, no_cache=True)).values()) == {"--no-cache"}
