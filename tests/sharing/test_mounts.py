"""Cache mounts go along: a machine that never ran the step begins with what another one left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.layer.entry import Entry, Kind
from builder.sharing.mounts import cut
from builder.sharing.records import decoded
from tests.sharing.conftest import Machine, local

MOUNT = "--mount=type=cache,target=/cache"
FILL = f"""
    FROM base
    RUN {MOUNT} mkdir -p /cache/d && head -c 300000 /dev/urandom > /cache/d/noise && echo a > /cache/a \
     && ln /cache/a /cache/b && ln -s a /cache/l && chown 3:4 /cache/a && chmod 700 /cache/d && touch -d @5 /cache/a
    """
SHOW = f"""
    FROM base
    RUN {MOUNT} stat -c '%n %a %u %g %h %Y' /cache/a /cache/b && readlink /cache/l && stat -c %a /cache/d && wc -c < /cache/d/noise
    """


def packs(cache: Path) -> int:
    """Count the blobs of a cache that are packs of mounts."""
    found = set()
    for path in (cache / "blobs/sha256").iterdir():
        data = path.read_bytes()
        if data.startswith(b"\x28\xb5\x2f\xfd") and b"ustar" not in data[:300]:
            try:
                bundle = decoded(data)
            except Exception:  # noqa: BLE001  a pack
                continue
            found |= {pack.digest for mount in bundle.mounts for pack in mount.packs}
    return len(found)


@pytest.mark.parametrize("ids", ["all", "/cache"])
def test_another_machine_begins_with_what_was_left(
    machine: Machine, context: Path, tmp_path: Path, ids: str
) -> None:
    cache = tmp_path / "cache"
    machine().build(context, FILL, cache_to=local(cache, mounts=(ids,), required=True))
    second = machine().build(context, SHOW, cache_from=local(cache, mounts=(ids,)))
    assert not second.result.warnings
    assert second.watch.output().split("\n") == [
        "/cache/a 644 3 4 2 5",
        "/cache/b 644 3 4 2 5",
        "a",
        "700",
        "300000",
        "",
    ]


def test_mounts_that_were_not_asked_for_stay_away(
    machine: Machine, context: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    machine().build(context, FILL, cache_to=local(cache, mounts=("all",)))
    look = f"RUN {MOUNT} ls -A /cache\n"
    for wanted in ((), ("another",)):
        built = machine().build(context, look, cache_from=local(cache, mounts=wanted))
        assert built.watch.output() == ""


def test_a_small_change_moves_little(machine: Machine, context: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    shop = machine()
    fill = f"""
        FROM base
        RUN {MOUNT} cd /cache && for n in $(seq 300); do head -c 30000 /dev/urandom > $n; done
        """
    shop.build(context, fill, cache_to=local(cache, mounts=("all",)))
    before = size(cache)
    change = f"RUN {MOUNT} echo more >> /cache/150\n"
    shop.build(context, change, cache_to=local(cache, mounts=("all",)))
    assert before > 9_000_000
    assert 0 < size(cache) - before < 1_500_000
    built = machine().build(
        context, f"RUN {MOUNT} tail -c 5 /cache/150\n", cache_from=local(cache, mounts=("all",))
    )
    assert built.watch.output() == "more\n"


def test_a_mount_over_its_limit_is_left_out_with_a_note(
    machine: Machine, context: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    target = local(cache, mounts=("all",), mount_limit=1000)
    built = machine().build(context, FILL, cache_to=target)
    (warning,) = built.result.warnings
    assert warning.message == "the cache mount `/cache` is not shared"
    assert packs(cache) == 0


def test_a_damaged_pack_leaves_the_mount_empty_with_a_note(
    machine: Machine, context: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    machine().build(context, FILL, cache_to=local(cache, mounts=("all",)))
    largest = max((cache / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    largest.write_bytes(os.urandom(largest.stat().st_size))
    look = f"RUN {MOUNT} ls -A /cache\n"
    built = machine().build(context, look, cache_from=local(cache, mounts=("all",)))
    assert built.watch.output() == ""
    assert {each.code for each in built.result.warnings} == {"build.cache-unusable"}


def test_packs_end_at_the_same_places_when_something_is_added_before() -> None:
    entries = [Entry(b"%06d" % number, Kind.FILE, size=20_000) for number in range(2000)]
    before = {tuple(pack) for pack in cut(iter(entries))}
    added = [*entries[:500], Entry(b"000499a", Kind.FILE, size=1), *entries[500:]]
    after = {tuple(pack) for pack in cut(iter(added))}
    assert len(after - before) <= 2
    assert len(before) > 20


def size(cache: Path) -> int:
    """Return the bytes of all blobs."""
    return sum(path.stat().st_size for path in (cache / "blobs/sha256").iterdir())
