"""However a build ends, no finished step is lost, and the step that ended it can be looked into afterwards."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.ground import Setting, litter, nothing_left, write_context
from tests.faults.small_disk import SmallDisk, small_disk
from tests.support.product import report

DONE = ("FROM {base}", "RUN echo one > /one", "COPY tree /in/tree", "RUN echo two > /two")
STEPS = len(DONE) - 1
LOOK = "cat /one /two && ls /in/tree && ls /three"


@pytest.fixture
def place(setting: Setting) -> Path:
    """Return where a context may be written."""
    return setting.root.with_name(f"{setting.root.name}.context")


def context_of(place: Path, base: str, *last: str) -> Path:
    """Write a context with finished steps and what comes after them."""
    return write_context(place, base, "\n".join((*DONE, *last, "")))


def nothing_is_lost(setting: Setting, context: Path) -> None:
    """Check that a build with another last step runs that one alone."""
    nothing_left(setting.root)
    path = context / "Dockerfile"
    kept = path.read_text().splitlines()[: len(DONE)]
    path.write_text("\n".join([*kept, "RUN cat /one /two", ""]))
    done = setting.product.run("build", "--progress", "plain", context)
    assert f", {STEPS} of {STEPS + 1} " in done.stderr.rstrip().splitlines()[-1], report(done)
    assert litter(setting.root) == []


def ends(setting: Setting, context: Path, number: signal.Signals) -> None:
    """Build until the last step sleeps, and send the builder a signal."""
    started = setting.start(*setting.product.command("build", "--progress", "plain", context))
    assert started.stderr is not None
    while "RUN sleep" not in (line := started.stderr.readline()):
        assert line
    time.sleep(0.5)
    started.send_signal(number)
    started.communicate(timeout=20)


def test_after_a_step_has_failed(setting: Setting, place: Path, base: str) -> None:
    context = context_of(place, base, "RUN echo three > /three; chown 7:8 /three; exit 1")
    setting.product.run("build", "--keep-failed", context, code=1)
    looked = setting.product.run("debug", "--", "sh", "-c", LOOK)
    assert looked.stdout.split()[:2] == ["one", "two"]
    assert looked.stdout.endswith("/three\n")
    nothing_is_lost(setting, context)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_after_the_builder_was_interrupted_or_killed(
    setting: Setting, place: Path, base: str, number: signal.Signals
) -> None:
    context = context_of(place, base, "RUN sleep 60")
    ends(setting, context, number)
    looked = setting.product.run("debug", "--", "sh", "-c", LOOK, code=1)
    assert looked.stdout.split()[:2] == ["one", "two"]
    assert "RUN sleep 60: the files are as they were before it" in looked.stderr
    nothing_is_lost(setting, context)


def test_after_a_kill_in_the_first_step_that_was_not_cached(
    setting: Setting, place: Path, base: str
) -> None:
    context = context_of(place, base)
    setting.product.run("build", context)
    path = context / "Dockerfile"
    path.write_text(path.read_text() + "RUN sleep 60\n")
    ends(setting, context, signal.SIGKILL)
    looked = setting.product.run("debug", "--", "cat", "/two")
    assert looked.stdout == "two\n"
    assert "RUN sleep 60" in looked.stderr
    nothing_is_lost(setting, context)


@pytest.fixture
def disk(setting: Setting) -> Iterator[SmallDisk]:
    """Return a small disk for the user's store."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    ground = setting.root.with_name(f"{setting.root.name}.disk")
    ground.mkdir()
    with small_disk(ground, setting.product.person.uid) as disk:
        try:
            os.setxattr(disk.seen, "user.test", b"")
        except OSError:
            pytest.skip("optional: tmpfs has no user attributes before Linux 6.6")
        yield disk
    ground.rmdir()


@pytest.mark.parametrize("keep", [(), ("--keep-failed",)], ids=["dropped", "kept"])
def test_after_a_step_has_filled_the_disk(
    disk: SmallDisk, setting: Setting, place: Path, base: str, keep: tuple[str, ...]
) -> None:
    context = context_of(place, base, "RUN dd if=/dev/zero of=/three bs=64k")
    small = disk.setting(setting)
    done = small.product.run("build", "--progress", "plain", *keep, context, code=1)
    assert "error[build.run-failed]" in done.stderr, report(done)
    looked = small.product.run("debug", "--", "cat", "/one", "/two", code=None)
    if not keep:
        assert looked.stdout == "one\ntwo\n", report(looked)
    found = os.statvfs(disk.seen)
    assert found.f_bavail > found.f_blocks // 2, "a full disk is of no use to anybody"
    path = context / "Dockerfile"
    path.write_text(
        "\n".join([*path.read_text().splitlines()[: len(DONE)], "RUN cat /one /two", ""])
    )
    again = small.product.run("build", "--progress", "plain", context)
    assert f", {STEPS} of {STEPS + 1} " in again.stderr.rstrip().splitlines()[-1], report(again)
    assert litter(disk.seen / "store") == []
