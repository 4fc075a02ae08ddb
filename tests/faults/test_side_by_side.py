"""Many commands in one store at once: right results, no litter, and nobody spins while it waits."""

from __future__ import annotations

import os
import resource
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.faults.ground import (
    Content,
    Setting,
    content,
    index_rows,
    litter,
    nothing_left,
    write_context,
)
from tests.support.trees import differences


def finished(started: list[subprocess.Popen[str]], *, codes: tuple[int, ...] = (0,)) -> list[str]:
    """Wait for commands; return what they said on standard error."""
    said = [each.communicate(timeout=120)[1] for each in started]
    for each, text in zip(started, said, strict=True):
        assert each.returncode in codes, text
        assert "Traceback" not in text
    return said


def archives(setting: Setting, count: int) -> list[Path]:
    """Return names for archives."""
    return [
        setting.archive.with_name(f"{setting.archive.name}-{number}") for number in range(count)
    ]


def test_same_build_eight_times_at_once(
    setting: Setting, user: str, undisturbed: dict[str, Content]
) -> None:
    paths = archives(setting, 8)
    finished(
        [
            setting.start(*setting.product.command(*setting._replace(archive=path).words()))
            for path in paths
        ]
    )
    for path in paths:
        found = content(path)
        path.unlink()
        assert differences(undisturbed[user].tree, found.tree) == []
        assert undisturbed[user].times == found.times
    assert litter(setting.root) == []
    assert "all 8 steps were cached" in setting.build().stderr


def test_eight_different_builds_at_once(
    setting: Setting, user: str, base: str, undisturbed: dict[str, Content]
) -> None:
    started = []
    for number in range(8):
        context = setting.root.with_name(f"{setting.root.name}-{number}.context")
        lines = (
            f"RUN echo {number} > /number\nCOPY tree /in\nRUN rm /number && echo {number} > /n\n"
        )
        write_context(context, base, f"FROM {{base}}\n{lines}")
        words = ("build", "-t", f"p{number}", context)
        started.append(setting.start(*setting.product.command(*words)))
    finished(started)
    for number in range(8):
        done = setting.product.run("run", "--rm", f"p{number}", "cat", "/n", "/number", code=1)
        assert done.stdout == f"{number}\n"
    assert litter(setting.root) == []


def test_eight_builds_beside_prune_and_rmi(
    setting: Setting, user: str, undisturbed: dict[str, Content]
) -> None:
    stop = time.monotonic() + 8
    problems: list[str] = []

    def remove() -> None:
        while time.monotonic() < stop:
            for words in (("rmi", "-f", "p"), ("prune", "--all", "--force")):
                done = setting.product.run(*words, code=None)
                if done.returncode:
                    problems.append(done.stderr)

    def build(archive: Path) -> None:
        each = setting._replace(archive=archive)
        while time.monotonic() < stop:
            done = each.product.run(*each.words(), code=None)
            if done.returncode:
                problems.append(done.stderr)
                continue
            found = content(archive)
            problems.extend(differences(undisturbed[user].tree, found.tree))
            archive.unlink()

    threads = [threading.Thread(target=remove)]
    threads += [threading.Thread(target=build, args=(path,)) for path in archives(setting, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    setting.build()
    assert litter(setting.root) == []


def test_base_unpacked_twice_at_once_leaves_one_directory(
    setting: Setting, place: Path, base: str
) -> None:
    write_context(place, base, "FROM {base}\nRUN true\n")
    setting.product.run("pull", base)
    for _ in range(2):
        finished(
            [
                setting.start(*setting.product.command("build", "--no-cache", place))
                for _ in range(4)
            ]
        )
        assert litter(setting.root) == []
        rows = index_rows(setting.root, "SELECT diff_id FROM directories")
        assert len(rows) == len(set(rows)) == len(os.listdir(setting.root / "layers"))
        # Once more, from a blob alone.
        setting.product.run("rmi", "-f", base)
        setting.product.run("prune", "--all", "--force")
        setting.product.run("pull", base)


@pytest.fixture
def place(setting: Setting) -> Path:
    """Return where a context may be written."""
    return setting.root.with_name(f"{setting.root.name}.context")


def test_prune_leaves_a_dying_step_alone(setting: Setting, place: Path, base: str) -> None:
    write_context(place, base, "FROM {base}\nRUN echo started; sleep 60\n")
    for _ in range(3):
        started = setting.start(*setting.product.command("build", "--progress", "plain", place))
        assert started.stderr is not None
        while " started" not in started.stderr.readline():
            pass
        started.kill()
        setting.product.run("prune", "--all", "--force")
        started.communicate()
        nothing_left(setting.root)
    setting.product.run("images")
    assert litter(setting.root) == []


def test_waiting_costs_no_time_of_the_processor(setting: Setting, place: Path, base: str) -> None:
    write_context(place, base, "FROM {base} AS one\nRUN sleep 3\nFROM one\nRUN true\n")
    setting.product.run("pull", base)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    finished(
        [setting.start(*setting.product.command("build", "--no-cache", place)) for _ in range(2)]
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert used < 2.0, f"{used:.1f} s for two builds that mostly sleep"
