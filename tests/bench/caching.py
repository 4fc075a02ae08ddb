"""The lines about the cache: looking steps up, in a small store and in a full one, and explaining a miss."""

from __future__ import annotations

import sqlite3
import statistics
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.bench.lines import Bench, Line

STEPS = 150
RECORDS = 10_000
IMAGES = 1_000
GOAL_SECONDS = 0.030
_FILL = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
INSERT INTO {table} SELECT {columns} FROM n, (SELECT * FROM {table} LIMIT 1)
"""


def dockerfile(steps: int) -> str:
    """Return a Dockerfile of so many steps, a third of them copies."""
    kinds = ("RUN : {}", "RUN : once more {}", "COPY a /a{}")
    lines = [kinds[number % 3].format(number) for number in range(steps)]
    return "\n".join(["FROM busybox", *lines]) + "\n"


def lookup(bench: Bench, line: Callable[..., Line]) -> Line:
    """150 cached steps against one: what remains is looking them up."""
    ours, peak = _beyond_start(bench, bench.store)
    return line(
        f"{STEPS} cached steps looked up, less a cached build of one, processor time",
        ours,
        GOAL_SECONDS,
        "what that may take",
        1,
        peak,
    )


def full_store(bench: Bench, line: Callable[..., Line]) -> Line:
    """The same in a store that holds much else, in turns with one that does not."""
    full = bench.place / "full"
    bench.prepare(full)
    _beyond_start(bench, full, rounds=1)
    fill(full / "index.db")
    pairs = [
        (_beyond_start(bench, full, rounds=10), _beyond_start(bench, bench.store, rounds=10))
        for _ in range(bench.scale.rounds)
    ]
    return line(
        f"the same in a store of {RECORDS:,} records and {IMAGES:,} images",
        statistics.mean(ours for (ours, _), _ in pairs),
        statistics.mean(reference for _, (reference, _) in pairs),
        "the same in a store without them",
        1.1,
        max(peak for (_, peak), _ in pairs),
    )


def explained(bench: Bench, line: Callable[..., Line]) -> Line:
    """Two files of the tree have changed: which they are, against hashing all."""
    return bench.timed(
        f"a miss explained, 2 of {bench.scale.files:,} files changed, processor time",
        "SHA-256 of each file of the tree, in Python",
        0.5,
        ("explaining", bench.tree, bench.place / "lists"),
    )


def fill(index: Path) -> None:
    """Put records and images of others into a store's index."""
    with closing(sqlite3.connect(index)) as connection, connection:
        # Each row is a copy of one that is there, under a name of its own.
        for table, key, count in (("records", "key", RECORDS), ("images", "id", IMAGES)):
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            prefix = "" if table == "records" else "'sha256:' || "
            given = [
                f"{prefix}lower(hex(randomblob(32)))" if name == key else name for name in columns
            ]
            connection.execute(_FILL.format(count=count, table=table, columns=", ".join(given)))


def _beyond_start(bench: Bench, store: Path, *, rounds: int = 0) -> tuple[float, int]:
    """Return the seconds of processor time that many cached steps take beyond one, and the peak memory."""
    context = bench.place / "few"
    context.mkdir(exist_ok=True)
    (context / "a").write_text("a")
    one, many = dockerfile(1), dockerfile(STEPS)
    for text in (one, many):
        bench.build(store, text, context)
        bench.build(store, text, context)  # files younger than the clock's grain are read again
    found: list[float] = []
    peak = 0
    for _ in range(rounds or bench.scale.rounds * 6):
        few, lots = bench.build(store, one, context), bench.build(store, many, context)
        found.append(lots.cpu - few.cpu)
        peak = max(peak, lots.peak)
    bench.say(f"{STEPS} cached steps: {statistics.mean(found) * 1000:.1f} ms beyond one")
    # The kernel counts in ticks: a mean of many runs is finer than any of them.
    return statistics.mean(found), peak
