"""The program as a process: what it imports, how it ends, and what signals do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]

_HEAVY = (
    "asyncio",
    "concurrent.futures",
    "csv",
    "dataclasses",
    "difflib",
    "dockerfile_parse",
    "email",
    "http.client",
    "importlib.metadata",
    "isal",
    "json",
    "logging",
    "multiprocessing",
    "pathlib",
    "requests",
    "rich",
    "shutil",
    "socket",
    "ssl",
    "subprocess",
    "tarfile",
    "traceback",
    "urllib.parse",
    "zstandard",
)

_BUILD = """
import sys
before = set(sys.modules)
from types import SimpleNamespace
from contextlib import contextmanager

class Engine:
    cancellation = SimpleNamespace(cancel=lambda number: None)
    def build(self, request, events):
        from builder.events import Outcome, VertexDone, VertexStarted
        events.emit(VertexStarted(id=1, name="a"))
        events.emit(VertexDone(id=1, outcome=Outcome.CACHED))
        from builder.engine.requests import BuildResult
        return BuildResult(image_id="sha256:" + "a" * 64, names=("a",), digest=None, size=1,
                           steps=1, cached=1, seconds=0.1)

@contextmanager
def open_engine(settings, launcher):
    yield Engine()

from builder.cli.application import main
from builder.cli.invocation import Invocation
assert main(["build", "-t", "a", "."], Invocation(open_engine=open_engine)) == 0
print("\\n".join(set(sys.modules) - before))
"""

_SIGNALS = """
import sys, threading
from types import SimpleNamespace
from contextlib import contextmanager

class Engine:
    def __init__(self):
        self.over = threading.Event()
        self.number = 0
        self.cancellation = SimpleNamespace(cancel=self.cancel)
    def cancel(self, number):
        self.number = number
        self.over.set()
    def tag(self, source, target):
        print("ready", flush=True)
        if not self.over.wait(30):
            raise AssertionError
        if source == "stuck":
            print("stuck", flush=True)
            threading.Event().wait(30)
        raise OSError(4, "a consequence of the signal")

@contextmanager
def open_engine(settings, launcher):
    yield Engine()

import builder.cli.invocation
from builder.cli import start
make = builder.cli.invocation.Invocation
builder.cli.invocation.Invocation = lambda launcher: make(launcher, open_engine)
sys.argv = ["lapstrake", "tag", sys.argv[1], "b"]
start.lapstrake()
"""


def start(script: str, *words: str, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]
    )


def program(*words: str) -> list[str]:
    script = "import sys; from builder.cli.start import lapstrake; sys.argv[0] = 'lapstrake'; lapstrake()"
    return [sys.executable, "-c", script, *words]


def test_cached_build_imports_nothing_heavy() -> None:
    with start(_BUILD) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    modules = set(out.split())
    assert "builder.cli.build" in modules
    assert not modules.intersection(_HEAVY)
    verbs = {name for name in modules if name.startswith("builder.cli.")}
    assert not verbs.intersection({"builder.cli.run", "builder.cli.pull", "builder.cli.images"})


def test_nothing_but_the_catalogue_is_imported_before_the_launcher() -> None:
    script = (
        "import sys; before = set(sys.modules); import builder.cli.start;"
        "print('\\n'.join(set(sys.modules) - before))"
    )
    with start(script) as process:
        out, _ = process.communicate(timeout=60)
    assert not {"click", "msgspec", "signal", "socket", "threading"}.intersection(out.split())


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signal_cancels_the_engine_and_names_the_exit_code(number: int, code: int) -> None:
    with start(_SIGNALS, "a") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err == "error[build.cancelled]: interrupted\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -15)])
def test_second_signal_ends_at_once(number: int, code: int) -> None:
    with start(_SIGNALS, "stuck") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.readline() == "stuck\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in err


def test_ignored_hang_up_stays_ignored() -> None:
    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with start(_SIGNALS, "a", preexec_fn=ignore) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 143


def test_reader_that_has_gone_makes_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run(
        program("--help"), cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60
    )
    os.close(writer)
    assert result.returncode == 141
    assert result.stderr == ""


@pytest.mark.parametrize("words", [("version",), ("--help",), ("--version",)])
def test_a_full_standard_output_is_told_in_one_line(words: tuple[str, ...]) -> None:
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            program(*words), cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    said = "error[output]: cannot write to standard output: No space left on device\n"
    assert (result.returncode, result.stderr) == (1, said)


def test_a_full_standard_error_makes_no_traceback_and_keeps_the_exit_code() -> None:
    with open("/dev/full", "wb") as full:
        result = subprocess.run(program("nonsense"), cwd=ROOT, stderr=full, timeout=60)
    assert result.returncode == 125


_CLOSED = """
import os, sys
os.close(int(sys.argv[1]))
os.execv(sys.executable, [sys.executable, "-c", sys.argv[2], *sys.argv[3:]])
"""

_OPENED = """
import os
from builder.cli import start
def main(words, invocation):
    null = os.stat(os.devnull).st_rdev
    return sum(1 << number for number in range(3) if os.fstat(number).st_rdev == null)
start._launcher = lambda words: None
import builder.cli.application
builder.cli.application.main = main
start.lapstrake()
"""


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_descriptor_that_the_caller_closed_is_the_null_device(number: int) -> None:
    with start(_CLOSED, str(number), _OPENED, stdin=subprocess.PIPE) as process:
        process.communicate(timeout=60)
    assert process.returncode == 1 << number


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_closed_descriptor_makes_no_traceback(number: int) -> None:
    with start(_CLOSED, str(number), program("version")[2], "version") as process:
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")


@pytest.mark.parametrize("words", [("build", "-o", "-", "."), ("save", "a")])
def test_no_archive_is_lost_in_an_output_that_is_closed(words: tuple[str, ...]) -> None:
    with start(_CLOSED, "1", program(*words)[2], *words) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 125
    assert "standard output, which is closed" in err


def test_build_is_short_for_lapstrake_build() -> None:
    script = "import sys; from builder.cli.start import build; sys.argv = ['build', '--nonsense']; build()"
    script = "import builder.cli.start as s; s._launcher = lambda words: None; " + script
    with start(script) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 125
    assert "unknown flag: `--nonsense`" in err
    assert "lapstrake build --help" in err
