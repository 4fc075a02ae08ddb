"""Signals in every phase: the exit code that shells know, within a second, and nothing left."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.ground import TIME, Setting, litter, nothing_left, write_context
from tests.support.registry import Handler, hostile_registry
from tests.support.sample_image import sample_image

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
SECONDS = 1.0
"""After that the program has ended; the machine may be busy with other tests, hence the half second more."""
STUBBORN = "trap '' INT TERM HUP; echo start''ed; while :; do sleep 60; done"


def interrupted(
    setting: Setting, context: Path, number: signal.Signals, *, when: str, after: float = 0.0
) -> str:
    """Build until the output holds `when`, send a signal, and check how it ends; return the output."""
    words = setting.product.command("build", "--progress", "plain", context)
    started = setting.start(*words)
    assert started.stderr is not None
    said = ""
    while when not in said:
        line = started.stderr.readline()
        assert line, said
        said += line
    time.sleep(after)
    sent = time.monotonic()
    started.send_signal(number)
    try:
        _, rest = started.communicate(timeout=20)
    finally:
        started.kill()
    took = time.monotonic() - sent
    said += rest
    code = started.returncode
    # Before anything needs to be cleaned up, signals do what they do by default.
    assert (128 - code if code < 0 else code) == CODES[number], said
    assert took < SECONDS + 0.5, f"{took:.2f} s\n{said}"
    assert "Traceback" not in said
    if code > 0:
        assert "interrupted" in said
    nothing_left(setting.root)
    return said


@pytest.fixture
def place(setting: Setting) -> Path:
    """Return where a context may be written."""
    return setting.root.with_name(f"{setting.root.name}.context")


@pytest.mark.parametrize("number", CODES)
def test_command_that_ignores_signals_is_ended(
    number: signal.Signals, setting: Setting, place: Path, base: str
) -> None:
    write_context(place, base, f"FROM {{base}}\nRUN echo kept > /kept\nRUN {STUBBORN}\n")
    said = interrupted(setting, place, number, when=" started")
    assert litter(setting.root) == []
    dockerfile = place / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace(STUBBORN, "true"))
    assert "1 of 2 steps were cached" in setting.product.build(place).stderr, said


def test_commands_of_parallel_stages_are_ended(setting: Setting, place: Path, base: str) -> None:
    stages = "".join(
        f"FROM {{base}} AS s{number}\nRUN setsid sh -c 'sleep 60' & {STUBBORN}\n"
        for number in range(3)
    )
    copies = "".join(f"COPY --from=s{number} /etc /{number}\n" for number in range(3))
    write_context(place, base, f"{stages}FROM {{base}}\n{copies}")
    interrupted(setting, place, signal.SIGTERM, when=" started")
    assert litter(setting.root) == []


def test_command_with_endless_output_is_ended(setting: Setting, place: Path, base: str) -> None:
    write_context(place, base, "FROM {base}\nRUN trap '' INT; yes start''ed\n")
    interrupted(setting, place, signal.SIGINT, when=" started")


def test_long_copy_is_ended(setting: Setting, place: Path, base: str) -> None:
    write_context(place, base, "FROM {base}\nRUN true\nCOPY . /all\nRUN true\n")
    with open(place / "huge", "wb") as file:
        file.truncate(20 << 30)
    os.utime(place / "huge", (TIME, TIME))
    for after in (0.0, 0.5):
        interrupted(setting, place, signal.SIGINT, when="COPY . /all", after=after)
        assert litter(setting.root) == []


def test_digesting_a_changed_context_is_ended(setting: Setting, place: Path, base: str) -> None:
    write_context(place, base, "FROM {base}\nRUN true\nCOPY . /all\nRUN echo end\n")
    setting.product.build(place)
    with open(place / "huge", "wb") as file:
        file.truncate(20 << 30)
    os.utime(place / "huge", (TIME, TIME))
    interrupted(setting, place, signal.SIGINT, when="CACHED", after=0.3)


def test_unpacking_is_ended(setting: Setting, place: Path, base: str) -> None:
    write_context(place, base, "FROM {base}\nRUN true\n")
    interrupted(setting, place, signal.SIGTERM, when="RUN true")


@pytest.fixture
def silent() -> Iterator[str]:
    """Serve an image whose layer never comes."""

    def wait(handler: Handler) -> bool:
        del handler
        time.sleep(15)
        return True

    with hostile_registry() as registry:
        image = sample_image()
        registry.add("slow", "latest", image)
        registry.fault("GET", str(image.manifest.layers[0].digest), wait, times=-1)
        yield f"{registry.host}/slow:latest"


@pytest.mark.parametrize("number", CODES)
def test_pull_that_hangs_is_ended(
    number: signal.Signals, setting: Setting, place: Path, silent: str
) -> None:
    write_context(place, silent, "FROM {base}\nRUN true\n")
    interrupted(setting, place, number, when="pull", after=0.3)
    setting.product.run("images")
    assert litter(setting.root) == []


def launched(pid: int) -> None:
    """Wait until the program has begun: an interpreter that is interrupted while it starts says so itself."""
    end = time.monotonic() + 10
    while not Path(f"/proc/{pid}/task/{pid}/children").read_text():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_signal_at_any_moment_of_a_build(setting: Setting, context: Path) -> None:
    words = setting.product.command(*setting.words(archive=False))
    for number in range(6):
        for name in CODES:
            started = setting.start(*words)
            launched(started.pid)
            time.sleep(0.04 * number)
            sent = time.monotonic()
            started.send_signal(name)
            _, said = started.communicate(timeout=20)
            code = started.returncode
            assert (128 - code if code < 0 else code) in {0, CODES[name]}, said
            assert time.monotonic() - sent < SECONDS + 0.5, said
            assert "Traceback" not in said
            assert said.count("error[") <= 1
            nothing_left(setting.root)
    setting.build()
    assert litter(setting.root) == []


def test_second_signal_ends_at_once(setting: Setting, place: Path, base: str) -> None:
    write_context(place, base, f"FROM {{base}}\nRUN {STUBBORN}\n")
    started = setting.start(*setting.product.command("build", place))
    assert started.stderr is not None
    while "started" not in started.stderr.readline():
        pass
    for _ in range(5):
        started.send_signal(signal.SIGINT)
    _, said = started.communicate(timeout=20)
    assert started.returncode in {130, -signal.SIGINT}
    assert "Traceback" not in said
    nothing_left(setting.root)
    setting.product.run("images")
    assert litter(setting.root) == []


def test_launcher_that_is_killed_is_said(setting: Setting, place: Path, base: str) -> None:
    write_context(place, base, f"FROM {{base}}\nRUN {STUBBORN}\n")
    started = setting.start(*setting.product.command("build", place))
    assert started.stderr is not None
    while "started" not in started.stderr.readline():
        pass
    children = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    _, said = started.communicate(timeout=20)
    assert started.returncode == 1, said
    assert "error[build.launcher-gone]" in said
    nothing_left(setting.root)
    setting.product.run("images")
    assert litter(setting.root) == []
