"""An engine that does nothing but remember what it was asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from builder.cli.application import main
from builder.cli.invocation import Invocation
from builder.engine.requests import BuildResult
from builder.events import Outcome, VertexDone, VertexStarted, Warned
from builder.settings import Settings

ID = "sha256:0123456789ab" + "c" * 52
DIGEST = "sha256:" + "d" * 64


class FakeEngine:
    """Answers every call, or raises `error`; `calls` holds names and arguments."""

    def __init__(self, error: BaseException | None = None, **answers: Any) -> None:
        self.error = error
        self.answers = answers
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.settings: Settings | None = None
        self.launcher: object = None
        self.cancellation = SimpleNamespace(cancel=lambda _number: None)
        self.warnings: tuple[Any, ...] = ()

    @contextmanager
    def open(self, settings: Settings, launcher: object) -> Iterator[FakeEngine]:
        self.settings = settings
        self.launcher = launcher
        yield self

    def _answer(self, name: str, *arguments: Any, default: Any = None) -> Any:
        self.calls.append((name, arguments))
        if self.error is not None:
            raise self.error
        return self.answers.get(name, default)

    def build(self, request: Any, events: Any) -> Any:
        events.emit(VertexStarted(id=1, name="[1/1] FROM scratch"))
        for warning in self.warnings:
            events.emit(Warned(diagnostic=warning))
        events.emit(VertexDone(id=1, outcome=Outcome.CACHED))
        default = BuildResult(
            image_id=ID,
            platforms=(),
            names=request.tags,
            digest=DIGEST if request.push else None,
            size=12_345_678,
            steps=1,
            cached=1,
            seconds=0.2,
            warnings=self.warnings,
            build="b1",
        )
        return self._answer("build", request, default=default)

    def pull(self, reference: str, platform: str | None, _events: Any) -> Any:
        result = SimpleNamespace(reference=reference, digest=DIGEST, image_id=ID, newer=True)
        return self._answer("pull", reference, platform, default=result)

    def push(self, reference: str, _events: Any, platform: str | None = None) -> Any:
        result = SimpleNamespace(reference=reference, digest=DIGEST, size=527)
        return self._answer("push", reference, platform, default=result)

    def run(self, request: Any, _streams: Any, _events: Any, **_options: Any) -> Any:
        return self._answer("run", request, default=0)

    def images(self, wanted: Any) -> Any:
        return self._answer("images", wanted, default=())

    def save(self, names: tuple[str, ...], stream: Any, platform: str | None) -> None:
        stream.write(b"archive")
        self._answer("save", names, platform)

    def load(self, stream: Any, platform: str | None) -> Any:
        return self._answer("load", stream.read(), platform, default=("a:latest",))

    def import_(self, stream: Any, *arguments: Any, platform: str | None) -> Any:
        return self._answer("import_", stream.read(), *arguments, platform, default=ID)

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            return self._answer(name, *arguments, *([options] if options else []))

        return call


def lapstrake(engine: FakeEngine, *words: str) -> int:
    """Run the command line with an engine of ours; return the exit code."""
    return main(list(words), Invocation(open_engine=engine.open))  # type: ignore[arg-type]


def request_of(*words: str) -> Any:
    """Return what `build` with these words asks of the engine."""
    engine = FakeEngine()
    assert lapstrake(engine, "build", *words) == 0
    [(name, (request,))] = engine.calls
    assert name == "build"
    return request


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return what `build` with these words says before anything else."""
    engine = FakeEngine()
    assert lapstrake(engine, "build", *words) == 125
    assert engine.calls == []
    return capsys.readouterr().err
