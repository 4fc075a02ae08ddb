"""The last line of a build: what came out, how large, how long it took, how much was cached."""

from __future__ import annotations

from builder.ui.cells import neutral
from builder.ui.size import duration, size
from builder.ui.style import PLAIN, Palette

_SHORT = 12


def short_id(image_id: str) -> str:
    """Return the first twelve digits of an id, as Docker shows it."""
    return image_id.removeprefix("sha256:")[:_SHORT]


def summary(
    *,
    image_id: str | None,
    names: tuple[str, ...],
    bytes_: int,
    seconds: float,
    steps: int,
    cached: int,
    platforms: tuple[str, ...] = (),
    palette: Palette = PLAIN,
) -> str:
    """Return one line without a newline; `image_id` is None when only files were written, `platforms` are told if several."""
    what = ", ".join(map(neutral, names))
    if image_id is not None:
        identity = short_id(image_id)
        what = f"{what} ({identity}, {size(bytes_)})" if what else f"{identity} ({size(bytes_)})"
    if len(platforms) > 1:
        what = f"{what} for {', '.join(platforms)}"
    built = f"Built {palette.paint(palette.strong, what)}" if what else "Finished"
    return f"{built} in {duration(seconds)}, {_cached(steps, cached)}"


def _cached(steps: int, cached: int) -> str:
    if steps == 0:
        return "no steps to run"
    if cached == steps:
        return "the only step was cached" if steps == 1 else f"all {steps} steps were cached"
    return f"{cached} of {steps} {'step was' if steps == 1 else 'steps were'} cached"
