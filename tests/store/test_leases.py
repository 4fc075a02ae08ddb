"""Leases: what running commands use stays, what dead ones used goes, and nobody waits for another for good."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import StoreError
from builder.store.leases import Leases


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory with the rooms that leases need."""
    for room in ("layers", "entries"):
        (tmp_path / room).mkdir()
    return tmp_path


@pytest.fixture
def other(root: Path) -> Iterator[Leases]:
    """The leases of somebody else."""
    leases = Leases(str(root))
    yield leases
    leases.close()


def held(root: Path) -> frozenset[str]:
    """Return what is held by others."""
    leases = Leases(str(root))
    with leases.collecting(own=False) as found:
        result = found
    leases.close()
    return result


def test_what_others_hold_is_seen_until_they_let_go(root: Path, other: Leases) -> None:
    assert held(root) == frozenset()
    other.hold("sha256:a", "sha256:b")
    other.hold("sha256:b", "sha256:c")
    assert held(root) == {"sha256:a", "sha256:b", "sha256:c"}
    other.close()
    assert held(root) == frozenset()
    assert os.listdir(root / "leases") == []


def test_what_one_holds_oneself_counts_if_that_is_asked_for(other: Leases) -> None:
    other.hold("sha256:a")
    with other.collecting(own=False) as found:
        assert found == frozenset()
    with other.collecting(own=True) as found:
        assert found == {"sha256:a"}


def test_the_lease_of_a_killed_process_counts_no_more_and_is_removed(root: Path) -> None:
    pid = os.fork()
    if pid == 0:
        Leases(str(root)).hold("sha256:a")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert len(os.listdir(root / "leases")) == 1
    assert held(root) == frozenset()
    assert os.listdir(root / "leases") == []


def test_nothing_is_held_anew_while_is_decided_what_goes(root: Path, other: Leases) -> None:
    leases = Leases(str(root))
    holding = threading.Thread(target=other.hold, args=("sha256:a",))
    with leases.collecting(own=False) as found:
        holding.start()
        holding.join(0.2)
        assert holding.is_alive()
        assert found == frozenset()
    holding.join(5)
    assert not holding.is_alive()
    assert held(root) == {"sha256:a"}
    leases.close()


def test_who_decides_adds_nothing_to_what_is_held(other: Leases) -> None:
    with other.collecting(own=True):
        other.hold("sha256:a")
    with other.collecting(own=True) as found:
        assert found == frozenset()


def test_where_nothing_can_be_written_down_all_is_kept(
    root: Path, other: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:

        def full(*_: object) -> int:
            raise OSError(28, "No space left on device")

        patch.setattr(os, "write", full)
        other.hold("sha256:a")
    with pytest.raises(StoreError) as caught:
        held(root)
    assert caught.value.code == "store.busy"
    with other.collecting(own=False):  # what one holds oneself is in nobody's way
        pass
    with pytest.raises(StoreError):
        held(root)
    other.close()
    assert held(root) == frozenset()


def test_many_threads_hold_what_they_need(root: Path, other: Leases) -> None:
    def hold(start: int) -> None:
        for number in range(start, start + 200):
            other.hold(f"sha256:{number}")

    threads = [threading.Thread(target=hold, args=(start,)) for start in range(0, 800, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held(root) == {f"sha256:{number}" for number in range(900)}
