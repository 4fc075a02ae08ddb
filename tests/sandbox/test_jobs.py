"""Functions that run behind the launcher, and its own end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.errors import Interrupted, JobFailed, LauncherGone, Unsupported
from runtime.launch import Cancellation, Launcher
from runtime.spec import IsolationName
from tests.sandbox.harness import Sandbox, processes_of, walls

JOBS = "tests.sandbox.jobs"
ROOT = Path(__file__).parents[2]


def test_arguments_and_descriptors_arrive(launcher: Launcher) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"through a pipe")
    arguments = {"text": "ü", "bytes": b"\0\xff", "list": [1, None, 2.5]}
    assert launcher.call(f"{JOBS}:echo", arguments, fds=(reader,)) == [
        arguments,
        [b"through a pipe"],
    ]
    os.close(reader)
    os.close(writer)


def test_large_values_pass_both_ways(launcher: Launcher) -> None:
    value = [b"x" * 1000] * 20_000
    assert launcher.call(f"{JOBS}:echo", value) == [value, []]


def test_reports_come_in_order_before_the_result(launcher: Launcher) -> None:
    seen: list[object] = []
    assert launcher.call(f"{JOBS}:count", 1000, report=seen.append) == "done"
    assert seen == list(range(1000))


def test_an_exception_comes_back_as_data(launcher: Launcher) -> None:
    with pytest.raises(JobFailed) as caught:
        launcher.call(f"{JOBS}:open_file", "/nonexistent")
    assert caught.value.kind == "FileNotFoundError"
    assert caught.value.detail["errno"] == 2
    assert caught.value.detail["path"] == "/nonexistent"


@pytest.mark.parametrize(
    "name", ["os:getcwd", "tests.sandbox.jobs", f"{JOBS}:_private", "builder:x"]
)
def test_only_allowed_functions_run(launcher: Launcher, name: str) -> None:
    with pytest.raises(JobFailed, match="may run behind the launcher") as caught:
        launcher.call(name, None)
    assert "in find_job" in str(caught.value.detail["traceback"])


def test_workers_are_used_again(launcher: Launcher) -> None:
    first = launcher.call(f"{JOBS}:process_id", None)
    assert launcher.call(f"{JOBS}:process_id", None) == first


def test_a_worker_that_is_killed_is_told_and_replaced(launcher: Launcher) -> None:
    with pytest.raises(LauncherGone, match="killed"):
        launcher.call(f"{JOBS}:kill_itself", None)
    assert launcher.call(f"{JOBS}:echo", 1) == [1, []]


def test_cancelling_ends_a_job(launcher: Launcher, eventually: Callable[..., None]) -> None:
    cancellation = Cancellation()
    pids: list[int] = []

    def report(pid: object) -> None:
        assert isinstance(pid, int)
        pids.append(pid)
        threading.Timer(0.1, cancellation.cancel).start()

    begin = time.monotonic()
    with pytest.raises(Interrupted):
        launcher.call(f"{JOBS}:sleep", None, report=report, cancellation=cancellation)
    assert time.monotonic() - begin < 1.1
    eventually(lambda: not Path(f"/proc/{pids[0]}").exists())


def test_jobs_may_use_all_ids_of_the_walls(launcher: Launcher, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert launcher.call(f"{JOBS}:owner", [str(tmp_path / "file"), 33]) == [0, 33]
    all_ids = walls() in {IsolationName.ROOT, IsolationName.USERNS_ROOT}
    inside = {inside: host for inside, host, _ in launcher.id_map}
    expected = 33 if all_ids else inside[1] + 32
    assert (tmp_path / "file").stat().st_uid == expected
    launcher.call(f"{JOBS}:owner", [str(tmp_path / "file"), 0])


@pytest.mark.parametrize("count", [1, 2, 30])
def test_a_view_shows_stacked_directories(launcher: Launcher, tmp_path: Path, count: int) -> None:
    lowers = []
    for number in range(count):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}" / "file").write_text(f"of {number}")
        (tmp_path / f"{number}" / f"only{number}").touch()
        lowers.append(str(tmp_path / f"{number}"))
    (tmp_path / "0/link").symlink_to("/../../file")
    names, content = launcher.call(f"{JOBS}:read_stacked", [lowers, "link"])
    assert names == sorted(["file", "link", *(f"only{number}" for number in range(count))])
    assert content == b"of 0"


def test_a_view_works_where_the_kernel_takes_all_layers_in_one_text(
    launcher: Launcher, tmp_path: Path
) -> None:
    lowers = []
    for number in range(120):
        layer = tmp_path / ("long" * 20) / f"{number},with:separators\\"
        layer.mkdir(parents=True)
        (layer / f"only{number}").touch()
        (layer / "file").write_text(f"of {number}")
        lowers.append(str(layer))
    (names, content), directory = launcher.call(
        f"{JOBS}:read_stacked_by_the_old_call", [lowers, "file"]
    )
    assert len(names) == 121
    assert content == b"of 0"
    assert directory == str(ROOT)


def test_a_writable_stack_works_where_the_kernel_takes_all_layers_in_one_text(
    launcher: Launcher, tmp_path: Path
) -> None:
    for name in ("lower,1", "upper", "work", "scratch"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower,1/old").touch()
    names = launcher.call(
        f"{JOBS}:write_stacked_by_the_old_call",
        [[str(tmp_path / "lower,1")], *(str(tmp_path / n) for n in ("upper", "work", "scratch"))],
    )
    assert names == ["new"]
    assert (tmp_path / "upper/new").read_text() == "new"
    assert (tmp_path / "upper/old").is_char_device()


def test_a_view_does_not_follow_links_out(launcher: Launcher, tmp_path: Path) -> None:
    (tmp_path / "layer").mkdir()
    (tmp_path / "layer/link").symlink_to("/etc/passwd")
    with pytest.raises(JobFailed) as caught:
        launcher.call(f"{JOBS}:read_stacked", [[str(tmp_path / "layer")], "link"])
    assert caught.value.kind == "FileNotFoundError"


def test_other_walls_than_those_that_stand_are_refused() -> None:
    launcher = Launcher.spawn()
    assert launcher.open(IsolationName.AUTO) is walls()
    with pytest.raises(Unsupported, match="already uses"):
        launcher.open(IsolationName.SINGLE_ID)
    launcher.close()
    with pytest.raises(LauncherGone):
        launcher.run  # noqa: B018
        launcher.call("x:y", None)


_CALLER = """
import sys, os
from runtime.launch import Launcher
launcher = Launcher.fork(("tests.sandbox.jobs.",))
from pathlib import Path
from tests.sandbox.harness import Sandbox
sandbox = Sandbox(launcher, Path(sys.argv[1]), Path(sys.argv[2]))
spec = sandbox.spec("echo started > /started; trap '' HUP TERM; sleep 4242.3 & setsid sleep 4242.3 & sleep 4242.3")
print(launcher._pid, flush=True)
sandbox.start(spec)
"""


def test_killing_the_caller_leaves_no_process_and_no_mount(
    sandbox: Sandbox, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    directory = tmp_path / "killed"
    directory.mkdir()
    root = Path(__file__).parents[2]
    caller = subprocess.Popen(
        [sys.executable, "-c", _CALLER, directory, sandbox.image],
        stdout=subprocess.PIPE,
        cwd=root,
        text=True,
    )
    assert caller.stdout is not None
    launcher = Path("/proc") / caller.stdout.readline().strip()
    eventually((directory / "upper1/started").exists)
    eventually(lambda: processes_of("sleep 4242.3") != [])
    caller.send_signal(signal.SIGKILL)
    caller.wait()
    caller.stdout.close()
    eventually(lambda: processes_of("sleep 4242.3") == [])
    eventually(lambda: not launcher.exists())
    assert str(directory) not in Path("/proc/self/mountinfo").read_text()


def test_killing_the_launcher_kills_the_command_and_is_told(
    sandbox: Sandbox, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    launcher = Launcher.spawn()
    mine = Sandbox(launcher, tmp_path, sandbox.image)
    (tmp_path / "own").mkdir()
    mine.directory = tmp_path / "own"
    spec = mine.spec("sleep 4242.4")
    threading.Timer(0.4, lambda: os.kill(launcher._pid, signal.SIGKILL)).start()
    with pytest.raises(LauncherGone):
        mine.start(spec)
    eventually(lambda: processes_of("sleep 4242.4") == [])
    with pytest.raises(LauncherGone):
        mine.start(mine.spec("true"))
    launcher.close()
