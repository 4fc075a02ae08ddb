from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading

import pytest

from builder.errors import Cancelled
from builder.events import VertexFailed, VertexLog, VertexStarted, Warned
from builder.settings import read
from builder.ui import plain
from builder.ui.progress import ProgressPrinter, open_progress
from tests.unit.builder.ui.recorded import GOOD, WARNING

SETTINGS = read({}, 0, "/root")


def shown(mode: str) -> str:
    stream = io.StringIO()
    with open_progress(mode, stream, SETTINGS) as progress:
        for event in GOOD:
            progress.emit(event)
    return stream.getvalue()


def test_auto_writes_lines_where_nobody_looks() -> None:
    assert shown("auto") == shown("plain") == shown("tty")
    assert shown("plain").startswith("#1 [internal] load build definition\n")


def test_quiet_writes_nothing() -> None:
    assert shown("quiet") == ""


def test_rawjson_writes_one_object_for_each_event() -> None:
    documents = [json.loads(line) for line in shown("rawjson").splitlines()]
    assert [document["type"] for document in documents] == [type(e).__name__ for e in GOOD]
    assert documents[8]["data"] == "Y2MgLWMgYS5jCmNjIC1j"


@pytest.mark.parametrize("mode", ["plain", "quiet", "rawjson"])
def test_warnings_are_remembered_once_for_the_summary(mode: str) -> None:
    with open_progress(mode, io.StringIO(), SETTINGS) as progress:
        progress.emit(Warned(diagnostic=WARNING))
        progress.emit(Warned(diagnostic=WARNING))
        assert progress.warnings == (WARNING,)


def test_steps_are_numbered_one_after_the_other() -> None:
    stream = io.StringIO()
    with open_progress("plain", stream, SETTINGS) as progress:
        progress.emit(VertexStarted(id=1, name="RUN"))
        progress.emit(VertexStarted(id=100_000, name="push a"))
        progress.emit(VertexLog(id=1, data=b"x\n"))
        progress.emit(VertexLog(id=100_000, data=b"y\n"))
    assert stream.getvalue() == "#1 RUN\n\n#2 push a\n#1 0.000 x\n#2 0.000 y\n"


def test_an_interrupted_step_is_no_failure() -> None:
    stream = io.StringIO()
    with open_progress("plain", stream, SETTINGS) as progress:
        progress.emit(VertexStarted(id=1, name="RUN"))
        progress.emit(VertexFailed(id=1, diagnostic=Cancelled().diagnostic()))
    assert stream.getvalue() == "#1 RUN\n#1 CANCELED\n"


def test_lines_of_threads_stay_whole() -> None:
    stream = io.StringIO()
    printer = ProgressPrinter(stream, plain.State(), plain.reduce, plain.render)

    def work(number: int) -> None:
        printer.emit(VertexStarted(id=number, name="RUN"))
        for _ in range(200):
            printer.emit(VertexLog(id=number, data=b"abc"))
            printer.emit(VertexLog(id=number, data=b"def\n"))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [line for line in stream.getvalue().splitlines() if "abc" in line]
    assert len(lines) == 800
    assert all(line.endswith(" abcdef") for line in lines)


def test_closed_stream_does_not_stop_the_build() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as stream:
        with open_progress("plain", stream, SETTINGS) as progress:
            for event in GOOD:
                progress.emit(event)
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)


_ON_A_TERMINAL = """
import sys, time
from builder.settings import read
from builder.ui.progress import open_progress
from tests.unit.builder.ui.recorded import GOOD
with open_progress("auto", sys.stderr, read({}, 0, "/root")) as progress:
    for event in GOOD[:9]:
        progress.emit(event)
    time.sleep(float(sys.argv[1]))
    for event in GOOD[9:]:
        progress.emit(event)
print("rich" in sys.modules)
"""


_WITHOUT_STEPS = """
import sys, time
from builder.settings import read
from builder.ui.progress import open_progress
with open_progress("tty", sys.stderr, read({}, 0, "/root")):
    time.sleep(0.4)
print("rich" in sys.modules)
"""


def on_a_terminal(seconds: float, script: str = _ON_A_TERMINAL) -> tuple[str, str]:
    """Run a build with a terminal as standard error; return what it showed and printed."""
    leader, follower = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", script, str(seconds)],
        stderr=follower,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": ".", "TERM": "xterm"},
    ) as process:
        os.close(follower)
        pieces: list[bytes] = []
        while True:
            try:
                piece = os.read(leader, 65536)
            except OSError:  # EIO: the other side is closed
                break
            if not piece:
                break
            pieces.append(piece)
        assert process.stdout is not None
        printed = process.stdout.read().decode()
    os.close(leader)
    assert process.returncode == 0
    return b"".join(pieces).decode(), printed


def test_picture_is_drawn_on_a_terminal_and_replaced_by_the_final_one() -> None:
    screen, printed = on_a_terminal(0.6)
    assert printed == "True\n"
    assert "# cc -c a.c" in screen
    assert screen.count("\x1b[?25l") == screen.count("\x1b[?25h")
    assert screen.rsplit("Building", 1)[1].count(" => ") == 4


def test_build_that_ends_at_once_shows_its_final_picture_without_rich() -> None:
    screen, printed = on_a_terminal(0.0)
    assert printed == "False\n"
    assert "=> CACHED [build 2/2] COPY . ." in screen


def test_nothing_is_drawn_while_there_is_no_step() -> None:
    assert on_a_terminal(0.0, _WITHOUT_STEPS) == ("", "False\n")
