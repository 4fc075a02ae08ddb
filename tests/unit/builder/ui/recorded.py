"""One build as the engine would report it: two stages side by side, a cached step, a failure."""

from __future__ import annotations

from builder.diagnostics import Diagnostic, Severity
from builder.events import (
    BuildDone,
    BuildStarted,
    Event,
    Outcome,
    Progress,
    VertexDone,
    VertexFailed,
    VertexLog,
    VertexStarted,
    Waiting,
    Warned,
)

WARNING = Diagnostic(severity=Severity.WARNING, code="rule.x", message="the name `A` is upper case")
FAILURE = Diagnostic(
    severity=Severity.ERROR, code="build.run-failed", message="the command exited with code 2"
)

GOOD: tuple[Event, ...] = (
    BuildStarted(dockerfile="Dockerfile", total=4),
    VertexStarted(id=1, name="[internal] load build definition"),
    VertexDone(id=1, outcome=Outcome.EXECUTED, note="12 lines", at=0.02),
    Warned(diagnostic=WARNING, at=0.03),
    VertexStarted(id=2, name="[build 1/2] FROM docker.io/library/debian", at=0.1),
    Progress(id=2, item="sha256:abc", done=0, total=30_000_000, at=0.2),
    VertexStarted(id=3, name="[stage-1 1/1] RUN make", at=0.3),
    Waiting(id=3, on="the cache mount `/root/.cache`", at=0.3),
    VertexLog(id=3, data=b"cc -c a.c\ncc -c", at=0.5),
    Progress(id=2, item="sha256:abc", done=15_000_000, total=30_000_000, at=1.2),
    Progress(id=2, item="sha256:abc", done=21_000_000, total=30_000_000, at=5.4),
    VertexLog(id=3, data=b" b.c\n\xc3", at=0.6),
    VertexLog(id=3, data=b"\xa9tape\nend", at=0.7),
    VertexDone(id=3, outcome=Outcome.EXECUTED, at=1.5),
    Progress(id=2, item="sha256:abc", done=30_000_000, total=30_000_000, at=6.2),
    VertexDone(id=2, outcome=Outcome.EXECUTED, at=6.3),
    VertexStarted(id=4, name="[build 2/2] COPY . .", at=6.3),
    VertexDone(id=4, outcome=Outcome.CACHED, at=6.3),
    BuildDone(
        image_id="sha256:" + "ab" * 32, names=("a:latest",), size=1, steps=2, cached=1, at=6.4
    ),
)

BAD: tuple[Event, ...] = (
    BuildStarted(dockerfile="Dockerfile", total=3),
    VertexStarted(id=1, name="[1/3] RUN make"),
    VertexStarted(id=2, name="[2/3] RUN test"),
    VertexLog(id=1, data=b"error: no rule\nstopped", at=0.25),
    VertexFailed(id=1, diagnostic=FAILURE, at=0.5),
    VertexDone(id=2, outcome=Outcome.CANCELLED, at=0.6),
    VertexDone(id=3, outcome=Outcome.SKIPPED, at=0.6),
)
