"""Steps that take all they can get: they hurt themselves alone, within their limits, and leave nothing."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.faults.ground import Setting, litter, nothing_left, write_context
from tests.support.control_groups import groups, nothing_left_of_groups
from tests.support.product import report

BOMB = "f() {{ f | f & }}; f; sleep 1; echo over"
ENDLESS = "echo beg''un; sleep 60"
LIMITED = ("-m", "64m", "--resource", "pids=100", "--ulimit", "core=0")


@pytest.fixture
def place(setting: Setting) -> Path:
    """Return where a context may be written."""
    return setting.root.with_name(f"{setting.root.name}.greedy")


def is_fine(setting: Setting) -> None:
    """Check that nothing is left, and that the store still builds."""
    nothing_left(setting.root)
    assert litter(setting.root) == []


def test_a_step_that_forks_wildly_is_held(setting: Setting, place: Path, base: str) -> None:
    write_context(place, base, f"FROM {{base}}\nRUN {BOMB}\n")
    words = setting.product.command("build", "--progress", "plain", "--resource", "pids=60", place)
    done = setting.product.person.run(words, timeout=120)
    assert "can't fork" in done.stderr, report(done)
    assert "Traceback" not in done.stderr
    is_fine(setting)
    write_context(place / "next", base, "FROM {base}\nRUN echo fine\n")
    setting.product.build(place / "next")


def test_a_step_that_eats_memory_is_ended(setting: Setting, place: Path, base: str) -> None:
    hungry = "tail -c 400000000 /dev/zero >/dev/null; exit $?"
    write_context(place, base, f"FROM {{base}}\nRUN {hungry}\n")
    done = setting.product.run("build", "--progress", "plain", "-m", "64m", place, code=1)
    assert "Traceback" not in done.stderr
    if "cannot be set here" in done.stderr:
        assert "each process alone may have that much" in done.stderr, report(done)
        assert "out of memory" in done.stderr, report(done)
    else:
        assert "it reached the limit `memory=67108864`" in done.stderr, report(done)
    is_fine(setting)


def most_memory(pid: int) -> int:
    """Return the most that a program has used so far, in KiB; what its process was before it began does not count."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line), 0)


def test_a_step_that_floods_its_output_takes_no_memory_of_the_builder(
    setting: Setting, place: Path, base: str
) -> None:
    write_context(place, base, "FROM {base}\nRUN yes | head -c 300000000\n")
    started = setting.start(*setting.product.command("build", "-q", place))
    most = 0
    while started.poll() is None:
        most = max(most, most_memory(started.pid))
        time.sleep(0.02)
    started.communicate()
    assert started.returncode == 0
    assert 10_000 < most < 100_000  # KiB
    room = setting.root / "builds"
    assert sum(path.stat().st_size for path in room.iterdir()) < 150 << 20
    is_fine(setting)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_made_for_a_step_goes_with_it(
    number: signal.Signals, setting: Setting, place: Path, base: str
) -> None:
    before = groups()
    write_context(place, base, f"FROM {{base}}\nRUN {ENDLESS}\n")
    private = ("--network", "private") if setting.product.person.uid == 0 else ()
    words = setting.product.command("build", "--progress", "plain", *LIMITED, *private, place)
    started = setting.start(*words)
    assert started.stderr is not None
    said = ""
    while "begun" not in said:
        line = started.stderr.readline()
        if "network private" in line:
            pytest.skip("optional: needs slirp4netns and /dev/net/tun")
        assert line, said
        said += line
    inside = descendants(started.pid)
    assert len(inside) > 1
    started.send_signal(number)
    started.communicate(timeout=20)
    nothing_left(setting.root)
    end = time.monotonic() + 5
    while left := [pid for pid in inside if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < end, left
        time.sleep(0.01)
    nothing_left_of_groups(before)


@pytest.mark.parametrize("user", ["root"], indirect=True)  # who alone makes control groups
def test_groups_of_a_build_that_was_killed_with_its_launcher_are_swept_by_the_next(
    setting: Setting, place: Path, base: str
) -> None:
    before = groups()
    write_context(place, base, f"FROM {{base}}\nRUN {ENDLESS}\n")
    started = setting.start(
        *setting.product.command("build", "--progress", "plain", *LIMITED, place)
    )
    assert started.stderr is not None
    while "begun" not in started.stderr.readline():
        pass
    inside = descendants(started.pid)
    launcher = next(pid for pid, parent in inside.items() if parent == started.pid)
    os.kill(started.pid, signal.SIGSTOP)  # so that it is not the one that ends the step
    os.kill(launcher, signal.SIGKILL)
    os.kill(started.pid, signal.SIGKILL)
    started.communicate(timeout=20)
    nothing_left(setting.root)
    left = groups() - before
    assert left
    write_context(place / "next", base, "FROM {base}\nRUN echo next\n")
    setting.product.build(place / "next")
    assert not left & groups()


def descendants(pid: int) -> dict[int, int]:
    """Return the processes that a process has started, directly or not, and their parents."""
    found: dict[int, int] = {}
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        try:
            tasks = os.listdir(f"/proc/{one}/task")
            lists = [Path(f"/proc/{one}/task/{task}/children").read_text() for task in tasks]
        except OSError:
            continue
        for child in " ".join(lists).split():
            found[int(child)] = one
            waiting.append(int(child))
    return found
