"""The lines about what a RUN costs: its output, its mounts, and the start of its walls without root."""

from __future__ import annotations

import os
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.measure import Measured, measure
from tests.support.unprivileged import missing_for_rootless, unprivileged

if TYPE_CHECKING:
    from tests.bench.lines import Bench, Line

LINE = "0123456789" * 7 + "012"
MOUNTS = (
    "--mount=type=cache,target=/cache",
    "--mount=type=tmpfs,target=/memory",
    "--mount=type=bind,target=/context",
    "--mount=type=bind,from=other,target=/other",
    "--mount=type=secret,id=nothing",
)
SLOWER = 0.04
"""Seconds that the start of a first step may take more without root."""


def flood(bench: Bench, line: type[Line]) -> Line:
    """All of a large file through the output of a RUN, over the same program and a pipe."""
    size = bench.scale.flood
    context = bench.place / "flood"
    context.mkdir(exist_ok=True)
    text = context / "text"
    with text.open("wb") as file:
        block = f"{LINE}\n".encode() * 13_000
        for at in range(0, size, len(block)):
            file.write(block[: size - at])
    bench.build(bench.store, "FROM busybox\nCOPY text /\nRUN true\n", context)
    ours: list[Measured] = []
    reference, starts = [], []
    for number in range(bench.scale.rounds):
        dockerfile = "FROM busybox\nCOPY text /\nRUN : {}; {}\n"
        starts.append(bench.build(bench.store, dockerfile.format(number, ":"), context).seconds)
        ours.append(bench.build(bench.store, dockerfile.format(number, "cat /text"), context))
        pipe = f"cat {text} | cat >/dev/null"
        reference.append(measure(["/bin/sh", "-c", pipe]).seconds)
        bench.say(f"output: {ours[-1].seconds - starts[-1]:.2f} s, cat: {reference[-1]:.2f} s")
    text.unlink()
    return line(
        f"{size / 1e9:g} GB of output through a `RUN cat`, less one without output",
        statistics.median(run.seconds for run in ours) - statistics.median(starts),
        statistics.median(reference),
        "`cat FILE \\| cat`",
        2,
        max(run.peak for run in ours),
    )


def mounted(bench: Bench, line: type[Line]) -> Line:
    """Steps with five mounts each, over the same without any."""
    context = bench.place / "shown"
    context.mkdir(exist_ok=True)
    (context / "a").write_text("a")
    head = "FROM busybox AS other\nRUN echo a >/a\nFROM busybox\n"
    texts = {
        words: head + "".join(f"RUN {words} true {n}\n" for n in range(30))
        for words in ("", " ".join(MOUNTS))
    }
    times: dict[str, list[Measured]] = {words: [] for words in texts}
    one = head + "RUN true\n"
    starts = []
    for _ in range(bench.scale.rounds):
        starts.append(bench.build(bench.store, one, context, "--no-cache").seconds)
        for words, text in texts.items():
            times[words].append(bench.build(bench.store, text, context, "--no-cache"))
        without, with_mounts = ((runs[-1].seconds - starts[-1]) / 29 for runs in times.values())
        bench.say(f"a step: {without * 1000:.1f} ms, with mounts: {with_mounts * 1000:.1f} ms")
    start = statistics.median(starts)
    reference, ours = (
        (statistics.median(run.seconds for run in runs) - start) / 29 for runs in times.values()
    )
    return line(
        "one more `RUN true` with a cache, a tmpfs, two binds and a secret that is not there",
        ours,
        reference,
        "the same without mounts",
        1.5,
        max(run.peak for runs in times.values() for run in runs),
    )


def rootless(bench: Bench, line: type[Line]) -> Line:
    """A build of one RUN without root, over the same as root."""
    reason = missing_for_rootless()
    if reason is not None:
        raise SystemExit(f"cannot measure without root: {reason}")
    person = unprivileged()
    context = bench.place / "first"
    context.mkdir(exist_ok=True)
    file = bench.place / "first.Dockerfile"
    file.write_text("FROM busybox\nRUN true\n")
    for path in (bench.place, context, file, bench.base):
        path.chmod(0o755)
    home = bench.place / "home"
    home.mkdir(exist_ok=True)
    os.chown(home, person.uid, person.gid)
    theirs = home / "store"

    def run(store: Path, *words: str | Path, as_user: bool) -> Measured:
        argv = [bench.programs / "lapstrake", "--root", store, *words]
        return measure(argv, person=person if as_user else None)

    run(theirs, "import", bench.base, "busybox", as_user=True)
    ours: list[Measured] = []
    reference: list[Measured] = []
    for _ in range(bench.scale.rounds * 4):
        words = ("build", "-q", "--no-cache", "-f", file, context)
        reference.append(run(bench.store, *words, as_user=False))
        ours.append(run(theirs, *words, as_user=True))
    more = ours[-1].seconds - reference[-1].seconds
    bench.say(f"first step: {more * 1000:.1f} ms more without root")
    root = statistics.median(run.seconds for run in reference)
    return line(
        "a build of one `RUN true` without root",
        statistics.median(run.seconds for run in ours),
        root,
        "the same as root; the goal is 40 ms more",
        (root + SLOWER) / root,
        max(run.peak for run in ours),
    )
