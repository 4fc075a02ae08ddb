"""The line about pruning: ten times as many layers take ten times as long."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.bench.lines import Bench, Line

PRUNING = Path(__file__).with_name("pruning.py")


def pruned(bench: Bench, line: Callable[..., Line]) -> Line:
    """All layers of a store, against ten times a tenth of them."""
    count = bench.scale.files // 5
    runs: list[tuple[float, float, int]] = []
    for _ in range(max(2, bench.scale.rounds - 2)):
        answer = subprocess.run(
            [bench.programs / "python", "-I", PRUNING, bench.place / "pruned", str(count)],
            check=True,
            capture_output=True,
            text=True,
        )
        ours, reference, peak = json.loads(answer.stdout)
        runs.append((ours, reference, peak))
    bench.say(f"prune: {runs[-1][0]:.2f} s for {count:,} layers")
    return line(
        f"`prune` of {count:,} layers of 4 files, processor time",
        statistics.median(ours for ours, _, _ in runs),
        statistics.median(reference for _, reference, _ in runs),
        f"ten times the same of {count // 10:,} layers",
        1.2,
        max(peak for _, _, peak in runs),
    )
