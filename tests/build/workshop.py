"""Builds in this process, on a store of the tests' own, with everything seen: events, errors, the image."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from builder.diagnostics import Diagnostic
from builder.engine.engine import Engine
from builder.engine.requests import BuildRequest, BuildResult, Output
from builder.errors import LapstrakeError
from builder.events import Event, Outcome, VertexDone, VertexFailed, VertexLog, VertexStarted
from builder.settings import Settings
from runtime.launch import Launcher
from tests.build.images import Image
from tests.support.busybox_base import find_busybox, write_busybox_base

PASSWD = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n"
GROUP = "root:x:0:\nann:x:1000:\nstaff:x:50:ann\nwheel:x:10:ann,root\n"
BASE = f"""FROM box
COPY <<EOF /etc/passwd
{PASSWD}EOF
COPY <<EOF /etc/group
{GROUP}EOF
COPY <<EOF /etc/hostname
EOF
WORKDIR /home/ann
WORKDIR /
"""


class Watch:
    """Keeps the events of one build."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        """Take one event."""
        self.events.append(event)

    def outcomes(self) -> list[tuple[str, Outcome]]:
        """Return how each step ended: its text as written, and the outcome, in the order of their starts."""
        started = {
            event.id: event.name.partition("] ")[2]
            for event in self.events
            if isinstance(event, VertexStarted)
        }
        ended = {event.id: event.outcome for event in self.events if isinstance(event, VertexDone)}
        return [(name, ended[number]) for number, name in started.items() if number in ended]

    def executed(self) -> list[str]:
        """Return the steps that were executed."""
        return [
            name for name, outcome in self.outcomes() if outcome in (Outcome.EXECUTED, Outcome.SAME)
        ]

    def output(self) -> str:
        """Return what commands wrote."""
        pieces = [event.data for event in self.events if isinstance(event, VertexLog)]
        return b"".join(pieces).decode()

    def failures(self) -> list[Diagnostic]:
        """Return the diagnostics of the steps that failed."""
        return [event.diagnostic for event in self.events if isinstance(event, VertexFailed)]


class Built:
    """A build that ended well; the image is read when it is first asked for."""

    def __init__(self, result: BuildResult, watch: Watch, archive: Path) -> None:
        self.id = result.image_id
        self.result = result
        self.watch = watch
        self._archive = archive
        self._image: Image | None = None

    @property
    def image(self) -> Image:
        """The image, as others read it; it is valid."""
        if self._image is None:
            self._image = Image(self._archive)
        return self._image

    @property
    def executed(self) -> list[str]:
        """The steps that were not cached."""
        return self.watch.executed()


class Workshop:
    """One store with an image called `base`: busybox, with `ann` of the groups ann, staff and wheel."""

    def __init__(self, engine: Engine, ground: Path) -> None:
        self.engine = engine
        self.root = ground / "store"
        self._ground = ground
        self._count = 0

    def build(
        self,
        context: Path,
        dockerfile: str | None = None,
        *,
        file: Path | None = None,
        **request: Any,
    ) -> Built:
        """Build a context; `dockerfile`, if given, is written into it first; `file` is what `-f` names."""
        self.write(context, dockerfile)
        if file is not None:
            request["dockerfile"] = str(file)
        return self.build_from(str(context), **request)

    def build_from(self, context: str, **request: Any) -> Built:
        """Build a context by whatever names it."""
        self._count += 1
        archive = self._ground / f"{self._count}.tar"
        output = Output(
            type="oci", dest=str(archive), attributes=(("compression", "uncompressed"),)
        )
        watch = Watch()
        result = self.engine.build(
            BuildRequest(context=context, outputs=(output,), **request), watch
        )
        return Built(result, watch, archive)

    def refused(
        self, context: Path, dockerfile: str | None = None, **request: Any
    ) -> LapstrakeError:
        """Build a context and return what ends that."""
        self.write(context, dockerfile)
        try:
            self.engine.build(BuildRequest(context=str(context), **request), Watch())
        except LapstrakeError as error:
            assert error.code != "internal", error.message
            return error
        raise AssertionError("it was built")

    @staticmethod
    def write(context: Path, dockerfile: str | None) -> None:
        """Write a Dockerfile; what does not begin with FROM or a comment begins with `FROM base`."""
        if dockerfile is None:
            return
        text = textwrap.dedent(dockerfile).lstrip("\n")
        begins = text.partition(" ")[0].upper() in {"FROM", "#"}
        (context / "Dockerfile").write_text(text if begins else "FROM base\n" + text)

    def leftovers(self) -> list[str]:
        """Return what lies in the store that no ended build leaves; work directories go a little later."""
        found = [f"active/{name}" for name in os.listdir(self.root / "active")]
        for name in os.listdir(self.root / "scratch"):
            kept = os.listdir(self.root / "scratch" / name)
            found += [
                f"scratch/{name}/{each}"
                for each in kept
                if each != "empty" and not each.endswith(".work")
            ]
        return found


@contextmanager
def workshop_in(ground: Path, **settings: Any) -> Iterator[Workshop]:
    """Open a workshop whose store is below a directory."""
    busybox = find_busybox()
    assert busybox is not None
    executor = os.environ.get("LAPSTRAKE_EXECUTOR", "local")
    given = {
        "executor": executor,
        "root": str(ground / "store"),
        "docker_config": str(ground / "docker"),
        **settings,
    }
    with Engine.open(Settings(**given), Launcher.spawn()) as engine:
        box = write_busybox_base(ground / "box.tar", busybox)
        with box.open("rb") as stream:
            engine.import_(stream, "box")
        shop = Workshop(engine, ground)
        context = ground / "base"
        context.mkdir()
        shop.build(context, BASE, tags=("base",))
        yield shop
