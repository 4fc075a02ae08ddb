"""`--max-size`: room is made before more is written, least useful first, and what is needed stays."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from builder.engine import BuildRequest, Engine
from builder.errors import StoreError
from builder.settings import Settings
from builder.store.accounting import Account
from builder.store.db import Database
from tests.build.workshop import Watch
from tests.support.busybox_base import find_busybox, write_busybox_base

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="one store is looked at as root")

MB = 1_000_000


class Bounded:
    """A store with an image called `box`; each build opens it anew, with a limit or without."""

    def __init__(self, ground: Path) -> None:
        self.root = ground / "store"
        self.context = ground / "context"
        self.context.mkdir()
        busybox = find_busybox()
        if busybox is None:
            pytest.skip("busybox-static is not installed")
        box = write_busybox_base(ground / "box.tar", busybox)
        with self.engine() as engine, box.open("rb") as stream:
            engine.import_(stream, "box")

    @contextmanager
    def engine(self, most: int | None = None) -> Iterator[Engine]:
        """Open the store."""
        settings = Settings(root=str(self.root), docker_config="", max_size=most)
        with Engine.open(settings) as engine:
            yield engine

    def build(self, number: int, *tags: str, most: int | None = None) -> Watch:
        """Build what has a layer of 8 MB; of each number it is another one."""
        run = f"RUN dd if=/dev/urandom of=/big{number} bs=1000 count=8000"
        (self.context / "Dockerfile").write_text(f"FROM box\n{run}\n")
        watch = Watch()
        with self.engine(most) as engine:
            engine.build(BuildRequest(context=str(self.context), tags=tags), watch)
        return watch

    def account(self) -> Account:
        """Measure the store."""
        with self.engine() as engine:
            return engine.disk_usage()

    def age(self, seconds: float) -> None:
        """Let everything have been of use some time before."""
        db = Database(str(self.root / "index.db"))
        db.execute("UPDATE records SET used = used - ?", (seconds,))
        db.close()


@pytest.fixture
def bounded(tmp_path: Path) -> Bounded:
    """A store of the test's own."""
    return Bounded(tmp_path)


def test_the_store_is_kept_below_the_limit_and_the_oldest_goes(bounded: Bounded) -> None:
    for number in range(4):
        bounded.build(number)
        bounded.age(7200)
    assert bounded.account().bytes > 32 * MB
    bounded.build(4, "app", most=28 * MB)
    assert bounded.account().bytes < 28 * MB
    assert len(bounded.build(3).executed()) == 0
    assert len(bounded.build(0).executed()) == 1


def test_what_took_longer_stays_longer(bounded: Bounded) -> None:
    for number in range(3):
        bounded.build(number)
    db = Database(str(bounded.root / "index.db"))
    rows = db.rows("SELECT key FROM records ORDER BY created")
    db.execute("UPDATE records SET seconds = 1, used = 1000")
    db.execute("UPDATE records SET seconds = 100 WHERE key = ?", rows[1])
    db.close()
    bounded.build(3, "app", most=24 * MB)
    assert [len(bounded.build(number).executed()) for number in (1, 0, 2)] == [0, 1, 1]


def test_room_is_made_before_a_step_writes(bounded: Bounded) -> None:
    for number in range(3):
        bounded.build(number)
    bounded.age(7200)
    (bounded.context / "Dockerfile").write_text("FROM box\nRUN false\n")
    with bounded.engine(12 * MB) as engine, pytest.raises(Exception, match="exited with code 1"):
        engine.build(BuildRequest(context=str(bounded.context)), Watch())
    assert bounded.account().bytes < 12 * MB


def test_where_images_with_names_take_more_nothing_is_written(bounded: Bounded) -> None:
    bounded.build(0, "one")
    bounded.build(1, "two")
    with pytest.raises(StoreError) as caught:
        bounded.build(2, most=16 * MB)
    assert caught.value.code == "store.limit"
    assert len(bounded.account().images) == 3
    assert len(bounded.build(0, most=16 * MB).executed()) == 0  # what is cached writes nothing


def test_cache_mounts_count_and_go(bounded: Bounded) -> None:
    run = "RUN --mount=type=cache,target=/c dd if=/dev/urandom of=/c/big bs=1000 count=8000"
    (bounded.context / "Dockerfile").write_text(f"FROM box\n{run}\n")
    with bounded.engine() as engine:
        engine.build(BuildRequest(context=str(bounded.context)), Watch())
    place = bounded.root / "mounts"
    for each in place.iterdir():
        os.utime(each, (0, 0))
    assert len(list(place.iterdir())) == 1
    bounded.build(1, "app", most=20 * MB)
    assert list(place.iterdir()) == []


def test_prune_leaves_what_is_most_useful_down_to_a_size(bounded: Bounded) -> None:
    from builder.engine import Pruning

    for number in range(3):
        bounded.build(number)
        bounded.age(7200)
    whole = bounded.account().bytes
    with bounded.engine() as engine:
        said = engine.prune(Pruning(most=20 * MB), dry=True)
        assert bounded.account().bytes >= whole - MB
        done = engine.prune(Pruning(most=20 * MB))
    assert done.removed == said.removed
    assert bounded.account().bytes < 20 * MB
    assert len(bounded.build(2).executed()) == 0
