"""`kill -9` of the builder, at every point where something becomes final, and at any other moment."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import pytest

from tests.faults.ground import (
    Content,
    Setting,
    cached_steps,
    content,
    litter,
    nothing_left,
    recorded_steps,
)
from tests.support.trees import differences

T = TypeVar("T")

PROGRAM = Path(__file__).with_name("interrupted_program.py")


@pytest.fixture
def program(ground: Path) -> Path:
    """Return the program that kills itself, where every user can read it."""
    target = ground / PROGRAM.name
    shutil.copyfile(PROGRAM, target)
    target.chmod(0o644)
    return target


def killed_at(setting: Setting, program: Path, point: int, trace: Path) -> int:
    """Build, and be killed at a point; return how the builder ended."""
    python = setting.product.programs / "python"
    words = setting.product.command(*setting.words(archive=False))[1:]
    started = setting.start(python, program, str(point), trace, *words)
    started.communicate(timeout=60)
    return started.returncode


def recovers(setting: Setting, undisturbed: Content) -> None:
    """Check everything that is promised after a kill."""
    nothing_left(setting.root)
    recorded = recorded_steps(setting.root)
    done = setting.build()
    assert cached_steps(done) >= recorded
    found = content(setting.archive)
    assert differences(undisturbed.tree, found.tree) == []
    assert undisturbed.times == found.times
    nothing_left(setting.root)
    assert litter(setting.root) == []


def points(setting: Setting, program: Path) -> list[str]:
    """Return the points of an undisturbed build."""
    trace = setting.root.parent / f"{setting.root.name}.trace"
    assert killed_at(setting, program, 0, trace) == 0
    found = trace.read_text().splitlines()
    trace.unlink()
    setting.forget()
    return found


def kills(
    setting: Setting,
    undisturbed: Content,
    moments: Iterable[T],
    kill: Callable[[Setting, T], str],
) -> None:
    """Kill one build of a new store for each of `moments`, and look at what comes of it."""
    failed: list[str] = []
    for number, moment in enumerate(moments):
        each = setting.with_root(setting.root.with_name(f"{setting.root.name}-{number}"))
        where = kill(each, moment)
        try:
            recovers(each, undisturbed)
        except AssertionError as error:
            failed.append(f"killed {where}: {error}")
        each.forget()
    assert not failed, "\n".join(failed)


def kills_at_points(setting: Setting, undisturbed: Content, program: Path, chosen: slice) -> None:
    """Kill a build at the points of a build that are chosen."""
    trace = setting.root.parent / f"{setting.root.name}.trace"
    assert killed_at(setting, program, 0, trace) == 0
    count = len(trace.read_text().splitlines())
    setting.forget()

    def kill(each: Setting, number: int) -> str:
        trace.unlink()
        # Threads take turns as they like: there may be fewer points this time.
        assert killed_at(each, program, number, trace) in {-signal.SIGKILL, 0}
        reached = trace.read_text().splitlines()
        return "at " + next((line for line in reached if line.startswith(f"{number} ")), "the end")

    kills(setting, undisturbed, range(1, count + 1)[chosen], kill)
    trace.unlink()


def test_next_build_goes_on_after_a_kill_at_a_commit_point(
    setting: Setting,
    user: str,
    program: Path,
    undisturbed: dict[str, Content],
) -> None:
    share = slice(0, None, 4) if user == "root" else slice(1, None, 12)
    kills_at_points(setting, undisturbed[user], program, share)


@pytest.mark.slow
def test_next_build_goes_on_after_a_kill_at_any_commit_point(
    setting: Setting,
    user: str,
    program: Path,
    undisturbed: dict[str, Content],
) -> None:
    kills_at_points(setting, undisturbed[user], program, slice(0, None))


def kills_at_times(setting: Setting, undisturbed: Content, count: int, seed: str) -> None:
    """Kill builds after a while, the same ones for the same seed; some may have ended."""
    begun = time.monotonic()
    setting.product.run(*setting.words(archive=False))
    longest = time.monotonic() - begun
    setting.forget()
    chance = random.Random(seed)

    def kill(each: Setting, seconds: float) -> str:
        started = each.start(*each.product.command(*each.words(archive=False)))
        time.sleep(seconds)
        started.kill()
        started.communicate(timeout=60)
        return f"after {seconds:.4f} of {longest:.4f} s"

    moments = [chance.uniform(0, longest) for _ in range(count)]
    kills(setting, undisturbed, moments, kill)


def test_next_build_goes_on_after_a_kill_at_a_random_moment(
    setting: Setting, user: str, undisturbed: dict[str, Content]
) -> None:
    kills_at_times(setting, undisturbed[user], 10, f"{user} 1")


@pytest.mark.slow
def test_next_build_goes_on_after_a_kill_at_any_of_100_random_moments(
    setting: Setting, user: str, undisturbed: dict[str, Content]
) -> None:
    kills_at_times(setting, undisturbed[user], 100, f"{user} 2")
