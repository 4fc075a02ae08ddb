"""The line about the list of images: a thousand of them, beyond what any command takes to start."""

from __future__ import annotations

import sqlite3
import statistics
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.bench.lines import Bench, Line

IMAGES = 1_000
LAYERS = 8
GOAL_SECONDS = 0.2


def listed(bench: Bench, line: Callable[..., Line]) -> Line:
    """`images` against `version`, in turns."""
    store = bench.place / "thousand"
    bench.prepare(store)
    fill(store / "index.db")
    found: list[float] = []
    peak = 0
    for _ in range(bench.scale.rounds * 3):
        started = bench.lapstrake(store, "version").seconds
        run = bench.lapstrake(store, "images")
        found.append(run.seconds - started)
        peak = max(peak, run.peak)
    bench.say(f"images: {statistics.median(found) * 1000:.1f} ms beyond version")
    return line(
        f"`images` in a store of {IMAGES:,} images of {LAYERS} layers, less `version`",
        statistics.median(found),
        GOAL_SECONDS,
        "what that may take",
        1,
        peak,
    )


def fill(index: Path) -> None:
    """Put images into a store's index, under a name each; half of their layers are shared by ten of them."""

    def layers(number: int) -> list[str]:
        own = [number * LAYERS + place for place in range(LAYERS // 2)]
        shared = [-(number // 10 * LAYERS + place + 1) % (1 << 250) for place in range(LAYERS // 2)]
        return [f"sha256:{each:064x}" for each in shared + own]

    numbers = range(IMAGES)
    with closing(sqlite3.connect(index)) as connection, connection:
        connection.executemany(
            "INSERT OR IGNORE INTO layers (diff_id, content_id, size, entries, created, boot)"
            " VALUES (?, ?, 4096, 3, 0, '')",
            ((each, each[7:]) for number in numbers for each in layers(number)),
        )
        connection.executemany(
            "INSERT INTO images (id, manifest, created, size, layers) VALUES (?, NULL, ?, 0, ?)",
            ((f"sha256:{n:064x}", 1.7e9 + n, " ".join(layers(n))) for n in numbers),
        )
        connection.executemany(
            "INSERT INTO names (reference, image, digest) VALUES (?, ?, NULL)",
            ((f"registry.example.com/team/app-{n % 50}:v{n}", f"sha256:{n:064x}") for n in numbers),
        )
