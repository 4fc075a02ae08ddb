"""`lapstrake run`, as root and as an ordinary user: what a command sees, gets and leaves behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from builder.containers import foreground
from builder.engine import running
from builder.engine.requests import PullResult, RunRequest
from builder.errors import ImageError
from builder.events import Discard
from builder.store.root import Store
from tests.support.product import Product


@contextlib.contextmanager
def started(product: Product, *arguments: str, **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command and end it at the end of the block."""
    person = product.person
    given: dict[str, Any] = (
        {} if person.is_me else {"user": person.uid, "group": person.gid, "extra_groups": ()}
    )
    process = subprocess.Popen(
        product.command(*arguments), cwd="/", env=person.environment(), **given, **streams
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def eventually(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def processes_of(marker: str) -> list[str]:
    """Return the ids of processes that have `marker` as one of their words."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if marker.encode() in Path("/proc", pid, "cmdline").read_bytes().split(b"\0"):
                found.append(pid)
    return found


def test_the_images_command_runs_unless_another_is_given(product: Product) -> None:
    assert product.run("run", "box").stdout == "by default\n"
    assert product.run("run", "box", "echo", "-n", "given").stdout == "given"


def test_an_image_is_meant_by_its_id_or_the_beginning_of_it_too(product: Product) -> None:
    whole = product.run("images", "-q", "--no-trunc", "box").stdout.strip()
    short = product.run("image", "ls", "--format", "{{.ID}}", "box").stdout.strip()
    assert whole.startswith(f"sha256:{short}")
    for spelling in (whole, short, short[:6], "docker.io/library/box:latest"):
        assert product.run("run", spelling).stdout == "by default\n"


def test_the_exit_code_is_that_of_the_command(product: Product) -> None:
    product.run("run", "--rm", "box", "sh", "-c", "exit 37", code=37)
    product.run("run", "box", "sh", "-c", "kill -TERM $$", code=0)  # process 1 ignores it
    product.run("run", "box", "sh", "-c", "sh -c 'kill -9 $$'; exit $?", code=137)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("box", "nosuch"), 127, "`nosuch` is not found in PATH"),
        (("box", "/etc"), 126, "`/etc` cannot be executed"),
        (("-u", "bob", "box", "true"), 126, "no user `bob`"),
        (("--pull", "never", "absent", "true"), 125, "No such image: absent"),
        (("--entrypoint", "", "box"), 125, "no command to run"),
        (("-w", "src", "box"), 125, "not an absolute path"),
        (("-v", "data:/data", "box"), 125, "named volumes"),
        (("-v", "/etc:/proc/self/fd/7", "box"), 125, "cannot mount"),
        (("--platform", "linux/s390x", "--pull", "never", "box"), 125, "not for linux/s390x"),
    ],
)
def test_what_cannot_run_says_why_with_the_codes_of_docker(
    product: Product, words: tuple[str, ...], code: int, said: str
) -> None:
    done = product.run("run", *words, code=code)
    assert said in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_outputs_stay_apart_and_input_comes_only_when_asked_for(product: Product) -> None:
    done = product.run("run", "-i", "box", "sh", "-c", "cat; echo err >&2", stdin="in\n")
    assert (done.stdout, done.stderr) == ("in\n", "err\n")
    assert product.run("run", "box", "cat", stdin="in\n").stdout == ""


def test_files_of_the_host_are_never_handed_to_the_command(product: Product, ours: Path) -> None:
    (ours / "in").write_text("input\n")
    script = "cat; for n in 0 1 2; do readlink /proc/self/fd/$n; done; ls /proc/self/fd | wc -l"
    with (ours / "in").open() as stdin, (ours / "out").open("w+") as out:
        with started(
            product, "run", "-i", "box", "sh", "-c", script, stdin=stdin, stdout=out
        ) as it:
            assert it.wait() == 0
        lines = (ours / "out").read_text().splitlines()
    assert lines[0] == "input"
    assert all(line.startswith("pipe:") for line in lines[1:4])
    assert lines[4] == "4"  # three, and the listing itself


def test_outputs_to_one_file_stay_in_order(product: Product, ours: Path) -> None:
    script = "for n in 1 2 3 4 5 6 7 8 9; do echo $n; echo e$n >&2; done"
    with (ours / "both").open("wb") as both:
        command = ("run", "box", "sh", "-c", script)
        with started(product, *command, stdout=both, stderr=both) as it:
            assert it.wait() == 0
    expected = [word for number in range(1, 10) for word in (str(number), f"e{number}")]
    assert (ours / "both").read_text().split() == expected


def test_large_outputs_arrive_whole(product: Product, ours: Path) -> None:
    with (ours / "out").open("wb") as out:
        command = ("run", "box", "dd", "if=/dev/zero", "bs=1M", "count=20")
        with started(product, *command, stdout=out, stderr=subprocess.DEVNULL) as it:
            assert it.wait() == 0
    assert (ours / "out").stat().st_size == 20 << 20


def test_a_reader_that_goes_ends_the_command(product: Product) -> None:
    with started(product, "run", "box", "yes", stdout=subprocess.PIPE, stderr=-3) as it:
        assert it.stdout is not None
        assert it.stdout.readline() == b"y\n"
        it.stdout.close()
        assert it.wait(timeout=10) != 0


def test_the_environment_is_the_images_and_the_callers(product: Product) -> None:
    words = ("--env", "A=1", "-e", "MODE=caller", "box", "env")
    lines = product.run("run", *words).stdout.splitlines()
    env = dict(line.split("=", 1) for line in lines)
    assert (env["A"], env["MODE"], env["HOME"]) == ("1", "caller", "/root")
    assert env["PATH"].startswith("/usr/local/sbin:")
    assert "LANG" not in env
    assert product.run("run", "box", "sh", "-c", "echo $MODE").stdout == "image\n"


def test_a_container_has_a_name_of_its_own_that_resolves(product: Product) -> None:
    script = "hostname; cat /etc/hostname; echo $HOSTNAME; grep -c $HOSTNAME /etc/hosts"
    one = product.run("run", "box", "sh", "-c", script).stdout.split()
    assert len(set(one[:3])) == 1
    assert len(one[0]) == 12
    assert set(one[0]) <= set("0123456789abcdef")
    assert one[3] == "1"
    assert product.run("run", "box", "hostname").stdout.split() != one[:1]


def test_user_and_directory_are_chosen_and_the_directory_is_made(product: Product) -> None:
    words = ("-u", "65534:65534", "-w", "/made/for/it", "box", "sh", "-c", "id -u; id -g; pwd")
    assert product.run("run", *words).stdout.split() == ["65534", "65534", "/made/for/it"]


def test_volumes_show_the_hosts_files(product: Product, ours: Path) -> None:
    (ours / "given").write_text("given\n")
    script = "cat /data/given; echo made > /data/made; touch /frozen/x; cat /etc/hosts"
    words = ("-v", f"{ours}:/data", "-v", f"{ours}:/frozen:ro", "-v", f"{ours}/given:/etc/hosts")
    done = product.run("run", *words, "box", "sh", "-c", script, code=0)
    assert done.stdout == "given\ngiven\n"
    assert "Read-only file system" in done.stderr
    assert (ours / "made").read_text() == "made\n"
    assert (ours / "made").stat().st_uid == product.person.uid
    assert sorted(path.name for path in ours.iterdir()) == ["given", "made"]


def test_without_a_network_there_is_only_loopback(product: Product) -> None:
    words = ("--network", "none", "box", "ls", "/sys/class/net")
    assert product.run("run", *words).stdout == "lo\n"


def test_what_a_container_writes_is_gone_with_it(product: Product) -> None:
    product.run("run", "box", "sh", "-c", "echo x > /kept; rm /bin/true; mkdir -m 0 /closed")
    assert product.run("run", "box", "sh", "-c", "ls /kept; ls /bin/true").stdout == "/bin/true\n"
    for room in ("active", "scratch"):
        assert os.listdir(product.root / room) == []


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_the_third_signal_ends_a_command_that_goes_on(
    product: Product, number: signal.Signals, code: int
) -> None:
    marker = f"{time.time_ns()}"
    command = ("run", "box", "sh", "-c", "trap '' INT TERM HUP; echo up; sleep 60", marker)
    pipe = subprocess.PIPE
    with started(product, *command, stdout=pipe, stderr=pipe) as it:
        assert it.stdout is not None
        assert it.stdout.readline() == b"up\n"
        for _ in range(2):
            it.send_signal(number)
            with pytest.raises(subprocess.TimeoutExpired):
                it.wait(timeout=0.3)
        it.send_signal(number)
        assert it.wait(timeout=10) == code
        assert it.stderr is not None
        assert it.stderr.read() == b""
    eventually(lambda: not processes_of(marker))
    assert os.listdir(product.root / "active") == []


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "QUIT", "USR1", "USR2"])
def test_a_signal_reaches_the_command_which_decides(product: Product, name: str) -> None:
    script = f'trap "echo got; exit 9" {name}; echo up; while :; do sleep 0.05; done'
    pipe = subprocess.PIPE
    with started(product, "run", "box", "sh", "-c", script, stdout=pipe, stderr=pipe) as it:
        assert it.stdout is not None
        assert it.stdout.readline() == b"up\n"
        it.send_signal(signal.Signals[f"SIG{name}"])
        out, err = it.communicate(timeout=10)
        assert (out, err, it.returncode) == (b"got\n", b"", 9)
    assert os.listdir(product.root / "active") == []


def test_a_command_may_go_on_after_signals_and_end_as_it_likes(product: Product) -> None:
    script = 'trap "echo got" USR1; echo up; n=0; while [ $n -lt 40 ]; do sleep 0.05; n=$((n+1)); done; exit 4'
    with started(product, "run", "box", "sh", "-c", script, stdout=subprocess.PIPE) as it:
        assert it.stdout is not None
        assert it.stdout.readline() == b"up\n"
        for _ in range(4):
            it.send_signal(signal.SIGUSR1)
            assert it.stdout.readline() == b"got\n"
        assert it.wait(timeout=10) == 4


def test_a_signal_that_the_caller_ignores_is_not_forwarded(product: Product) -> None:
    script = 'trap "echo hup" HUP; trap "exit 9" TERM; echo up; while :; do sleep 0.05; done'
    person = product.person
    given: dict[str, Any] = (
        {} if person.is_me else {"user": person.uid, "group": person.gid, "extra_groups": ()}
    )
    command = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh"]
    command += product.command("run", "box", "sh", "-c", script)
    environment = person.environment()
    with subprocess.Popen(command, cwd="/", env=environment, stdout=subprocess.PIPE, **given) as it:
        assert it.stdout is not None
        assert it.stdout.readline() == b"up\n"
        it.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        it.terminate()
        assert it.communicate(timeout=10)[0] == b""
    assert it.returncode == 9


def test_a_terminal_that_goes_takes_the_command_with_it(product: Product) -> None:
    marker = f"{time.time_ns()}"
    script = "trap '' HUP; echo up; while :; do sleep 0.05; done"
    outer, inner = pty.openpty()
    command = product.command("run", "box", "sh", "-c", script, marker)
    person = product.person
    given: dict[str, Any] = (
        {} if person.is_me else {"user": person.uid, "group": person.gid, "extra_groups": ()}
    )
    if not person.is_me:
        os.fchown(inner, person.uid, -1)
    # Its session's leader, as a login shell is one.
    steps = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    with subprocess.Popen(
        [product.programs / "python", "-c", steps, *command],
        stdin=inner,
        stdout=inner,
        stderr=inner,
        start_new_session=True,
        cwd="/",
        env=person.environment(),
        **given,
    ) as it:
        os.close(inner)
        Somebody(outer).see(b"up")
        os.close(outer)
        assert it.wait(timeout=10) == 129
    eventually(lambda: not processes_of(marker))


def test_nothing_of_a_command_survives_the_death_of_its_caller(product: Product) -> None:
    marker = f"{time.time_ns()}"
    command = ("run", "box", "sh", "-c", "echo up; sleep 60", marker)
    with started(product, *command, stdout=subprocess.PIPE) as it:
        assert it.stdout is not None
        assert it.stdout.readline() == b"up\n"
        assert processes_of(marker)
        it.kill()
        eventually(lambda: not processes_of(marker))
    eventually(lambda: product.run("prune", "-f", code=None).returncode == 0)
    assert os.listdir(product.root / "active") == []
    assert product.run("run", "box").stdout == "by default\n"


def test_containers_run_side_by_side_and_keep_their_image(product: Product) -> None:
    command = ("run", "-i", "box", "sh", "-c", "echo up; read x; echo $x")
    pipe = subprocess.PIPE
    with (
        started(product, *command, stdin=pipe, stdout=pipe) as one,
        started(product, *command, stdin=pipe, stdout=pipe) as other,
    ):
        for it in (one, other):
            assert it.stdout is not None
            assert it.stdout.readline() == b"up\n"
        product.run("tag", "box", "unused")
        assert product.run("prune", "-af").stdout == "Total reclaimed space: 0B\n"
        product.run("rmi", "unused")
        for it in (one, other):
            out, _ = it.communicate(b"typed\n")
            assert (out, it.returncode) == (b"typed\n", 0)


class Somebody:
    """Somebody at a terminal: types, and looks at what comes."""

    def __init__(self, outer: int) -> None:
        self._outer = outer
        self.seen = b""

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._outer, keys)

    def see(self, text: bytes) -> None:
        """Wait for a text, and look only at what comes after it."""
        end = time.monotonic() + 10
        while text not in self.seen:
            left = end - time.monotonic()
            assert left > 0, f"{text!r} did not come, but {self.seen!r}"
            if select.select([self._outer], [], [], left)[0]:
                self.seen += os.read(self._outer, 1 << 16)
        self.seen = self.seen.partition(text)[2]


@pytest.fixture
def terminal() -> Iterator[tuple[Somebody, int]]:
    """Somebody, and the descriptor of the terminal at which they sit."""
    outer, inner = pty.openpty()
    _set_size(outer, 33, 111)
    yield Somebody(outer), inner
    os.close(outer)
    os.close(inner)


def _set_size(descriptor: int, rows: int, columns: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))


def test_a_terminal_of_its_own(product: Product, terminal: tuple[Somebody, int]) -> None:
    somebody, inner = terminal
    before = termios.tcgetattr(inner)
    streams = {"stdin": inner, "stdout": inner, "stderr": inner}
    with started(product, "run", "-it", "box", "sh", **streams) as it:
        somebody.see(b"# ")
        assert not termios.tcgetattr(inner)[3] & termios.ECHO
        somebody.type(b"tty; echo $TERM; stty size\r")
        somebody.see(b"\r\n/dev/pts/0\r\nxterm\r\n33 111\r\n")
        _set_size(inner, 20, 70)
        it.send_signal(
            signal.SIGWINCH
        )  # the kernel sends it to those whose controlling terminal it is
        somebody.see(b"# ")
        somebody.type(b"stty size\r")
        somebody.see(b"20 70\r\n")
        somebody.type(b"sleep 60; echo code $?\r")
        somebody.see(b"echo code $?\r\n")
        time.sleep(0.3)
        somebody.type(b"\x03")
        somebody.see(b"# ")
        somebody.type(b"exit 5\r")
        assert it.wait(timeout=10) == 5
    assert termios.tcgetattr(inner) == before


def test_the_terminal_is_given_back_after_a_signal(
    product: Product, terminal: tuple[Somebody, int]
) -> None:
    somebody, inner = terminal
    before = termios.tcgetattr(inner)
    streams = {"stdin": inner, "stdout": inner, "stderr": inner}
    with started(product, "run", "-it", "box", "sh", **streams) as it:
        somebody.see(b"# ")
        while it.poll() is None:  # an interactive shell does nothing at the first two
            it.terminate()
            time.sleep(0.2)
        assert it.wait() == 143
    assert termios.tcgetattr(inner) == before


def test_a_command_without_a_terminal_does_not_get_the_callers(
    product: Product, terminal: tuple[Somebody, int]
) -> None:
    somebody, inner = terminal
    streams = {"stdin": inner, "stdout": inner, "stderr": inner}
    script = "test -t 0 || test -t 1 || test -t 2 || echo none; read line; echo got $line"
    with started(product, "run", "-i", "box", "sh", "-c", script, **streams) as it:
        somebody.see(b"none")
        somebody.type(b"words\r")
        somebody.see(b"got words")
        assert it.wait(timeout=10) == 0


def test_a_terminal_without_a_keyboard(product: Product) -> None:
    command = ("run", "-t", "box", "sh", "-c", "test -t 1 && tty; echo two")
    with started(product, *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as it:
        out, _ = it.communicate()
    assert out == b"/dev/pts/0\r\ntwo\r\n"


def test_a_command_that_cannot_start_leaves_the_terminal_alone(
    product: Product, terminal: tuple[Somebody, int]
) -> None:
    somebody, inner = terminal
    before = termios.tcgetattr(inner)
    streams = {"stdin": inner, "stdout": inner, "stderr": inner}
    with started(product, "run", "-it", "box", "nosuch", **streams) as it:
        somebody.see(b"`nosuch` is not found in PATH")
        assert it.wait(timeout=10) == 127
    assert termios.tcgetattr(inner) == before


def test_a_picture_that_nobody_sees_does_not_stop_the_command(product: Product) -> None:
    script = "yes | head -c 1000000; exit 3"
    command = ("run", "-t", "box", "sh", "-c", script)
    with started(product, *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as it:
        assert it.stdout is not None
        it.stdout.close()
        assert it.wait(timeout=10) == 3


class Registry:
    """Stands for registries: remembers what was asked for, and gives one image."""

    def __init__(self, store: Store, image_id: str) -> None:
        self._store = store
        self._image_id = image_id
        self.asked: list[tuple[str, str]] = []

    def names(self, _short: str, reference: Any) -> tuple[Any, ...]:
        return (reference,)

    def where(self, names: tuple[Any, ...]) -> Any:
        return names[0]

    def pull(self, reference: Any, platform: Any, _events: Any) -> PullResult:
        self.asked.append((reference.canonical(), str(platform)))
        return PullResult(reference="", digest="", image_id=self._image_id)


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({"image": "box"}, []),
        ({"image": "box", "pull": "never"}, []),
        # For whatever platform it is, where it is for one alone.
        ({"image": "box", "pull": "always"}, [("docker.io/library/box:latest", "None")]),
        ({"image": "absent"}, [("docker.io/library/absent:latest", "None")]),
        (
            {"image": "box", "platform": "linux/arm64"},
            [("docker.io/library/box:latest", "linux/arm64")],
        ),
        ({"image": "box", "platform": "linux/amd64"}, []),
    ],
)
def test_the_image_is_pulled_when_it_is_missing_or_that_is_asked_for(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    asked: list[tuple[str, str]],
) -> None:
    from builder.engine.catalogue import Catalogue
    from builder.oci.config import ContainerConfig, ImageConfig
    from builder.oci.platform import Platform
    from builder.oci.reference import Reference
    from tests.support.jobs import JobsHere

    ran: list[Any] = []

    def run(container: Any, *_arguments: Any, **_options: Any) -> Any:
        ran.append(container)
        return SimpleNamespace(code=9)

    monkeypatch.setattr(foreground, "run", run)
    monkeypatch.setattr(Platform, "host", classmethod(lambda cls: cls("linux", "amd64")))
    with Store(str(tmp_path / "store"), JobsHere()) as store:
        config = ContainerConfig(cmd=("true",))
        image_id = Catalogue(store).add(
            ImageConfig(architecture="amd64", os="linux", config=config)
        )
        Catalogue(store).name(Reference.parse("box"), image_id)
        registry = Registry(store, image_id)
        given = {"store": store, "behind": None, "registries": registry}
        request = RunRequest(**options)
        assert running.run(request, None, Discard(), **given) == 9  # type: ignore[arg-type]
        assert registry.asked == asked
        with pytest.raises(ImageError) as caught:
            running.run(RunRequest(image="absent", pull="never"), None, Discard(), **given)  # type: ignore[arg-type]
        assert caught.value.exit_code == 125
    assert len(ran) == 1
