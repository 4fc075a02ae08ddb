"""A step that runs again and comes to the same files keeps what follows cached: its times too, and the image's digest."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.events import Outcome
from tests.build.workshop import Built, Workshop

FOLLOWS = "RUN cat /proc/sys/kernel/random/uuid > /when\nCOPY a /copied\nRUN cat /when /f"
Change = Callable[[Workshop, Path], dict[str, Any]]


def command(_shop: Workshop, context: Path) -> dict[str, Any]:
    edit(context, "cp /src /f", "cat /src > /f")
    return {}


def argument(_shop: Workshop, _context: Path) -> dict[str, Any]:
    return {"build_args": (("V", "2"),)}


def bound(_shop: Workshop, context: Path) -> dict[str, Any]:
    (context / "beside").write_text("other")
    return {}


def filtered(_shop: Workshop, _context: Path) -> dict[str, Any]:
    return {"no_cache_filter": ("first",)}


def lost(shop: Workshop, _context: Path) -> dict[str, Any]:
    shop.engine._store.db.execute("DELETE FROM records WHERE instr(parts, ?)", (b"cp /src /f",))
    return {}


def expired(shop: Workshop, _context: Path) -> dict[str, Any]:
    shop.engine._store.db.execute(
        "UPDATE records SET created = created - 5000 WHERE instr(parts, ?)", (b"cp /src /f",)
    )
    return {"cache_ttl": 4000}


def edit(context: Path, old: str, new: str) -> None:
    path = context / "Dockerfile"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def words(built: Built) -> list[Outcome]:
    return [outcome for _, outcome in built.watch.outcomes()]


@pytest.mark.parametrize("change", [command, argument, bound, filtered, lost, expired])
def test_whatever_makes_a_step_run_again(fresh: Workshop, context: Path, change: Change) -> None:
    (context / "a").write_text("a")
    (context / "beside").write_text("b")
    text = f"""FROM base AS first
ARG V=1
RUN echo same > /src
RUN --mount=type=bind,target=/context touch /tmp; cp /src /f
FROM base
COPY --from=first /f /f
{FOLLOWS}
"""
    first = fresh.build(context, text)
    time.sleep(1.1)
    again = fresh.build(context, **change(fresh, context))
    assert Outcome.SAME in words(again)
    assert words(again)[-4:] == [Outcome.CACHED] * 4
    assert again.image.diff_ids == first.image.diff_ids
    assert again.id == first.id
    assert fresh.build(
        context, **({} if change is not argument else change(fresh, context))
    ).id == (first.id)


def test_a_changed_command_in_the_image_itself_keeps_the_layers(
    fresh: Workshop, context: Path
) -> None:
    (context / "a").write_text("a")
    first = fresh.build(context, f"RUN echo 1 > /f\n{FOLLOWS}")
    time.sleep(1.1)
    again = fresh.build(context, f"RUN printf '1\\n' > /f\n{FOLLOWS}")
    assert words(again) == [Outcome.SAME] + [Outcome.CACHED] * 3
    # The history says another command, so only the layers and their times are the same.
    assert again.image.diff_ids == first.image.diff_ids
    times = [line["created"] for line in again.image.document["history"]]
    assert times == [line["created"] for line in first.image.document["history"]]
    assert again.image.document["created"] == first.image.document["created"]


def test_a_copy_whose_files_are_the_same_again_keeps_what_follows(
    fresh: Workshop, context: Path
) -> None:
    (context / "a").write_text("a")
    first = fresh.build(context, f"COPY a /f\n{FOLLOWS}")
    time.sleep(1.1)
    fresh.engine._store.db.execute("DELETE FROM records WHERE length(observations) > 1")
    again = fresh.build(context)
    assert words(again) == [Outcome.SAME, Outcome.CACHED, Outcome.SAME, Outcome.CACHED]
    assert again.id == first.id


def test_a_result_that_differs_by_one_bit_runs_what_follows(fresh: Workshop, context: Path) -> None:
    (context / "a").write_text("a")
    first = fresh.build(context, f"RUN echo 1 > /f\n{FOLLOWS}")
    for other in ("echo 1 > /f; chmod +x /f", "echo 1 > /f; chown 1 /f", "echo 2 > /f"):
        again = fresh.build(context, f"RUN {other}\n{FOLLOWS}")
        assert words(again)[:2] == [Outcome.EXECUTED, Outcome.EXECUTED]
        assert again.image.diff_ids != first.image.diff_ids
