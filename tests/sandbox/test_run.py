"""Commands: how they end, what they see, what they leave behind."""

from __future__ import annotations

import os
import signal
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtime.errors import Interrupted, SetupFailed, StartFailed
from runtime.forward import Forward
from runtime.launch import Cancellation
from runtime.spec import ExitStatus, Network, TmpfsMount
from tests.sandbox.harness import Sandbox, processes_of


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("true", ExitStatus(0)),
        ("exit 3", ExitStatus(3)),
        ("exit 255", ExitStatus(255)),
    ],
)
def test_the_exit_code_is_the_commands(sandbox: Sandbox, script: str, status: ExitStatus) -> None:
    assert sandbox.start(sandbox.spec(script)) == status


def test_a_signal_is_told_apart_from_a_code(sandbox: Sandbox) -> None:
    cancellation = Cancellation()
    spec = sandbox.spec("kill -9 1; sh -c 'kill -SEGV $$'; exit $?")
    assert sandbox.start(spec, cancellation=cancellation) == ExitStatus(139)


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (("nonexistent",), 127, "`nonexistent` is not found in PATH"),
        (("/bin/nonexistent",), 127, "`/bin/nonexistent` is not found"),
        (("/etc/passwd",), 126, "`/etc/passwd` cannot be executed"),
        (("/etc",), 126, "`/etc` cannot be executed"),
        (("/etc/passwd/x",), 127, "is not found"),
    ],
)
def test_what_cannot_be_started_is_named(
    sandbox: Sandbox, argv: tuple[str, ...], code: int, words: str
) -> None:
    with pytest.raises(StartFailed, match=words) as caught:
        sandbox.run(*argv, "x")
    assert caught.value.exit_code == code


def test_a_missing_interpreter_is_not_mistaken_for_a_missing_program(sandbox: Sandbox) -> None:
    with pytest.raises(StartFailed, match="needs an interpreter"):
        sandbox.run(
            "/opt/run",
            "x",
            lowers=(_layer(sandbox, "opt/run", b"#!/usr/bin/nothing\n", 0o755), sandbox.image),
        )


def test_a_text_without_an_interpreter_is_not_run(sandbox: Sandbox) -> None:
    with pytest.raises(StartFailed, match="does not begin with") as caught:
        sandbox.run(
            "/opt/run", "x", lowers=(_layer(sandbox, "opt/run", b"echo", 0o755), sandbox.image)
        )
    assert caught.value.exit_code == 126


def test_the_environment_is_exactly_what_was_given_and_home(sandbox: Sandbox) -> None:
    ran = sandbox.run("/bin/env", "A=1", "/bin/env", env=("B=x y", "EMPTY=", "PATH=/bin"))
    assert sorted(ran.out.splitlines()) == ["A=1", "B=x y", "EMPTY=", "HOME=/root", "PATH=/bin"]


def test_home_that_was_given_stays(sandbox: Sandbox) -> None:
    assert sandbox.run("/bin/sh", "-c", "echo $HOME", env=("HOME=/x",)).out == "/x\n"


def test_only_the_standard_streams_are_open(sandbox: Sandbox) -> None:
    # The shell itself lists them: a program of its own would open the directory with one more.
    assert sandbox.run("echo /proc/self/fd/*").out.split() == [
        f"/proc/self/fd/{number}" for number in (0, 1, 2, 3)
    ]


def test_standard_input_is_empty_when_none_is_given(sandbox: Sandbox) -> None:
    assert sandbox.run("cat; readlink /proc/self/fd/0").out == "/dev/null\n"


def test_standard_input_is_passed_on(sandbox: Sandbox) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"hello\n")
    os.close(writer)
    assert sandbox.run("cat", stdin=reader).out == "hello\n"
    os.close(reader)


def test_output_comes_complete_and_in_order(sandbox: Sandbox) -> None:
    reader, writer = os.pipe()
    spec = sandbox.spec(
        "i=0; while [ $i -lt 100000 ]; do echo $i; i=$((i+1)); done; dd if=/dev/zero bs=1M count=10 2>&-"
    )
    got: list[bytes] = []

    def read() -> None:
        while data := os.read(reader, 1 << 16):
            got.append(data)

    thread = threading.Thread(target=read)
    thread.start()
    sandbox.launcher.run(spec, stdin=None, stdout=writer, stderr=writer)
    os.close(writer)
    thread.join()
    os.close(reader)
    data = b"".join(got)
    numbers = "".join(f"{number}\n" for number in range(100_000)).encode()
    assert data == numbers + bytes(10 << 20)


def test_output_comes_while_the_command_runs(sandbox: Sandbox) -> None:
    reader, writer = os.pipe()
    spec = sandbox.spec("echo first; sleep 5")
    cancellation = Cancellation()

    def run() -> None:
        with pytest.raises(Interrupted):
            sandbox.launcher.run(
                spec, stdin=None, stdout=writer, stderr=writer, cancellation=cancellation
            )

    thread = threading.Thread(target=run)
    begin = time.monotonic()
    thread.start()
    assert os.read(reader, 100) == b"first\n"
    assert time.monotonic() - begin < 4
    cancellation.cancel()
    thread.join()
    os.close(reader)
    os.close(writer)


def test_a_pipe_as_output_can_be_reopened_by_the_user(sandbox: Sandbox) -> None:
    reader, writer = os.pipe()
    spec = sandbox.spec("echo again > /dev/stdout", user="ann")
    assert sandbox.launcher.run(spec, stdin=None, stdout=writer, stderr=writer).code == 0
    os.close(writer)
    assert os.read(reader, 100) == b"again\n"
    os.close(reader)


def test_the_process_leads_its_own_world(sandbox: Sandbox) -> None:
    ran = sandbox.run("echo $$; hostname; umask; ps | wc -l; grep -c . /proc/net/dev")
    pid, hostname, mask, _, _ = ran.out.split()
    assert (pid, hostname, mask) == ("1", "buildkitsandbox", "0022")


def test_ignored_signals_of_the_caller_are_not_inherited(sandbox: Sandbox) -> None:
    status = sandbox.run("/bin/grep", "-e", "SigIgn", "-e", "SigBlk", "/proc/1/status").out.split()
    assert status == ["SigBlk:", "0" * 16, "SigIgn:", "0" * 16]


def test_a_missing_working_directory_is_made(sandbox: Sandbox) -> None:
    ran = sandbox.run("pwd", cwd="/srv/a/b")
    assert ran.out == "/srv/a/b\n"
    made = (ran.upper / "srv/a").stat()
    assert (stat.S_IMODE(made.st_mode), made.st_uid) == (0o755, os.geteuid())


@pytest.mark.parametrize("cwd", ["/proc/self/cwd", "/proc/self/fd/3", "/proc/1/root/tmp"])
def test_the_working_directory_cannot_lead_through_magic_links(sandbox: Sandbox, cwd: str) -> None:
    with pytest.raises(SetupFailed, match="enter the directory"):
        sandbox.run("true", cwd=cwd)


def test_whiteouts_are_what_deleting_leaves(sandbox: Sandbox) -> None:
    upper = sandbox.run("rm /etc/group; rm -r /home; mkdir /home; echo x > /new").upper
    assert stat.S_ISCHR((upper / "etc/group").lstat().st_mode)
    assert (upper / "etc/group").lstat().st_rdev == 0
    assert os.getxattr(upper / "home", "user.overlay.opaque") == b"y"
    assert (upper / "new").read_text() == "x\n"


def test_without_a_writable_layer_the_root_is_read_only(sandbox: Sandbox) -> None:
    ran = sandbox.run("echo x > /x", writable=False)
    assert "Read-only file system" in ran.err


def test_without_network_there_is_loopback_only(sandbox: Sandbox) -> None:
    ran = sandbox.run("cat /proc/net/dev; ip addr show lo; ls /sys/class/net", network=Network.NONE)
    names = [line.split(":")[0].strip() for line in ran.out.splitlines() if ":" in line]
    assert "lo" in names
    assert "eth0" not in ran.out
    assert "127.0.0.1/8" in ran.out
    assert ran.out.splitlines()[-1] == "lo"


def test_many_commands_run_at_once(sandbox: Sandbox) -> None:
    specs = [sandbox.spec(f"sleep 0.3; exit {number}") for number in range(12)]
    begin = time.monotonic()
    with ThreadPoolExecutor(12) as pool:
        codes = [status.code for status in pool.map(sandbox.start, specs)]
    assert codes == list(range(12))
    assert time.monotonic() - begin < 12 * 0.3


def test_the_end_of_the_command_ends_what_it_started(sandbox: Sandbox) -> None:
    sandbox.run("sleep 4242.1 & sleep 4242.1 & exit 0")
    assert processes_of("sleep 4242.1") == []


def test_cancelling_kills_at_once_what_ignores_signals(sandbox: Sandbox) -> None:
    cancellation = Cancellation()
    spec = sandbox.spec("trap '' INT TERM HUP; sleep 4242.2 & while :; do sleep 4242.2; done")
    threading.Timer(0.3, lambda: cancellation.cancel(signal.SIGTERM)).start()
    begin = time.monotonic()
    with pytest.raises(Interrupted) as caught:
        sandbox.start(spec, cancellation=cancellation)
    assert time.monotonic() - begin < 1.3
    assert caught.value.signal_number == signal.SIGTERM
    assert processes_of("sleep 4242.2") == []


def test_what_is_cancelled_before_it_starts_does_not_run(sandbox: Sandbox) -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    spec = sandbox.spec("sleep 60")
    with pytest.raises(Interrupted):
        sandbox.start(spec, cancellation=cancellation)


def test_signals_reach_process_one_and_nothing_before_or_after(sandbox: Sandbox) -> None:
    signals = Forward()
    assert not signals.send(signal.SIGTERM)
    reader, writer = os.pipe()
    spec = sandbox.spec(
        "trap 'echo usr' USR1; trap 'exit 9' TERM; echo up; while :; do sleep 0.02; done"
    )

    def send() -> None:
        os.read(reader, 100)
        for _ in range(3):
            assert signals.send(signal.SIGUSR1)
            assert os.read(reader, 100) == b"usr\n"
        signals.send(signal.SIGTERM)

    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(send)
        status = sandbox.launcher.run(
            spec, stdin=None, stdout=writer, stderr=writer, signals=signals
        )
        sent.result()
    os.close(reader)
    os.close(writer)
    assert status == ExitStatus(9)
    assert not signals.send(signal.SIGTERM)


def test_process_one_without_a_handler_goes_on_until_it_is_killed(sandbox: Sandbox) -> None:
    signals, cancellation = Forward(), Cancellation()
    null = os.open(os.devnull, os.O_RDWR)
    spec = sandbox.spec("sleep", "4242.3", user="ann")
    with ThreadPoolExecutor(1) as pool:
        over = pool.submit(
            sandbox.launcher.run,
            spec,
            stdin=None,
            stdout=null,
            stderr=null,
            signals=signals,
            cancellation=cancellation,
        )
        while not processes_of("sleep 4242.3"):
            time.sleep(0.01)
        for number in (signal.SIGINT, signal.SIGHUP, 0, 255):
            assert signals.send(number)
        time.sleep(0.2)
        assert processes_of("sleep 4242.3")
        assert signals.send(signal.SIGKILL)
        assert over.result() == ExitStatus(137, 9)
    os.close(null)


def test_a_signal_before_the_command_has_started_ends_it(sandbox: Sandbox) -> None:
    signals = Forward()
    null = os.open(os.devnull, os.O_RDWR)
    # Setting this up takes longer than a signal.
    mounts = tuple(TmpfsMount(target=f"/m{number}") for number in range(400))
    spec = sandbox.spec("echo x > /ran; sleep 60", mounts=mounts)
    with ThreadPoolExecutor(1) as pool:
        over = pool.submit(
            sandbox.launcher.run, spec, stdin=None, stdout=null, stderr=null, signals=signals
        )
        while not signals.send(signal.SIGHUP):
            time.sleep(0)
        assert over.result(5) == ExitStatus(129, 1)
    os.close(null)
    assert not Path(spec.rootfs.upper or "", "ran").exists()


def test_a_command_that_takes_signals_can_fail_to_start_and_be_cancelled(sandbox: Sandbox) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    streams = {"stdin": None, "stdout": null, "stderr": null}
    for _ in range(3):
        signals, cancellation = Forward(), Cancellation()
        with pytest.raises(StartFailed):
            sandbox.launcher.run(sandbox.spec("nonexistent", "x"), signals=signals, **streams)
        assert not signals.send(signal.SIGTERM)
        timer = threading.Timer(0.1, cancellation.cancel)
        timer.start()
        with pytest.raises(Interrupted):
            sandbox.launcher.run(
                sandbox.spec("sleep 60"), signals=signals, cancellation=cancellation, **streams
            )
        timer.join()
    os.close(null)


def test_a_lock_is_held_until_the_last_process_has_ended(sandbox: Sandbox, tmp_path: Path) -> None:
    import fcntl

    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    other = os.open(tmp_path / "lock", os.O_RDWR)
    cancellation = Cancellation()
    null = os.open(os.devnull, os.O_RDWR)
    spec = sandbox.spec("sleep 60")

    def run() -> None:
        with pytest.raises(Interrupted):
            sandbox.launcher.run(
                spec, stdin=None, stdout=null, stderr=null, cancellation=cancellation, hold=(lock,)
            )

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.2)
    os.close(lock)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    cancellation.cancel()
    thread.join()
    fcntl.flock(other, fcntl.LOCK_EX)
    os.close(other)
    os.close(null)


def test_a_terminal_is_the_commands_own(sandbox: Sandbox) -> None:
    spec = sandbox.spec("tty; stty size; echo typed:$(head -n 1); ls /dev/pts", terminal=True)
    seen: list[bytes] = []
    threads: list[threading.Thread] = []

    def pump(master: int) -> None:
        os.write(master, b"word\n")
        try:
            while data := os.read(master, 1000):
                seen.append(data)
        except OSError:
            pass  # the program's side is closed
        os.close(master)

    def on_terminal(master: int) -> None:
        threads.append(threading.Thread(target=pump, args=(master,)))
        threads[0].start()

    status = sandbox.launcher.run(spec, stdin=None, stdout=1, stderr=2, on_terminal=on_terminal)
    threads[0].join()
    text = b"".join(seen).decode()
    assert status.code == 0
    assert "/dev/pts/0\r\n" in text
    assert "typed:word" in text


def _layer(sandbox: Sandbox, path: str, content: bytes, mode: int) -> Path:
    layer = sandbox.directory / "layer"
    (layer / path).parent.mkdir(parents=True)
    (layer / path).write_bytes(content)
    (layer / path).chmod(mode)
    return layer
