"""What a build leaves besides its image: a record, and a log that nothing is cut from."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from builder.cli.application import main
from builder.cli.invocation import Invocation
from builder.engine import recording
from builder.engine.requests import BuildRequest
from builder.errors import LapstrakeError
from builder.events import Event, VertexLog, VertexStarted
from builder.solve.trail import Executing
from builder.store.builds import CANCELLED, DONE, FAILED
from tests.build.workshop import Watch, Workshop

TEXT = """
FROM base AS make
RUN echo one && echo two >&2
FROM base
COPY --from=make /etc/passwd /p
RUN cat /p | head -1
"""


def log_of(events: list[Event], number: int) -> bytes:
    return b"".join(
        each.data for each in events if isinstance(each, VertexLog) and each.id == number
    )


def command(
    workshop: Workshop, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, str, str]:
    """Run a verb on the workshop's store."""
    code = main(["--root", str(workshop.root), *words], Invocation())
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_build_is_remembered_with_all_that_happened(fresh: Workshop, context: Path) -> None:
    built = fresh.build(context, TEXT, tags=("x:1",))
    about, events = fresh.engine.build_events()
    assert (about.outcome, about.image, about.names) == (DONE, built.id, ("x:1",))
    assert (about.steps, about.cached, about.context) == (3, 0, str(context))
    assert about.seconds > 0
    found = list(events)
    names = [each.name for each in found if isinstance(each, VertexStarted)]
    assert names == [each.name for each in built.watch.events if isinstance(each, VertexStarted)]
    assert b"".join(log_of(found, number) for number in range(9)).decode() == built.watch.output()


def test_a_build_that_fails_is_remembered_with_what_ended_it(
    fresh: Workshop, context: Path
) -> None:
    fresh.refused(context, "RUN echo before; exit 7")
    about, events = fresh.engine.build_events()
    assert about.outcome == FAILED
    assert about.error == ("build.run-failed", "the command exited with code 7")
    assert log_of(list(events), 1) == b"before\n"
    fresh.refused(context / "nowhere")
    assert fresh.engine.build_events()[0].error is not None


def test_output_is_kept_whole_however_much_there_is(fresh: Workshop, context: Path) -> None:
    built = fresh.build(context, "RUN seq 1 60000; head -c 100000 /dev/zero")
    _, events = fresh.engine.build_events()
    log = log_of(list(events), 1)
    assert log.decode() == built.watch.output()
    assert log.startswith(b"1\n2\n")
    assert log.endswith(b"\0" * 100_000)


def test_what_a_step_said_is_recorded_while_it_still_runs(fresh: Workshop) -> None:
    builds = fresh.engine._store.builds
    log = builds.new()
    record = recording.Recording(log, BuildRequest(context="."), Watch())
    record.trace(Executing())
    record.emit(VertexLog(id=1, data=b"said"))
    assert [each.data for each in recording.events_of(builds, log.id)] == [b"said"]  # type: ignore[attr-defined]


def test_a_step_that_never_stops_talking_does_not_fill_the_disk(
    fresh: Workshop, context: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "MOST_OUTPUT", 100_000)
    built = fresh.build(context, "RUN yes | head -c 3000000")
    _, events = fresh.engine.build_events()
    kept = b"".join(each.data for each in events if isinstance(each, VertexLog))
    assert len(built.watch.output()) == 3_000_000
    assert 100_000 < len(kept) < 2_000_000
    assert kept.endswith(recording.CUT)


def test_a_cached_build_is_remembered_as_such(fresh: Workshop, context: Path) -> None:
    fresh.build(context, TEXT)
    fresh.build(context)
    about, _ = fresh.engine.build_events()
    assert (about.steps, about.cached) == (3, 3)


def test_an_interrupted_build_is_remembered_as_cancelled(fresh: Workshop, context: Path) -> None:
    timer = threading.Timer(0.5, fresh.engine.cancellation.cancel)
    timer.start()
    fresh.refused(context, "RUN sleep 20")
    assert fresh.engine.build_events()[0].outcome == CANCELLED


def test_builds_are_listed_and_their_logs_shown(
    fresh: Workshop, context: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh.build(context, TEXT, tags=("x:1",))
    fresh.refused(context, "RUN exit 3")
    capsys.readouterr()
    code, out, _ = command(fresh, capsys, "builds")
    assert code == 0
    [header, failed, done, *_] = out.splitlines()
    assert header.split() == ["BUILD", "STARTED", "NAME", "ENDED", "CACHED", "TIME"]
    assert "failed: build.run-failed" in failed
    assert "x:1" in done
    assert "0/3" in done
    _, ids, _ = command(fresh, capsys, "builds", "-q")
    first = ids.split()[1]
    _, log, _ = command(fresh, capsys, "logs", first)
    assert "RUN echo one && echo two >&2" in log
    assert " two" in log


def test_the_log_of_one_step_is_what_it_wrote(
    fresh: Workshop, context: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh.build(context, TEXT)
    capsys.readouterr()
    for step in ("make:2", "2"):
        assert command(fresh, capsys, "logs", "last", step)[1] == "one\ntwo\n"
    assert command(fresh, capsys, "logs", "last", "5")[1] == "root:x:0:0:root:/root:/bin/sh\n"
    code, _, err = command(fresh, capsys, "logs", "last", "other:2")
    assert code == 1
    assert "error[build.not-found]" in err
    assert command(fresh, capsys, "logs", "nonesuch")[0] == 1


def test_a_password_in_the_url_of_a_context_is_not_remembered(fresh: Workshop) -> None:
    request = BuildRequest(context="http://user:s3cret@127.0.0.1:9/context.tar")
    with pytest.raises(LapstrakeError):
        fresh.engine.build(request, Watch())
    about = fresh.engine.builds()[0]
    assert about.context.startswith("http://")
    assert [
        path for path in (fresh.root / "builds").iterdir() if b"s3cret" in path.read_bytes()
    ] == []
