"""What every test of the suite shares: profiles, closed sockets for pure tests, and honest skips."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import pytest_socket

HERE = Path(__file__).parent

hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("fuzz", deadline=None, max_examples=5_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def _take_signals() -> None:
    """Let signals end what tests start, also where the suite runs in the background or under `nohup`."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(
                number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            )


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--strict-skips`."""
    parser.addoption(
        "--strict-skips",
        action="store_true",
        help="fail when a test was skipped, unless its reason begins with `optional:`",
    )


@pytest.fixture(autouse=True)
def _closed_sockets(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let pure tests open no sockets but those of the file system."""
    if not request.path.is_relative_to(HERE / "unit"):
        yield
        return
    pytest_socket.disable_socket(allow_unix_socket=True)
    try:
        yield
    finally:
        pytest_socket.enable_socket()


class SkipKeeper:
    """Collects the reasons of skips, and turns those that are not optional into a failure."""

    def __init__(self) -> None:
        self.reasons: dict[str, int] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count the reason of a skipped test."""
        if report.skipped and isinstance(report.longrepr, tuple):
            reason = report.longrepr[2].removeprefix("Skipped: ")
            if not reason.startswith("optional:"):
                self.reasons[reason] = self.reasons.get(reason, 0) + 1

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a run that was green only because something was left out."""
        if self.reasons and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name what was left out."""
        if self.reasons:
            terminalreporter.section("skipped, though --strict-skips allows none")
            for reason, times in sorted(self.reasons.items()):
                terminalreporter.write_line(f"{times} x {reason}")


def pytest_configure(config: pytest.Config) -> None:
    """Watch the skips where that was asked for."""
    _take_signals()
    if config.getoption("--strict-skips"):
        config.pluginmanager.register(SkipKeeper())
