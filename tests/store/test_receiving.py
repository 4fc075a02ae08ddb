"""Blobs that come from far away: what came stays, for whoever goes on with it; nothing is believed unverified."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from builder.errors import Cancelled, StoreError
from builder.oci.digest import Digest
from builder.store.arrival import Arrival
from builder.store.blobs import BlobStore
from builder.store.unfinished import KEPT

DATA = os.urandom(300_000)
DIGEST = Digest.of(DATA)
Fetch = Callable[[int], Iterable[bytes]]
CODE = """
import sys, time
from builder.oci.digest import Digest
from builder.store.blobs import BlobStore
def slow(offset):
    yield sys.stdin.buffer.read(100_000)
    print("written", flush=True)
    yield sys.stdin.buffer.read()
BlobStore(sys.argv[1]).receive(
    slow, media_type="", expected=Digest(sys.argv[2]), size=300_000, pause=lambda: time.sleep(0.01)
)
"""


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path)


class Server:
    """Gives the data from an offset on, as often as it is asked, and remembers that; not before `after`."""

    def __init__(self, data: bytes = DATA, *, after: threading.Event | None = None) -> None:
        self.data = data
        self.after = after
        self.asked: list[int] = []

    def __call__(self, offset: int) -> Iterator[bytes]:
        self.asked.append(offset)
        if self.after is not None:
            assert self.after.wait(20)
        for at in range(offset, len(self.data), 65_536):
            yield self.data[at : at + 65_536]


def received(
    blobs: BlobStore,
    fetch: Fetch,
    *,
    pause: Callable[[], None] = lambda: time.sleep(0.01),
    arrival: Arrival | None = None,
) -> None:
    blobs.receive(
        fetch, media_type="x", expected=DIGEST, size=len(DATA), pause=pause, arrival=arrival
    )


def leftovers(root: Path) -> list[str]:
    return os.listdir(root / "tmp")


def part(root: Path) -> Path:
    return root / "tmp" / f"part-sha256-{DIGEST.hex}"


def begin(root: Path) -> subprocess.Popen[bytes]:
    """Start a process that has received a third of the blob and waits for more."""
    BlobStore(root).add(b"first", media_type="")
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, str(root), DIGEST],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(DATA[:100_000])
    process.stdin.flush()
    assert process.stdout.readline() == b"written\n"
    return process


def test_a_blob_is_received_whole(blobs: BlobStore, tmp_path: Path) -> None:
    server = Server()
    received(blobs, server)
    assert server.asked == [0]
    assert Path(blobs.path(DIGEST)).read_bytes() == DATA
    assert leftovers(tmp_path) == []


def test_a_blob_that_is_here_is_not_asked_for(blobs: BlobStore) -> None:
    blobs.add(DATA, media_type="")
    server = Server()
    received(blobs, server)
    assert server.asked == []


def test_the_next_one_goes_on_where_a_killed_process_was(blobs: BlobStore, tmp_path: Path) -> None:
    with begin(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
    server = Server()
    received(blobs, server)
    assert server.asked == [100_000]
    assert Path(blobs.path(DIGEST)).read_bytes() == DATA


def test_what_came_whole_but_was_not_named_is_only_verified(
    blobs: BlobStore, tmp_path: Path
) -> None:
    blobs.add(b"first", media_type="")
    part(tmp_path).write_bytes(DATA)
    server = Server()
    received(blobs, server)
    assert server.asked == []
    assert blobs.verify(DIGEST)


@pytest.mark.parametrize("left", [b"?" * 1000, b"?" * len(DATA), DATA + b"more"])
def test_a_damaged_part_is_dropped_and_all_is_fetched(
    blobs: BlobStore, tmp_path: Path, left: bytes
) -> None:
    blobs.add(b"first", media_type="")
    part(tmp_path).write_bytes(left)
    server = Server()
    received(blobs, server)
    assert server.asked[-1] == 0
    assert blobs.verify(DIGEST)


@pytest.mark.parametrize("wrong", [DATA[:-1] + b"?", DATA + b"more"])
def test_what_is_wrong_twice_is_refused_and_nothing_is_kept(
    blobs: BlobStore, tmp_path: Path, wrong: bytes
) -> None:
    server = Server(wrong)
    with pytest.raises(StoreError, match="is not what it should be") as caught:
        received(blobs, server)
    assert caught.value.code == "store.digest-mismatch"
    assert server.asked == [0, 0]
    assert leftovers(tmp_path) == []
    assert not blobs.contains(DIGEST)


def test_what_came_before_a_break_stays(blobs: BlobStore, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        received(blobs, failing_after(70_000, RuntimeError()))
    assert part(tmp_path).read_bytes() == DATA[:70_000]


def failing_after(count: int, error: Exception) -> Fetch:
    def fetch(offset: int) -> Iterator[bytes]:
        yield DATA[offset:count]
        raise error

    return fetch


def test_a_part_gives_way_to_what_needs_the_room(blobs: BlobStore, tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        received(blobs, failing_after(70_000, OSError(28, "No space left on device")))
    assert caught.value.code == "store.no-space"
    assert leftovers(tmp_path) == []


def test_two_who_want_the_same_blob_fetch_it_once(blobs: BlobStore, tmp_path: Path) -> None:
    waiting = threading.Event()

    def pause() -> None:
        waiting.set()
        time.sleep(0.01)

    with begin(tmp_path) as process:
        server = Server()
        second = threading.Thread(target=received, args=(blobs, server), kwargs={"pause": pause})
        second.start()
        assert waiting.wait(20)
        assert process.stdin is not None
        process.stdin.write(DATA[100_000:])
        process.stdin.close()
        second.join(20)
        assert process.wait(20) == 0
    assert server.asked == []
    assert blobs.verify(DIGEST)


def test_the_second_goes_on_when_the_first_is_killed(blobs: BlobStore, tmp_path: Path) -> None:
    with begin(tmp_path) as process:
        server = Server()
        received(blobs, server, pause=process.kill)
    assert server.asked == [100_000]
    assert blobs.verify(DIGEST)


def test_waiting_can_be_cancelled(blobs: BlobStore, tmp_path: Path) -> None:
    def pause() -> None:
        raise Cancelled

    with begin(tmp_path) as process:
        with pytest.raises(Cancelled):
            received(blobs, Server(), pause=pause)
        process.kill()


def test_parts_are_swept_when_they_are_old(blobs: BlobStore, tmp_path: Path) -> None:
    blobs.add(b"first", media_type="")
    part(tmp_path).write_bytes(DATA[:1000])
    assert blobs.sweep() == 0
    past = time.time() - KEPT - 60
    os.utime(part(tmp_path), (past, past))
    assert blobs.sweep() > 0
    assert leftovers(tmp_path) == []


def test_parts_are_swept_at_once_when_asked_but_never_one_that_comes(
    blobs: BlobStore, tmp_path: Path
) -> None:
    with begin(tmp_path) as process:
        assert blobs.sweep(parts=True) == 0
        process.kill()
    assert blobs.sweep(parts=True) > 0
    assert leftovers(tmp_path) == []


def test_a_link_is_no_part(blobs: BlobStore, tmp_path: Path) -> None:
    blobs.add(b"first", media_type="")
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    part(tmp_path).symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        received(blobs, Server())
    assert victim.read_text() == "untouched"


class Reader:
    """Reads along through a pipe."""

    def __init__(self, arrival: Arrival) -> None:
        self.read, self._write = os.pipe()
        self.arrival = arrival
        self.believed: list[bool] = []
        self.data = b""
        self.began = threading.Event()
        self._threads = [
            threading.Thread(target=self._feed),
            threading.Thread(target=self._collect),
        ]
        for thread in self._threads:
            thread.start()

    def _feed(self) -> None:
        coming = self.arrival.wait()
        self.began.set()
        if coming:
            self.believed.append(self.arrival.feed(self._write))
        os.close(self._write)

    def _collect(self) -> None:
        with open(self.read, "rb") as file:
            self.data = file.read()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(20)
        self.arrival.close()


def test_who_reads_along_gets_all_and_is_told_that_it_is_right(blobs: BlobStore) -> None:
    arrival = Arrival()
    reader = Reader(arrival)
    received(blobs, Server(after=reader.began), arrival=arrival)
    arrival.end(believed=True)
    reader.join()
    assert reader.data == DATA
    assert reader.believed == [True]


def test_who_reads_along_is_told_that_it_was_wrong(blobs: BlobStore) -> None:
    arrival = Arrival()
    reader = Reader(arrival)
    with pytest.raises(StoreError):
        received(blobs, Server(b"?" * len(DATA), after=reader.began), arrival=arrival)
    arrival.end(believed=False)
    reader.join()
    assert reader.believed == [False]


def test_who_reads_along_also_reads_what_came_earlier(blobs: BlobStore, tmp_path: Path) -> None:
    blobs.add(b"first", media_type="")
    part(tmp_path).write_bytes(DATA[:100_000])
    arrival = Arrival()
    reader = Reader(arrival)
    received(blobs, Server(after=reader.began), arrival=arrival)
    arrival.end(believed=True)
    reader.join()
    assert reader.data == DATA


def test_who_reads_along_slowly_is_not_kept_when_the_file_is_emptied(tmp_path: Path) -> None:
    arrival = Arrival()
    reading, writing = os.pipe()
    fed: list[bool] = []
    feeder = threading.Thread(target=lambda: fed.append(arrival.feed(writing)), daemon=True)
    with open(tmp_path / "part", "w+b", buffering=0) as file:
        file.write(bytes(4 << 20))
        arrival.begin(file.fileno(), 4 << 20)
        feeder.start()
        os.read(reading, 1)  # it has begun, and waits for the pipe to be emptied
        file.truncate(0)
        arrival.end(believed=False)
        with open(reading, "rb") as pipe:
            drained = threading.Thread(target=pipe.read, daemon=True)
            drained.start()
            feeder.join(5)
            os.close(writing)
            drained.join(5)
    arrival.close()
    assert fed == [False]


def test_nothing_comes_of_a_blob_that_is_here(blobs: BlobStore) -> None:
    blobs.add(DATA, media_type="")
    arrival = Arrival()
    reader = Reader(arrival)
    received(blobs, Server(), arrival=arrival)
    arrival.end(believed=True)
    reader.join()
    assert reader.believed == []
