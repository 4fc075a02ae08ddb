"""A cache in a directory: what one machine did, another one need not do."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.build.workshop import Workshop
from tests.sharing.conftest import DOCKERFILE, Machine, local, steps


@pytest.mark.parametrize("every_step", [False, True], ids=["min", "max"])
def test_another_machine_executes_nothing_and_gets_the_same_image(
    machine: Machine, context: Path, tmp_path: Path, every_step: bool
) -> None:
    cache = tmp_path / "cache"
    first = machine().build(context, DOCKERFILE, cache_to=local(cache, every_step=every_step))
    second = machine().build(context, DOCKERFILE, cache_from=local(cache))
    assert steps(second) == []
    assert second.id == first.id
    assert second.image.diff_ids == first.image.diff_ids


def test_what_is_here_already_is_not_added_again(
    machine: Machine, context: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    machine().build(context, DOCKERFILE, cache_to=local(cache, every_step=True))
    before = listed(cache)
    machine().build(
        context, DOCKERFILE, cache_from=local(cache), cache_to=local(cache, every_step=True)
    )
    assert listed(cache) == before


@pytest.mark.parametrize("every_step", [False, True], ids=["min", "max"])
def test_what_was_found_in_one_cache_is_given_to_another_with_its_layers(
    machine: Machine, context: Path, tmp_path: Path, every_step: bool
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    first = machine().build(context, DOCKERFILE, cache_to=local(one, every_step=True))
    passing = machine()
    passing.build(
        context, DOCKERFILE, cache_from=local(one), cache_to=local(two, every_step=every_step)
    )
    third = machine().build(context, DOCKERFILE, cache_from=local(two))
    assert steps(third) == []
    assert third.id == first.id


def test_layers_that_came_for_an_image_alone_are_given_by_later_builds(
    machine: Machine, context: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    first = machine().build(context, DOCKERFILE, cache_to=local(one, every_step=True))
    second = machine()
    second.build(context, DOCKERFILE, cache_from=local(one))
    second.build(context, DOCKERFILE, cache_from=local(one), cache_to=local(two, every_step=True))
    third = machine().build(context, DOCKERFILE, cache_from=local(two))
    assert steps(third) == []
    assert third.id == first.id


def test_layers_of_other_stages_are_brought_only_for_steps_that_stand_on_them(
    machine: Machine, context: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    machine().build(context, DOCKERFILE, cache_to=local(cache, every_step=True))
    second = machine()
    second.build(context, DOCKERFILE, cache_from=local(cache))
    after_hit = stored_layers(second)
    changed = DOCKERFILE.replace("FROM base\n", "RUN wc -l /out > /out2\n    FROM base\n")
    third = machine()
    built = third.build(context, changed, cache_from=local(cache), target="build")
    assert steps(built) == ["RUN wc -l /out > /out2"]
    assert after_hit == 3  # WORKDIR, COPY and RUN of the image; COPY and RUN of `build` stay away
    assert stored_layers(third) == 2  # those that it stands on


def test_with_mode_min_a_changed_stage_is_built_again_where_its_layers_are_missing(
    machine: Machine, context: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    machine().build(context, DOCKERFILE, cache_to=local(cache))
    changed = DOCKERFILE.replace("FROM base\n", "RUN wc -l /out > /out2\n    FROM base\n")
    built = machine().build(context, changed, cache_from=local(cache), target="build")
    assert steps(built)[-1] == "RUN wc -l /out > /out2"
    assert not built.result.warnings


def test_finished_steps_of_a_build_that_failed_are_shared(
    machine: Machine, context: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    broken = DOCKERFILE + "RUN false\n"
    machine().refused(context, broken, cache_to=local(cache, every_step=True))
    second = machine().build(context, DOCKERFILE, cache_from=local(cache))
    assert steps(second) == []


def test_a_cache_that_is_not_there_yet_is_no_trouble(
    machine: Machine, context: Path, tmp_path: Path
) -> None:
    built = machine().build(context, DOCKERFILE, cache_from=local(tmp_path / "none"))
    assert not built.result.warnings


def test_a_failed_export_is_a_warning_unless_it_is_required(
    machine: Machine, context: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "cache"
    shop = machine()
    built = shop.build(context, DOCKERFILE, cache_to=local(target))
    assert [each.code for each in built.result.warnings] == ["build.cache-unusable"]
    error = shop.refused(context, DOCKERFILE, cache_to=local(target, required=True))
    assert error.code == "export.failed"


def test_a_directory_with_other_things_is_not_written_to(
    machine: Machine, context: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").write_text("")
    shop = machine()
    error = shop.refused(context, DOCKERFILE, cache_to=local(tmp_path / "mine", required=True))
    assert "is not empty and is no cache" in error.message
    assert [each.name for each in (tmp_path / "mine").iterdir()] == ["letter"]


def test_only_copies_of_contents_that_changed_are_executed(
    machine: Machine, context: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    machine().build(context, DOCKERFILE, cache_to=local(cache, every_step=True))
    (context / "src" / "b").write_text("changed\n")
    built = machine().build(context, DOCKERFILE, cache_from=local(cache))
    assert "WORKDIR /app" not in steps(built)
    assert steps(built)[0] == "COPY src /src"


def test_writers_at_once_lose_nothing_while_sets_are_summarised(
    machine: Machine, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    shops = [machine() for _ in range(8)]

    def build(number: int) -> None:
        context = tmp_path / f"of-{number}"
        context.mkdir()
        for turn in range(4):
            text = f"RUN echo {number} {turn} > /file\n"
            shops[number].build(context, text, cache_to=local(cache, required=True))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(build, range(8)))
    assert len(list((cache / "sets").iterdir())) < 32
    reader = machine()
    for number in range(8):
        for turn in range(4):
            text = f"RUN echo {number} {turn} > /file\n"
            built = reader.build(tmp_path / f"of-{number}", text, cache_from=local(cache))
            assert steps(built) == [], (number, turn)


def test_what_a_killed_writer_left_is_swept_after_a_day(
    machine: Machine, context: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    old, young = cache / ".0000.partial", cache / ".1111.partial"
    for path in (old, young):
        path.write_text("half")
    os.utime(old, (1, 1))
    machine().build(context, DOCKERFILE, cache_to=local(cache, required=True))
    assert [old.exists(), young.exists()] == [False, True]


def listed(cache: Path) -> dict[str, int]:
    """Return every file of a cache with the time at which it was written."""
    return {str(path): path.stat().st_mtime_ns for path in cache.rglob("*") if path.is_file()}


def stored_layers(shop: Workshop) -> int:
    """Count the layers of steps, of which a store has the compressed blob."""
    return len([path for path in (shop.root / "blobs/sha256").iterdir() if is_gzip(path)])


def is_gzip(path: Path) -> bool:
    """Tell whether a file is compressed."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"
