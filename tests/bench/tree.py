"""The tree that is copied: the same one every time, of small and middling files."""

from __future__ import annotations

import random
from pathlib import Path

FILES_PER_DIRECTORY = 100


def make_tree(target: Path, *, files: int, size: int) -> Path:
    """Write `files` files of `size` bytes in all below `target`, unless they are there already."""
    done = target.with_name(f"{target.name}.{files}.{size}")
    if done.exists():
        return target
    source = random.Random(20_000)
    weights = [source.expovariate(1) for _ in range(files)]
    scale = size / sum(weights)
    for number, weight in enumerate(weights):
        directory = target / f"part{number // 10_000}" / f"group{number // FILES_PER_DIRECTORY}"
        if number % FILES_PER_DIRECTORY == 0:
            directory.mkdir(parents=True, exist_ok=True)
        (directory / f"file{number}.dat").write_bytes(source.randbytes(max(1, int(weight * scale))))
    done.touch()
    return target
